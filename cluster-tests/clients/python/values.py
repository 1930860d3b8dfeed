"""Reads topics (partition 0) from the beginning to the end: a line a topic, its name and the values in order.

Usage: values.py confluent_kafka|aiokafka BOOTSTRAP TOPIC...
"""

import asyncio
import sys
import time

# A guard against a hang, not a measure.
LIMIT = 60.0


def librdkafka(bootstrap, topics):
    from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

    settings = {"bootstrap.servers": bootstrap, "group.id": "never-joined", "enable.auto.commit": False}
    consumer = Consumer({**settings, "enable.partition.eof": True, "fetch.wait.max.ms": 20})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING) for topic in topics])
    values, left, end = {topic: [] for topic in topics}, set(topics), time.monotonic() + LIMIT
    while left and time.monotonic() < end:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error() is None:
            values[message.topic()].append(message.value())
        elif message.error().code() == KafkaError._PARTITION_EOF:
            left.discard(message.topic())
        else:
            sys.exit(f"{message.topic()}: {message.error()}")
    consumer.close()
    return values, left


async def aiokafka(bootstrap, topics):
    from aiokafka import AIOKafkaConsumer, TopicPartition

    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=50) as consumer:
        partitions = [TopicPartition(topic, 0) for topic in topics]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        values, left, end = {topic: [] for topic in topics}, set(topics), time.monotonic() + LIMIT
        while left and time.monotonic() < end:
            for partition, messages in (await consumer.getmany(timeout_ms=200)).items():
                values[partition.topic] += [message.value for message in messages]
            left = {partition.topic for partition in partitions if await consumer.position(partition) < ends[partition]}
    return values, left


client, bootstrap, names = sys.argv[1], sys.argv[2], sys.argv[3:]
found, unread = asyncio.run(aiokafka(bootstrap, names)) if client == "aiokafka" else librdkafka(bootstrap, names)
if unread:
    sys.exit(f"never read to the end: {sorted(unread)}; read: {found}")
for name in names:
    print(name, *(value.decode() for value in found[name]))

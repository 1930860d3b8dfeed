"""Callboard as aiokafka sees it: records in and out, groups whose members come and go, what an operator asks for.

Usage: aio.py BOOTSTRAP. One line a check; the exit code says whether all held.
"""

import asyncio
import logging
import sys
import time
import uuid
import zlib
from collections import Counter

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import CommitFailedError, KafkaError, TopicAlreadyExistsError

BOOTSTRAP = sys.argv[1]
CODECS = [None, "gzip", "snappy", "lz4", "zstd"]
# A guard against a hang, not a measure.
LIMIT = 60.0
# An hour ago: brokers forget records by the age of their timestamps.
START = int(time.time() * 1000) - 3_600_000
PARTITIONS = 6


class Failed(Exception):
    pass


def check(held, what):
    if not held:
        raise Failed(what)


def same(got, wanted, what):
    check(got == wanted, f"{what}: got {str(got)[:300]!r}, wanted {str(wanted)[:300]!r}")


async def until(what, so):
    """Asks until it is so."""
    end = time.monotonic() + LIMIT
    while not await so():
        check(time.monotonic() < end, f"still not: {what()}")
        await asyncio.sleep(0.005)


def name():
    return f"aio-{uuid.uuid4().hex[:12]}"


async def topic(admin, partitions=1):
    made = name()
    answer = await admin.create_topics([NewTopic(made, partitions, 1)])
    same([error[1] for error in answer.topic_errors], [0], "creation")
    return made


def sample(count):
    """Records of all shapes: keys and values null, empty and filled; headers none, single, repeated."""
    keys = [None, b"", b"key", b"\x00\xff" * 20]
    values = [b"value", None, b"", b"x" * 3000, bytes(range(256))]
    headers = [[], [("one", b"1")], [("twice", b"first"), ("other", b""), ("twice", b"second"), ("twice", b"first")]]
    # The client refuses a record that has neither key nor value.
    rows = [(keys[n % 4], values[n % 5], headers[n % 3], START + n * 10) for n in range(count)]
    return [(b"k" if key is None and value is None else key, value, more, at) for key, value, more, at in rows]


async def produce(to, records, **config):
    async with AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, linger_ms=5, **config) as producer:
        sent = []
        for key, value, headers, timestamp in records:
            one = await producer.send(to, value, key, partition=0, timestamp_ms=timestamp, headers=headers)
            sent.append(one)
        return [(await one).offset for one in sent]


async def consume(start_from, offset, count):
    """Reads so many records of partition 0 from an offset; None: the beginning."""
    partition, messages = TopicPartition(start_from, 0), []
    async with AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest", fetch_max_wait_ms=50) as reader:
        reader.assign([partition])
        if offset is None:
            await reader.seek_to_beginning(partition)
        else:
            reader.seek(partition, offset)
        while len(messages) < count:
            messages.append(await asyncio.wait_for(reader.getone(), LIMIT))
        same(await reader.end_offsets([partition]), {partition: messages[-1].offset + 1}, "the end")
    return messages


def compare(messages, records, first=0):
    same(len(messages), len(records), "number of records")
    for index, (message, (key, value, headers, timestamp)) in enumerate(zip(messages, records)):
        at = f"record {first + index}"
        got = (message.offset, message.key, message.value, list(message.headers), message.timestamp)
        same(got, (first + index, key, value, headers, timestamp), at)


async def codecs(admin):
    for codec in CODECS:
        for config in ({"enable_idempotence": True}, {"acks": 1}):
            made, records = await topic(admin), sample(300)
            same(await produce(made, records, compression_type=codec, **config), list(range(300)), "offsets acknowledged")
            compare(await consume(made, None, 300), records)
            # Whether it was compressed is for the caller to see.
            print(f"codec {made} {codec or 'none'}", flush=True)


async def large_records(admin):
    value, seed = bytearray(), 1
    while len(value) < 900_000:
        seed = zlib.crc32(seed.to_bytes(4, "big"))
        value += seed.to_bytes(4, "big")
    for codec in CODECS:
        made = await topic(admin)
        records = [(b"%d" % n, bytes(value[n:] + value[:n]), [], START + n) for n in range(5)]
        await produce(made, records, compression_type=codec, max_request_size=2_000_000)
        compare(await consume(made, None, 5), records)


async def positions(admin):
    made, records = await topic(admin), sample(300)
    partition = TopicPartition(made, 0)
    await produce(made, records)
    compare(await consume(made, 123, 177), records[123:], 123)
    async with AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP) as reader:
        reader.assign([partition])
        asked = {START + 1230: 123, START + 1231: 124, START - 5: 0, START + 2990: 299, START + 3000: None}
        for timestamp, offset in asked.items():
            found = (await reader.offsets_for_times({partition: timestamp}))[partition]
            same(found and found.offset, offset, f"offset for {timestamp - START} ms")
        same(await reader.beginning_offsets([partition]), {partition: 0}, "the beginning")
    compare(await consume(made, 124, 176), records[124:], 124)


class Group:
    """What the members of one group have between them."""

    def __init__(self, made):
        self.id, self.topic = name(), made
        self.owners, self.seen, self.faults, self.members = {}, Counter(), [], []

    def alive(self):
        """A member that has ended by itself is heard."""
        for member in self.members:
            if member.task.done() and not member.task.cancelled():
                raise Failed(f"{member.name} ended: {member.task.exception()!r}")

    async def have(self, **wanted):
        shares = lambda: dict(Counter(self.owners.values()))

        async def so():
            self.alive()
            return shares() == wanted

        await until(lambda: f"shares {wanted}; {shares()}", so)

    async def all(self, count):
        async def so():
            self.alive()
            return len(self.seen) >= count

        await until(lambda: f"{count} records; {len(self.seen)}", so)
        same((len(self.seen), self.faults), (count, []), "records seen; two owners at once")
        same([value for value, times in self.seen.items() if times > 1], [], "records seen more than once")

    async def send(self, first, last):
        async with AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, linger_ms=5) as producer:
            sent = [await producer.send(self.topic, b"%d" % n, partition=n % PARTITIONS) for n in range(first, last)]
            await asyncio.gather(*sent)


class Member(ConsumerRebalanceListener):
    """A consumer in a task of its own."""

    def __init__(self, own_name, group, **config):
        self.name, self.group = own_name, group
        self.consumer = AIOKafkaConsumer(
            bootstrap_servers=BOOTSTRAP, group_id=group.id, client_id=own_name, enable_auto_commit=False,
            auto_offset_reset="earliest", heartbeat_interval_ms=200, fetch_max_wait_ms=50,
            metadata_max_age_ms=1000, **config
        )
        self.task = asyncio.create_task(self.poll())
        group.members.append(self)

    def on_partitions_assigned(self, assigned):
        for one in assigned:
            before = self.group.owners.get(one.partition)
            if before is not None:
                self.group.faults.append(f"{one.partition} was given to {self.name} while {before} had it")
            self.group.owners[one.partition] = self.name

    async def on_partitions_revoked(self, revoked):
        # Everything polled so far was counted: who comes next begins where this one has ended.
        if revoked:
            await self.consumer.commit()
        self.forget()

    def forget(self):
        for partition, owner in list(self.group.owners.items()):
            if owner == self.name:
                del self.group.owners[partition]

    async def poll(self):
        await self.consumer.start()
        self.consumer.subscribe([self.group.topic], listener=self)
        while True:
            for messages in (await self.consumer.getmany(timeout_ms=100)).values():
                self.group.seen.update(message.value for message in messages)

    async def leave(self):
        self.task.cancel()
        await asyncio.wait([self.task])
        check(self.task.cancelled(), f"{self.name} ended: {None if self.task.cancelled() else self.task.exception()}")
        await self.consumer.commit()
        self.forget()
        await self.consumer.stop()


async def come_and_go(admin, assignor):
    group = Group(await topic(admin, PARTITIONS))
    join = lambda who: Member(who, group, partition_assignment_strategy=(assignor,))
    await group.send(0, 300)
    a = join("a")
    await group.have(a=6)
    b = join("b")
    await group.have(a=3, b=3)
    await group.send(300, 600)
    c = join("c")
    await group.have(a=2, b=2, c=2)
    await group.send(600, 900)
    await group.all(900)
    await b.leave()
    await group.have(a=3, c=3)
    await group.send(900, 1200)
    await a.leave()
    await group.have(c=6)
    await group.send(1200, 1500)
    await group.all(1500)
    await c.leave()
    offsets = await admin.list_consumer_group_offsets(group.id)
    same(sum(one.offset for one in offsets.values()), 1500, "sum of committed offsets")


async def group_range(admin):
    await come_and_go(admin, RangePartitionAssignor)


async def group_roundrobin(admin):
    await come_and_go(admin, RoundRobinPartitionAssignor)


async def group_sticky(admin):
    await come_and_go(admin, StickyPartitionAssignor)


async def static_members(admin):
    group = Group(await topic(admin, PARTITIONS))
    a, b = Member("a", group, group_instance_id="seat-a"), Member("b", group, group_instance_id="seat-b")
    await group.have(a=3, b=3)
    await group.send(0, 300)
    await group.all(300)
    await a.leave()
    again = Member("again", group, group_instance_id="seat-a")
    await group.have(again=3, b=3)
    await group.send(300, 600)
    await group.all(600)
    await again.leave()
    await b.leave()


async def offsets(admin):
    made, group = await topic(admin), name()
    partition = TopicPartition(made, 0)
    await produce(made, sample(50))
    async with AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id=group, enable_auto_commit=False) as first:
        first.assign([partition])
        same(await first.committed(partition), None, "committed before any commit")
        await first.commit({partition: (42, "half of it: \u00fc")})
    async with AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id=group, enable_auto_commit=False) as second:
        second.assign([partition])
        same((await asyncio.wait_for(second.getone(), LIMIT)).offset, 42, "where the next one begins")
    found = await admin.list_consumer_group_offsets(group)
    same((found[partition].offset, found[partition].metadata), (42, "half of it: \u00fc"), "offset and metadata")


async def operator(admin):
    made = await topic(admin, 2)
    again = await admin.create_topics([NewTopic(made, 1, 1)])
    same([error[1] for error in again.topic_errors], [TopicAlreadyExistsError.errno], "a second creation")
    await admin.create_partitions({made: NewPartitions(5)})

    async def five():
        return len((await admin.describe_topics([made]))[0]["partitions"]) == 5

    await until(lambda: "five partitions", five)

    async def shown(key):
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, made)])
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}.get(key)

    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, made, {"retention.ms": "7200000"})])

    async def altered():
        return await shown("retention.ms") == "7200000"

    await until(lambda: "an altered config", altered)
    await produce(made, sample(100))
    await admin.delete_records({TopicPartition(made, 0): RecordsToDelete(40)})
    same((await consume(made, None, 60))[0].offset, 40, "the first record that is left")
    await admin.delete_topics([made])

    async def gone():
        return made not in await admin.list_topics()

    await until(lambda: "a deleted topic is gone", gone)


async def groups(admin):
    group = Group(await topic(admin, PARTITIONS))
    a = Member("a", group)
    await group.have(a=6)
    check((group.id, "consumer") in await admin.list_consumer_groups(), "the group is not listed")
    (answer,) = await admin.describe_consumer_groups([group.id])
    code, found, state, protocol_type, protocol, members = answer.groups[0][:6]
    same((code, found, state, protocol_type, len(members)), (0, group.id, "Stable", "consumer", 1), "description")
    partition = TopicPartition(group.topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, group_id=group.id, enable_auto_commit=False) as stranger:
        stranger.assign([partition])
        try:
            await stranger.commit({partition: 1})
            raise Failed("a commit of a stranger to a live group was let through")
        except CommitFailedError:
            pass
    await a.leave()


async def transactions(_admin):
    """They are not served: the client is told so by the first answer, and does not ask for ever."""
    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id=name())
    try:
        # A guard against a hang, not a measure.
        await asyncio.wait_for(producer.start(), 20)
        raise Failed("a transaction was let through")
    except KafkaError as error:
        check("ClusterAuthorizationFailed" in str(error), f"error: {error!r}")
    finally:
        await producer.stop()


async def main():
    # What fails is said by the checks.
    logging.disable(logging.CRITICAL)
    print(f"aiokafka {aiokafka.__version__}", flush=True)
    checks = [codecs, large_records, positions, group_range, group_roundrobin, group_sticky, static_members, offsets]
    checks += [operator, groups, transactions]
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    results = await asyncio.gather(*(one(admin) for one in checks), return_exceptions=True)
    failed = 0
    for one, error in zip(checks, results):
        failed += error is not None
        line = f"ok      {one.__name__}" if error is None else f"FAILED  {one.__name__}: {type(error).__name__}: {error}"
        print(line, flush=True)
    print(f"{len(checks) - failed} of {len(checks)} held", flush=True)
    await admin.close()
    sys.exit(1 if failed else 0)


asyncio.run(main())

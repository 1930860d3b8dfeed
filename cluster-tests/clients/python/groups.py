"""Callboard as confluent-kafka (librdkafka) sees it: groups whose members come and go, what an operator asks for.

Usage: groups.py BOOTSTRAP. One line a check; the exit code says whether all held.
"""

import threading
import time
import uuid
from collections import Counter

from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException
from confluent_kafka import TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource, NewPartitions
from confluent_kafka.admin import NewTopic, OffsetSpec, ResourceType

from suite import BOOTSTRAP, LIMIT, START, Failed, check, consume, consumer, produce, producer, run, same, sample, topic

PARTITIONS = 6


def until(what, so):
    """Asks until it is so."""
    end = time.monotonic() + LIMIT
    while not so():
        check(time.monotonic() < end, f"still not: {what() if callable(what) else what}")
        time.sleep(0.005)


def fails(code, call, what):
    """The call must fail with this error code."""
    try:
        call()
    except KafkaException as error:
        same(error.args[0].name(), KafkaError(code).name(), f"error for {what}")
        return
    raise Failed(f"{what} was let through")


def only(futures):
    """The result of the one future of an admin call."""
    (future,) = futures.values()
    return future.result(LIMIT)


class Group:
    """What the members of one group have between them."""

    def __init__(self, partitions=PARTITIONS, admin=None):
        self.id = f"python-{uuid.uuid4().hex[:12]}"
        self.topic = topic(admin, partitions)
        self.owners, self.seen, self.faults = {}, Counter(), []
        self.lock = threading.Lock()

    def shares(self):
        with self.lock:
            return dict(Counter(self.owners.values()))

    def have(self, **wanted):
        until(lambda: f"shares {wanted}; {self.shares()}", lambda: self.shares() == wanted)

    def all(self, count, once=True):
        until(lambda: f"{count} records; {len(self.seen)}", lambda: len(self.seen) >= count)
        with self.lock:
            same(len(self.seen), count, "records seen")
            same(self.faults, [], "two owners at once")
            if once:
                same([value for value, times in self.seen.items() if times > 1], [], "records seen more than once")

    def send(self, first, last):
        sender = producer()
        for n in range(first, last):
            sender.produce(self.topic, b"%d" % n, partition=n % PARTITIONS)
            sender.poll(0)
        same(sender.flush(LIMIT), 0, "records without a delivery report")


class Member:
    """A consumer on a thread of its own."""

    def __init__(self, name, group, **config):
        self.name, self.group, self.stop, self.revoked = name, group, False, set()
        base = {"group.id": group.id, "client.id": name, "auto.offset.reset": "earliest", "heartbeat.interval.ms": 200}
        base |= {"enable.partition.eof": False, "topic.metadata.refresh.interval.ms": 1000}
        self.consumer = consumer(**base, **config)
        self.consumer.subscribe([group.topic], on_assign=self.take, on_revoke=self.release)
        self.cooperative = "cooperative" in config.get("partition.assignment.strategy", "")
        self.thread = threading.Thread(target=self.poll, daemon=True)
        self.thread.start()

    def take(self, client, partitions):
        with self.group.lock:
            for one in partitions:
                before = self.group.owners.get(one.partition)
                if before is not None:
                    self.group.faults.append(f"{one.partition} was given to {self.name} while {before} had it")
                self.group.owners[one.partition] = self.name

    def release(self, client, partitions):
        # Everything polled so far was counted: who comes next begins where this one has ended.
        try:
            client.commit(asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NO_OFFSET:
                self.group.faults.append(f"commit of {self.name}: {error}")
        with self.group.lock:
            for one in partitions:
                self.revoked.add(one.partition)
                if self.group.owners.get(one.partition) == self.name:
                    del self.group.owners[one.partition]

    def poll(self):
        while not self.stop:
            message = self.consumer.poll(0.1)
            if message is not None and message.error() is None:
                with self.group.lock:
                    self.group.seen[message.value()] += 1
            elif message is not None:
                self.group.faults.append(f"{self.name}: {message.error()}")
        self.consumer.close()

    def leave(self):
        self.stop = True
        self.thread.join(LIMIT)
        check(not self.thread.is_alive(), f"{self.name} is still there")


def come_and_go(admin, assignor):
    group, config = Group(admin=admin), {"partition.assignment.strategy": assignor}
    group.send(0, 300)
    a = Member("a", group, **config)
    group.have(a=6)
    b = Member("b", group, **config)
    group.have(a=3, b=3)
    group.send(300, 600)
    c = Member("c", group, **config)
    group.have(a=2, b=2, c=2)
    group.send(600, 900)
    group.all(900)
    if a.cooperative:
        same(len(a.revoked), 4, "partitions that a gave up for b and c")
    described = only(admin.describe_consumer_groups([group.id]))
    same(described.state, ConsumerGroupState.STABLE, "state")
    same(sorted(member.client_id for member in described.members), ["a", "b", "c"], "members")
    same(sum(len(member.assignment.topic_partitions) for member in described.members), PARTITIONS, "partitions described")
    b.leave()
    group.have(a=3, c=3)
    group.send(900, 1200)
    a.leave()
    group.have(c=6)
    group.send(1200, 1500)
    group.all(1500)
    c.leave()
    offsets = only(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group.id)])).topic_partitions
    same(sum(one.offset for one in offsets), 1500, "sum of committed offsets")


def group_range(admin):
    come_and_go(admin, "range")


def group_roundrobin(admin):
    come_and_go(admin, "roundrobin")


def group_cooperative(admin):
    come_and_go(admin, "cooperative-sticky")


def static_members(admin):
    group = Group(admin=admin)
    a, b = Member("a", group, **{"group.instance.id": "seat-a"}), Member("b", group, **{"group.instance.id": "seat-b"})
    group.have(a=3, b=3)
    a.leave()
    again = Member("again", group, **{"group.instance.id": "seat-a"})
    group.have(again=3, b=3)
    same(b.revoked, set(), "partitions that b gave up")
    group.send(0, 300)
    group.all(300)
    again.leave()
    b.leave()


def by_time(admin):
    name = topic(admin)
    records = sample(100)
    produce(name, records)
    for spec, wanted in ((OffsetSpec.for_timestamp(START + 505), 51), (OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 100)):
        found = only(admin.list_offsets({TopicPartition(name, 0): spec}, isolation_level=IsolationLevel.READ_UNCOMMITTED))
        same(found.offset, wanted, f"offset for {spec}")
    same(only(admin.list_offsets({TopicPartition(name, 0): OffsetSpec.max_timestamp()})).offset, 99, "largest timestamp")


def partitions_and_topics(admin):
    name = topic(admin, 2)
    only(admin.create_partitions([NewPartitions(name, 5)]))
    until("five partitions", lambda: len(admin.list_topics(name, LIMIT).topics[name].partitions) == 5)
    fails(KafkaError.INVALID_PARTITIONS, lambda: only(admin.create_partitions([NewPartitions(name, 3)])), "fewer partitions")
    described = only(admin.describe_topics(TopicCollection([name])))
    same(len(described.partitions), 5, "partitions described")
    bad = NewTopic(f"{name}-bad", 1, 1, config={"retention.ms": "soon"})
    fails(KafkaError.INVALID_CONFIG, lambda: only(admin.create_topics([bad])), "a bad config value")
    fails(KafkaError.INVALID_REPLICATION_FACTOR, lambda: only(admin.create_topics([NewTopic(f"{name}-9", 1, 9)])), "more replicas than nodes")
    only(admin.create_topics([NewTopic(f"{name}-try", 1, 1)], validate_only=True))
    check(f"{name}-try" not in admin.list_topics(timeout=LIMIT).topics, "a tried creation made the topic")
    nodes = admin.describe_cluster().result(LIMIT)
    check(nodes.controller.id in [node.id for node in nodes.nodes], "a controller among the nodes")


def configs(admin):
    name = topic(admin)

    def config(key):
        return only(admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)]))[key]

    def shows(key, value, source):
        def so():
            entry = config(key)
            return entry.value == value and entry.source == source.value

        until(lambda: f"{key}={value} from {source}; {config(key)}", so)

    def alter(key, value, operation):
        entry = ConfigEntry(key, value, incremental_operation=operation)
        only(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])]))

    until("the topic is known", lambda: name in admin.list_topics(timeout=LIMIT).topics)
    shows("retention.ms", "604800000", ConfigSource.DEFAULT_CONFIG)
    alter("retention.ms", "7200000", AlterConfigOpType.SET)
    shows("retention.ms", "7200000", ConfigSource.DYNAMIC_TOPIC_CONFIG)
    alter("cleanup.policy", "delete", AlterConfigOpType.APPEND)
    shows("cleanup.policy", "delete", ConfigSource.DYNAMIC_TOPIC_CONFIG)
    alter("retention.ms", None, AlterConfigOpType.DELETE)
    shows("retention.ms", "604800000", ConfigSource.DEFAULT_CONFIG)
    fails(KafkaError.INVALID_CONFIG, lambda: alter("retention.ms", "soon", AlterConfigOpType.SET), "a bad value")
    # The older way: what is not named goes back to its default.
    only(admin.alter_configs([ConfigResource(ResourceType.TOPIC, name, set_config={"max.message.bytes": "5000"})]))
    shows("max.message.bytes", "5000", ConfigSource.DYNAMIC_TOPIC_CONFIG)
    shows("cleanup.policy", "delete", ConfigSource.DEFAULT_CONFIG)


def delete_records(admin):
    name, records = topic(admin), sample(100)
    produce(name, records)
    same(only(admin.delete_records([TopicPartition(name, 0, 40)])).low_watermark, 40, "low watermark")
    messages = consume(name, 10, **{"auto.offset.reset": "earliest"})
    same((len(messages), messages[0].offset()), (60, 40), "what is left")
    beyond = [TopicPartition(name, 0, 101)]
    fails(KafkaError.OFFSET_OUT_OF_RANGE, lambda: only(admin.delete_records(beyond)), "deletion beyond the end")


def groups(admin):
    group = Group(admin=admin)
    a = Member("a", group)
    group.have(a=6)
    listed = {one.group_id: one for one in admin.list_consumer_groups().result(LIMIT).valid}
    same(listed[group.id].state, ConsumerGroupState.STABLE, "state listed")
    fails(KafkaError.NON_EMPTY_GROUP, lambda: only(admin.delete_consumer_groups([group.id])), "deletion of a live group")
    a.leave()
    wanted = [TopicPartition(group.topic, 0, 7), TopicPartition(group.topic, 1, 8)]
    only(admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group.id, wanted)]))
    found = only(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group.id)])).topic_partitions
    same(sorted((one.partition, one.offset) for one in found), [(0, 7), (1, 8)], "offsets of the group")
    only(admin.delete_consumer_groups([group.id]))
    fails(KafkaError.GROUP_ID_NOT_FOUND, lambda: only(admin.delete_consumer_groups([group.id])), "a second deletion")


def offsets(admin):
    name, group = topic(admin, 2), f"python-{uuid.uuid4().hex[:12]}"
    produce(name, sample(50))
    first = consumer(**{"group.id": group})
    first.assign([TopicPartition(name, 0)])
    same(first.committed([TopicPartition(name, 0)], LIMIT)[0].offset, -1001, "committed before any commit")
    first.commit(offsets=[TopicPartition(name, 0, 42, "half of it: \u00fc")], asynchronous=False)
    found = first.committed([TopicPartition(name, 0), TopicPartition(name, 1)], LIMIT)
    same((found[0].offset, found[0].metadata, found[1].offset), (42, "half of it: \u00fc", -1001), "committed")
    first.close()
    second = consumer(**{"group.id": group})
    second.assign([TopicPartition(name, 0)])
    message = second.poll(LIMIT)
    same(message.offset(), 42, "where the next one begins")
    second.close()


if __name__ == "__main__":
    CHECKS = [group_range, group_roundrobin, group_cooperative, static_members, offsets, by_time, partitions_and_topics]
    run(CHECKS + [configs, delete_records, groups], AdminClient({"bootstrap.servers": BOOTSTRAP}))

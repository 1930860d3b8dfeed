"""Callboard as confluent-kafka (librdkafka) sees it: produce, consume by assign, compare every field.

Usage: suite.py BOOTSTRAP. One line a check; the exit code says whether all held.
"""

import sys
import time
import uuid
import zlib

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition, libversion, version
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP = sys.argv[1]
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
# A guard against a hang, not a measure.
LIMIT = 60.0
# An hour ago: brokers forget records by the age of their timestamps.
START = int(time.time() * 1000) - 3_600_000


class Failed(Exception):
    pass


def check(held, what):
    if not held:
        raise Failed(what)


def same(got, wanted, what):
    if got != wanted:
        raise Failed(f"{what}: got {str(got)[:300]!r}, wanted {str(wanted)[:300]!r}")


def topic(admin, partitions=1):
    name = f"python-{uuid.uuid4().hex[:12]}"
    for future in admin.create_topics([NewTopic(name, partitions, 1)]).values():
        future.result(LIMIT)
    return name


def producer(**config):
    return Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True, "linger.ms": 5, **config})


def consumer(**config):
    base = {"bootstrap.servers": BOOTSTRAP, "group.id": "never-joined", "enable.auto.commit": False}
    # A short wait at the end: the end is met often here.
    return Consumer({**base, "enable.partition.eof": True, "fetch.wait.max.ms": 20, **config})


def produce(to, records, **config):
    """Sends records (key, value, headers, timestamp) to partition 0; returns the offsets of their acknowledgements."""
    offsets, errors = [], []

    def done(error, message):
        if error is not None:
            errors.append(error)
        else:
            offsets.append(message.offset())

    sender = producer(**config)
    for key, value, headers, timestamp in records:
        while True:
            try:
                extra = {} if headers is None else {"headers": headers}
                sender.produce(to, value, key, partition=0, timestamp=timestamp, on_delivery=done, **extra)
                break
            except BufferError:
                sender.poll(0.1)
        sender.poll(0)
    left = sender.flush(LIMIT)
    check(not errors, f"deliveries failed: {errors[:3]}")
    same(left, 0, "records without a delivery report")
    return offsets


def consume(from_topic, start, **config):
    """Reads partition 0 from `start` to the end of the partition."""
    reader = consumer(**config)
    messages, until = [], time.monotonic() + LIMIT
    try:
        reader.assign([TopicPartition(from_topic, 0, start)])
        while time.monotonic() < until:
            message = reader.poll(1.0)
            if message is None:
                continue
            if message.error() is None:
                messages.append(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                return messages
            else:
                raise KafkaException(message.error())
    finally:
        reader.close()
    raise Failed(f"no end of {from_topic} after {len(messages)} records")


def compare(messages, records, first=0):
    same(len(messages), len(records), "number of records")
    for index, (message, (key, value, headers, timestamp)) in enumerate(zip(messages, records)):
        at = f"record {first + index}"
        same(message.offset(), first + index, f"{at}, offset")
        same(message.key(), key, f"{at}, key")
        same(message.value(), value, f"{at}, value")
        same(message.headers(), headers, f"{at}, headers")
        same(message.timestamp()[1], timestamp, f"{at}, timestamp")


def sample(count):
    """Records of all shapes: keys and values null, empty and filled; headers none, single, repeated, null."""
    keys = [None, b"", b"key", b"\x00\xff" * 20]
    values = [b"value", None, b"", b"x" * 3000, bytes(range(256))]
    headers = [
        None,
        [("one", b"1")],
        [("twice", b"first"), ("other", None), ("twice", b"second"), ("twice", b"first")],
        [("", b""), ("\u00fcn\u00efcode", b"\x00")],
    ]
    return [(keys[n % 4], values[n % 5], headers[n % 3 if n % 7 else 3], START + n * 10) for n in range(count)]


def big(size):
    """Incompressible and always the same."""
    out, seed = bytearray(), 1
    while len(out) < size:
        seed = zlib.crc32(seed.to_bytes(4, "big"))
        out += seed.to_bytes(4, "big")
    return bytes(out[:size])


def codecs(admin):
    for codec in CODECS:
        for acks in ("all", "1"):
            name, records = topic(admin), sample(500)
            idempotent = {"acks": acks, "enable.idempotence": acks == "all"}
            offsets = produce(name, records, **idempotent, **{"compression.type": codec})
            same(offsets, list(range(500)), f"offsets acknowledged ({codec}, acks={acks})")
            compare(consume(name, OFFSET_BEGINNING), records)
            # Whether it was compressed is for the caller to see.
            print(f"codec {name} {codec}", flush=True)


def without_acknowledgement(admin):
    name, records = topic(admin), sample(50)
    produce(name, records, acks="0", **{"enable.idempotence": False})
    # Nothing says when they have arrived: read until they are there.
    deadline = time.monotonic() + LIMIT
    while len(consume(name, OFFSET_BEGINNING)) < 50 and time.monotonic() < deadline:
        pass
    compare(consume(name, OFFSET_BEGINNING), records)


def large_records(admin):
    for codec in CODECS:
        name = topic(admin)
        value = big(900_000)
        records = [(b"%d" % n, value[n:] + value[:n], [("n", b"%d" % n)], START + n) for n in range(5)]
        produce(name, records, **{"compression.type": codec})
        compare(consume(name, OFFSET_BEGINNING), records)
    too_large = topic(admin)
    try:
        produce(too_large, [(None, big(1_500_000), None, START)], **{"message.max.bytes": 3_000_000})
        raise Failed("a record over message.max.bytes was taken")
    except Failed as failed:
        check("MSG_SIZE_TOO_LARGE" in str(failed), f"a record over message.max.bytes: {failed}")


def positions(admin):
    name, records = topic(admin), sample(300)
    produce(name, records, **{"batch.num.messages": 7})
    compare(consume(name, 123), records[123:], 123)
    compare(consume(name, 299), records[299:], 299)
    compare(consume(name, OFFSET_END), [])
    reader = consumer()
    try:
        low_high = reader.get_watermark_offsets(TopicPartition(name, 0), LIMIT)
        same(low_high, (0, 300), "watermarks")
        # Records lie 10 ms apart: an exact hit, one between two, the first, one past the last.
        asked = {START + 1230: 123, START + 1231: 124, START - 5: 0, START + 2990: 299, START + 3000: -1}
        for timestamp, offset in asked.items():
            found = reader.offsets_for_times([TopicPartition(name, 0, timestamp)], LIMIT)[0]
            check(found.error is None, f"offsets_for_times: {found.error}")
            same(found.offset, offset, f"offset for {timestamp - START} ms")
    finally:
        reader.close()
    compare(consume(name, 124), records[124:], 124)


def tail(admin):
    """A consumer that waits at the end is given what is produced after that."""
    name = topic(admin)
    produce(name, sample(10))
    reader = consumer()
    try:
        reader.assign([TopicPartition(name, 0, OFFSET_END)])
        until = time.monotonic() + LIMIT
        at_end = False
        while not at_end and time.monotonic() < until:
            message = reader.poll(1.0)
            at_end = message is not None and message.error() is not None
        check(at_end, "the end was not reached")
        produce(name, [(b"late", b"record", None, START)])
        while time.monotonic() < until:
            message = reader.poll(1.0)
            if message is not None and message.error() is None:
                same((message.offset(), message.key()), (10, b"late"), "the late record")
                return
    finally:
        reader.close()
    raise Failed("the late record did not come")


def out_of_range(admin):
    name, records = topic(admin), sample(20)
    produce(name, records)
    compare(consume(name, 1_000, **{"auto.offset.reset": "earliest"}), records)
    try:
        consume(name, 1_000, **{"auto.offset.reset": "error"})
        raise Failed("an offset out of range was served")
    except KafkaException as error:
        same(error.args[0].code(), KafkaError._AUTO_OFFSET_RESET, "error for an offset out of range")


def many_partitions(admin):
    name, sender = topic(admin, 6), producer()
    for n in range(3_000):
        sender.produce(name, b"%d" % n, b"key-%d" % (n % 97))
        sender.poll(0)
    same(sender.flush(LIMIT), 0, "records without a delivery report")
    reader, seen, ends = consumer(), {}, set()
    try:
        reader.assign([TopicPartition(name, p, OFFSET_BEGINNING) for p in range(6)])
        until = time.monotonic() + LIMIT
        while len(ends) < 6 and time.monotonic() < until:
            message = reader.poll(1.0)
            if message is None:
                continue
            if message.error() is not None:
                ends.add(message.partition())
            else:
                seen.setdefault(message.key(), []).append(int(message.value()))
    finally:
        reader.close()
    same(sum(len(v) for v in seen.values()), 3_000, "records over all partitions")
    for key, values in seen.items():
        same(values, sorted(values), f"order of {key}")


def topics(admin):
    name = topic(admin, 3)
    listed = admin.list_topics(timeout=LIMIT).topics
    check(name in listed, "a created topic is not listed")
    same(sorted(listed[name].partitions), [0, 1, 2], "partitions")
    for future in admin.create_topics([NewTopic(name, 3, 1)]).values():
        try:
            future.result(LIMIT)
            raise Failed("a topic was created twice")
        except KafkaException as error:
            same(error.args[0].code(), KafkaError.TOPIC_ALREADY_EXISTS, "error for a second creation")
    for bad, partitions, wanted in (("no spaces", 1, KafkaError.TOPIC_EXCEPTION), ("zero", 0, KafkaError.INVALID_PARTITIONS)):
        try:
            for future in admin.create_topics([NewTopic(bad, partitions, 1)]).values():
                future.result(LIMIT)
            raise Failed(f"the topic {bad!r} with {partitions} partitions was created")
        except KafkaException as error:
            same(error.args[0].code(), wanted, f"error for the topic {bad!r}")
    produce(name, sample(10))
    for future in admin.delete_topics([name]).values():
        future.result(LIMIT)
    check(name not in admin.list_topics(timeout=LIMIT).topics, "a deleted topic is listed")
    for future in admin.delete_topics([name]).values():
        try:
            future.result(LIMIT)
            raise Failed("a topic was deleted twice")
        except KafkaException as error:
            same(error.args[0].code(), KafkaError.UNKNOWN_TOPIC_OR_PART, "error for a second deletion")
    # Made again under the same name it is a new, empty one.
    for future in admin.create_topics([NewTopic(name, 1, 1)]).values():
        future.result(LIMIT)
    records = sample(3)
    same(produce(name, records), [0, 1, 2], "offsets in a topic that was made again")
    compare(consume(name, OFFSET_BEGINNING), records)


def auto_create(_admin):
    name, records = f"python-auto-{uuid.uuid4().hex[:12]}", sample(5)
    same(produce(name, records), list(range(5)), "offsets in an auto-created topic")
    compare(consume(name, OFFSET_BEGINNING), records)


def transactions(_admin):
    """They are not served: the client is told so by the first answer, and does not ask until its own time is up."""
    sender = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": f"python-{uuid.uuid4().hex[:12]}"})
    try:
        # A guard against a hang: the client's own limit is two minutes.
        sender.init_transactions(20.0)
        raise Failed("a transaction was let through")
    except KafkaException as error:
        refused = error.args[0]
        same((refused.code(), refused.fatal()), (KafkaError.CLUSTER_AUTHORIZATION_FAILED, True), "error")
        words = "transactions are not served by this broker yet: leave transactional.id out"
        check(words in refused.str(), f"words of: {refused.str()}")


def run(checks, admin):
    """Runs them; one line a check; the exit code says whether all held."""
    print(f"confluent-kafka {version()}, librdkafka {libversion()[0]}", flush=True)
    failed = 0
    for check_one in checks:
        try:
            check_one(admin)
            print(f"ok      {check_one.__name__}", flush=True)
        except Exception as error:  # every check is to be heard
            failed += 1
            print(f"FAILED  {check_one.__name__}: {type(error).__name__}: {error}", flush=True)
    print(f"{len(checks) - failed} of {len(checks)} held", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    suites = [topics, auto_create, codecs, without_acknowledgement, large_records, positions, tail, out_of_range]
    suites += [many_partitions, transactions]
    run(suites, AdminClient({"bootstrap.servers": BOOTSTRAP}))

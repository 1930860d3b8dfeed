"""What one broker goes through, from an empty data directory to its end: each function is one life and yields samples.

A sample is (measure, value), yielded as soon as it is known, so that what fails later loses nothing. The measured window
of a load begins with the first line that came after the warm-up; bytes, time and CPU are differences between the same
two lines. MB is 2^20 bytes of values, GB is 2^30.
"""

import signal
import time

from . import brokers, clients, payload, proc

MIB = 1 << 20
PARTITIONS = 6
# What a topic keeps, all partitions together: more than any broker holds of it in its own memory.
KEPT = 4 << 30
MANY = (10, 100)
# What a broker may take on disk before its life is ended, in MiB.
DISK_MAX = 20_000


def produce(broker, client, size, times, prefix):
    """A producer without a brake: MB/s, records/s, CPU seconds a GB, memory at the end, most disk, the client's cores."""
    begin, disk = None, 0
    with client as lines:
        first = time.monotonic()
        while True:
            at, line = lines.next(60)
            if line is None:
                raise proc.Failed(f"the producer ended: {lines.errors[-3:]}")
            if line.startswith("ready "):
                yield f"{prefix}.shrinks", float(line.split()[1].partition(":")[0])
            records = clients.sent(line)
            if records is None:
                continue
            disk = max(disk, proc.disk_mib(broker.data))
            if disk > DISK_MAX:
                raise proc.Failed(f"it takes {disk:.0f} MiB on disk: {KEPT >> 20} should be kept")
            if begin is None:
                if at - first >= times.warmup:
                    begin, cpu, total, own = at, broker.cpu(), 0, proc.cpu_seconds(lines.child.pid)
                continue
            total += records
            if at - begin >= times.seconds:
                break
        cpu, own, rss = broker.cpu() - cpu, proc.cpu_seconds(lines.child.pid) - own, broker.rss()
    mib, seconds = total * size / MIB, at - begin
    yield f"{prefix}.mb_s", mib / seconds
    yield f"{prefix}.records_s", total / seconds
    yield f"{prefix}.cpu_gb", cpu / (mib / 1024)
    yield f"{prefix}.rss", rss
    yield f"{prefix}.disk", disk
    yield f"{prefix}.client_cores", own / seconds


def consume(broker, helper, topic, size, times, prefix):
    """ConsumerPerformance from the start, pass after pass: MB/s and records/s while it fetches, CPU seconds a GB."""
    time.sleep(brokers.RETENTION_CHECK_MS / 1000 + 1)  # what is to expire has expired, and settled
    proc.until_quiet(broker.pid)
    records = min(int(helper.call("records", broker.bootstrap, topic)[0]), KEPT // size) * 19 // 20
    megabytes = seconds = total = cpu = 0
    with clients.passes(broker, topic, records, times) as lines:
        while True:
            _, line = lines.next(120)
            if line is None:
                break
            if line in ("pass warms up", "pass counts"):
                counts, before, found = line == "pass counts", broker.cpu(), None
            elif line.count(",") == 9:
                found = [each.strip() for each in line.split(",")]
            elif line == "pass ends":
                if found is None or int(found[4]) < records:
                    raise proc.Failed(f"ConsumerPerformance read {found and found[4]} of {records} records")
                if counts:  # MB, records, and the milliseconds of fetching, without joining the group
                    megabytes, total = megabytes + float(found[2]), total + int(found[4])
                    seconds, cpu = seconds + float(found[7]) / 1000, cpu + broker.cpu() - before
    yield f"{prefix}.mb_s", megabytes / seconds
    yield f"{prefix}.records_s", total / seconds
    yield f"{prefix}.cpu_gb", cpu / (megabytes / 1024)
    yield f"{prefix}.pass_mb", records * size / MIB


def throughput(broker, helper, times, rows):
    """1 KiB records in 64 KiB batches, one connection: produce, then consume what is kept of it."""
    broker.start()
    helper.create(broker, "load", PARTITIONS, retention__bytes=KEPT // PARTITIONS)
    if "produce" in rows:
        client = clients.producer_performance(broker, "load", 1024)
        yield from produce(broker, client, 1024, times, f"produce.{broker.durability}")
    else:
        fill(broker, "load", 1024, KEPT)
    if "consume" in rows and broker.durability == "os":
        yield from consume(broker, helper, "load", 1024, times.shorter_warmup("produce" in rows), "consume")


def small(broker, helper, times, _rows):
    """100 B records: produce, then consume what is kept of it."""
    broker.start()
    helper.create(broker, "small", PARTITIONS, retention__bytes=KEPT // PARTITIONS)
    client = clients.producer_performance(broker, "small", 100)
    yield from produce(broker, client, 100, times, f"small.produce.{broker.durability}")
    yield from consume(broker, helper, "small", 100, times.shorter_warmup(True), f"small.consume.{broker.durability}")


def compressed(broker, helper, times, _rows, codec):
    """JSON lines with one codec: compressed by the producer as it goes, then beforehand."""
    broker.start()
    helper.create(broker, "load", PARTITIONS, retention__bytes=KEPT // PARTITIONS)
    size, prefix = payload.JSON_SIZE, f"codecs.{codec}.{broker.durability}"
    yield from produce(broker, clients.producer_performance(broker, "load", size, codec=codec), size, times, prefix)
    client = clients.ready(broker, "load", PARTITIONS, codec)
    yield from produce(broker, client, size, times.shorter_warmup(True), f"{prefix}.ready")


def fill(broker, topic, size, how_much):
    """Writes so many bytes."""
    with clients.producer_performance(broker, topic, size, how_much // size) as lines:
        while lines.next(120)[1] is not None:
            pass
        if lines.child.wait():
            raise proc.Failed(f"ProducerPerformance failed: {lines.errors[-3:]}")


def open_loop(broker, helper, times, prefix, reads, topic, partitions, rate, linger):
    """p50 and p99 at a fixed rate: of what is read, or of the acknowledgements."""
    helper.create(broker, topic, partitions)
    options = {"partitions": partitions, "rate": rate, "size": 1024, "linger": linger, "warmup": times.warmup,
               "seconds": times.seconds, "consume": str(reads).lower()}
    with clients.open_loop(broker, topic, **options) as lines:
        found = clients.last_json(lines, times.warmup + times.seconds + 180)
    kind = "read" if reads else "ack"
    missing = found["due"] - found[f"{kind}_count"]
    if missing > found["due"] // 1000:
        raise proc.Failed(f"{missing} of {found['due']} records never came, {found['failed']} failed")
    for what in ("p50", "p99"):
        yield f"{prefix}.{what}", found[f"{kind}_{what}"]


def latency(broker, helper, times, rows):
    """Produce to consume at 2,000/s; 180 partitions at 83/s each."""
    broker.start()
    if "latency" in rows:
        yield from open_loop(broker, helper, times, f"latency.{broker.durability}", True, "pace", PARTITIONS, 2000, 0)
    if "many" in rows:
        yield from open_loop(broker, helper, times, f"many.{broker.durability}", False, "wide", 180, 180 * 83, 1)


def first_ack(broker, helper, topic):
    """Milliseconds from the start of the process to the first acknowledgement; the client tries already."""
    helper.ask("ack", broker.bootstrap, topic)
    at = broker.spawn()
    try:
        return int(helper.answer()[0]) / 1000 - at * 1000
    except proc.Failed as error:
        raise proc.Failed(f"{error}; {broker.name}: {broker.last_words()}") from None


def start(broker, helper, times, _rows):
    """An empty node: first acknowledgement, idle memory; then 2 GiB, kill -9, first acknowledgement."""
    yield "start.empty", first_ack(broker, helper, "greetings")
    time.sleep(times.idle)
    yield "start.rss", broker.rss()
    helper.create(broker, "load", PARTITIONS)
    fill(broker, "load", 1024, times.kill_bytes)
    broker.stop(signal.SIGKILL)
    yield "start.killed", first_ack(broker, helper, "load")


def partitions(broker, helper, _times, _rows):
    """1,000 partitions in one CreateTopics (10 topics of 100); a clean end; a restart with them."""
    broker.start()
    _, led = helper.call("many", broker.bootstrap, "wide", *MANY)
    yield "partitions.create", float(led)
    yield "partitions.rss", broker.rss()
    broker.stop()
    helper.ask("led", broker.bootstrap, "wide", *MANY)
    at = broker.spawn()
    yield "partitions.restart", max(int(each) for each in helper.answer()) / 1000 - at * 1000

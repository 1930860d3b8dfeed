"""Samples, and the Markdown table made of them.

A sample is one line of JSON: life, durability, broker, pair, measure, value; or an error instead of a value. The ratio of
a measure is Callboard's divided by Kafka's of the same pair; the table shows its median and its range over the pairs, and
the target of issue 6 beside it. A measure without samples has no line; what failed is listed below the table.
"""

import json
import statistics

from . import payload

# measure, title, unit, target ("ratio" or "value" of Callboard, at least or at most)
MEASURES = [
    ("produce.os.mb_s", "produce, `os` / Kafka's default", "MB/s", "ratio", ">=", 1.2),
    ("produce.fsync.mb_s", "produce, `fsync` / `flush.messages=1`", "MB/s", "ratio", ">=", 5),
    ("consume.mb_s", "consume from the start", "MB/s", "ratio", ">=", 1.0),
    ("latency.os.p50", "produce → consume at 2,000/s, `os`, p50", "ms", "ratio", "<=", 0.8),
    ("latency.os.p99", "produce → consume at 2,000/s, `os`, p99", "ms", "ratio", "<=", 0.8),
    ("latency.fsync.p50", "produce → consume at 2,000/s, `fsync`, p50", "ms", "ratio", "<=", 0.2),
    ("latency.fsync.p99", "produce → consume at 2,000/s, `fsync`, p99", "ms", "ratio", "<=", 0.2),
    ("many.os.p50", "180 partitions × 83/s, `os`, ack p50", "ms", "ratio", "<=", 0.8),
    ("many.os.p99", "180 partitions × 83/s, `os`, ack p99", "ms", "ratio", "<=", 0.8),
    ("many.fsync.p50", "180 partitions × 83/s, `fsync`, ack p50", "ms", "ratio", "<=", 0.03),
    ("many.fsync.p99", "180 partitions × 83/s, `fsync`, ack p99", "ms", "ratio", "<=", 0.03),
    ("small.produce.os.records_s", "100 B records, produce, `os`", "records/s", "ratio", ">=", 1),
    ("small.produce.fsync.records_s", "100 B records, produce, `fsync`", "records/s", "ratio", ">=", 1),
    ("small.consume.os.records_s", "100 B records, consume, `os`", "records/s", "ratio", ">=", 1),
    ("small.consume.fsync.records_s", "100 B records, consume, `fsync`", "records/s", "ratio", ">=", 1),
    ("produce.os.cpu_gb", "broker CPU, produce, `os`", "s/GB", "value", "<=", 1.4),
    ("produce.fsync.cpu_gb", "broker CPU, produce, `fsync`", "s/GB", None, None, None),
    ("consume.cpu_gb", "broker CPU, consume", "s/GB", "value", "<=", 0.5),
    ("small.produce.os.cpu_gb", "broker CPU, produce 100 B, `os`", "s/GB", None, None, None),
    ("small.consume.os.cpu_gb", "broker CPU, consume 100 B", "s/GB", None, None, None),
    ("produce.os.rss", "memory while producing, `os`", "MiB", None, None, None),
    ("produce.os.disk", "most disk while producing, 4 GiB kept", "MiB", None, None, None),
    *(each for codec in payload.CODECS for each in (
        (f"codecs.{codec}.os.records_s", f"produce JSON, {codec}", "records/s", "ratio", ">=", 1),
        (f"codecs.{codec}.os.ready.records_s", f"the same, compressed beforehand, {codec}", "records/s", "ratio", ">=", 1),
        (f"codecs.{codec}.os.cpu_gb", f"broker CPU, produce JSON, {codec}", "s/GB", "ratio", "<=", 1),
        (f"codecs.{codec}.os.ready.cpu_gb", f"broker CPU, compressed beforehand, {codec}", "s/GB", "ratio", "<=", 1))),
    ("start.empty", "start to first acknowledgement", "ms", "value", "<=", 300),
    ("start.killed", "the same after kill -9 with 2 GiB", "ms", "value", "<=", 1000),
    ("start.rss", "idle memory after 10 s", "MiB", "value", "<", 60),
    ("partitions.create", "1,000 partitions made (10 topics × 100)", "ms", "value", "<=", 500),
    ("partitions.restart", "restart with them, acknowledged and all led", "ms", "value", "<=", 500),
    ("partitions.rss", "memory with them", "MiB", None, None, None),
]
HOLDS = {">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b, "<": lambda a, b: a < b}
SIGNS = {">=": "≥", "<=": "≤", "<": "<"}


class Samples:
    """What was measured so far, also in a file of JSON lines."""

    def __init__(self, path):
        self.path, self.all = path, []
        with open(path, "w", encoding="utf-8"):
            pass

    def add(self, **sample):
        """One more."""
        self.all.append(sample)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(sample) + "\n")

    def of(self, measure, broker):
        """Values by pair."""
        return {each["pair"]: each["value"] for each in self.all
                if each.get("measure") == measure and each["broker"] == broker}

    def errors(self):
        """What failed."""
        return [each for each in self.all if "error" in each]


def number(value):
    """Three digits that matter."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def spread(values, suffix=""):
    """Median and range."""
    values = list(values)
    if not values:
        return "–"
    middle = number(statistics.median(values)) + suffix
    return middle if len(values) == 1 else f"{middle} ({number(min(values))}–{number(max(values))})"


def line(samples, measure, title, unit, target, sign, bound):
    """One line of the table without its target, and what its target says; or none."""
    ours, theirs = samples.of(measure, "Callboard"), samples.of(measure, "Kafka")
    if not ours and not theirs:
        return None
    ratios = [ours[pair] / theirs[pair] for pair in ours if theirs.get(pair)]
    judged = ratios if target == "ratio" else list(ours.values())
    wanted, met = "", ""
    if target:
        wanted = f"{SIGNS[sign]} {bound:,}" + ("×" if target == "ratio" else f" {unit}")
        if judged:
            met = "yes" if HOLDS[sign](statistics.median(judged), bound) else "**no**"
    return (f"| {title} | {spread(ours.values())} {unit} | {spread(theirs.values())} {unit} | {spread(ratios, '×')} |",
            f" {wanted} | {met} |")


def lines(samples):
    """All of them."""
    return [each for each in (line(samples, *measure) for measure in MEASURES) if each]


def rows(samples):
    """The lines as the README has them: without targets."""
    return [row for row, _ in lines(samples)]


def codecs(samples):
    """How far each codec came with the JSON, and how many cores the producer took that compressed it."""
    found = {}
    for each in samples.all:
        words = each.get("measure", "").split(".")
        if words[0] == "codecs" and words[-1] in ("shrinks", "client_cores"):
            found.setdefault(words[1], {}).setdefault((words[-1], "ready" in words), []).append(each["value"])
    said = [f"{codec} to 1/{number(max(values['shrinks', True]))} on {spread(values.get(('client_cores', False), []))} cores"
            for codec, values in found.items() if ("shrinks", True) in values]
    if not said:
        return []
    return ["", "JSON: lines of 1 KiB made with a fixed seed; a GB is one before compression. The producer compresses in one thread:",
            "where that is the limit, records/s are those of the client, and the CPU tells the brokers apart. So the same lines",
            "come compressed beforehand as well, over four connections, where the broker is the limit. The producer compressed",
            f"{'; '.join(said)}."]


def table(samples, where, command, took, lives):
    """The whole result."""
    times = sorted({f"{each.name()}: {each.pairs} × {each.times.seconds:g} s after {each.times.warmup:g} s"
                    for each in lives if each.loads})
    out = ["# Callboard beside Apache Kafka", "",
           *(f"- {name}: {value}" for name, value in where.items()), f"- command: `{command}`, {took / 60:.0f} minutes",
           f"- windows, a life each: {'; '.join(times)}" if times else None, "",
           "| what | Callboard | Kafka | ratio | target | met |", "|---|---|---|---|---|---|",
           *(row + target for row, target in lines(samples)), "",
           "Median (lowest–highest) over the pairs; a pair is a fresh Callboard, then a fresh Kafka; the ratio is Callboard's",
           "divided by Kafka's of the same pair. MB is 2^20 bytes of values, GB 2^30. Client and broker share the machine.",
           "Six partitions, one connection, `acks=all`, 4 GiB kept (`retention.bytes`) unless the line says otherwise. Latency",
           "counts from the time a record was due. Kafka's format is not counted in its start.", *codecs(samples)]
    killed = min((each.times.kill_bytes for each in lives), default=0) >> 20
    if killed < 2048:
        out += [f"A short run: {killed} MiB, not 2 GiB, before kill -9."]
    failed = samples.errors()
    if failed:
        out += ["", "Failed:", ""] + [f"- {each['broker']}, {each['life']} `{each['durability']}`, pair {each['pair']}: "
                                      f"{each['error']}" for each in failed]
    return "\n".join(each for each in out if each is not None) + "\n"

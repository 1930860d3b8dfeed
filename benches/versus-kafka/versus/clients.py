"""The clients, the same for both brokers: Kafka's own performance tools, and ours in ../java.

Each load is a JVM of its own with the heap of Kafka's scripts for tools; its lines are read as they come, with the time
at which they came. Producers run without an end and are killed when the window is over. No client parses a protocol here.
"""

import json
import os
import queue
import re
import subprocess
import threading
import time

from . import payload, proc

JAVA = ["java", "-Xmx512M", "-Xms512M", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"]
FOR_EVER = 10**12


class Lines:
    """A JVM and what it prints: pairs of arrival time and line."""

    def __init__(self, *args, stdin=None, scratch=None):
        java = [*JAVA, f"-Djava.io.tmpdir={scratch}"] if scratch else JAVA
        self.child = proc.spawn([*java, "-cp", os.environ["VERSUS_CLASSES"], *args], text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, stdin=stdin or subprocess.DEVNULL)
        self.lines, self.errors = queue.Queue(), []
        threading.Thread(target=self._read, args=(self.child.stdout,), daemon=True).start()
        threading.Thread(target=self._read_errors, args=(self.child.stderr,), daemon=True).start()

    def _read(self, pipe):
        for line in pipe:
            self.lines.put((time.monotonic(), line.strip()))
        self.lines.put((time.monotonic(), None))

    def _read_errors(self, pipe):
        for line in pipe:
            self.errors = (self.errors + [line.strip()])[-20:]

    def next(self, patience):
        """The next line and when it came; `None` at the end."""
        try:
            return self.lines.get(timeout=patience)
        except queue.Empty:
            raise proc.Failed(f"the client printed nothing for {patience} s: {self.errors[-3:]}") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        proc.end(self.child)


class Helper:
    """`Helper.java`: one process through the whole run."""

    def __init__(self):
        self.lines = Lines("Helper", stdin=subprocess.PIPE)

    def ask(self, *words):
        """Sends a command without waiting for the answer."""
        self.lines.child.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.lines.child.stdin.flush()

    def answer(self, patience=240):
        """The words of the answer behind `ok`."""
        _, line = self.lines.next(patience)
        if line is None or not line.startswith("ok"):
            raise proc.Failed(f"the helper says {line}: {self.lines.errors[-3:]}")
        return line.split()[1:]

    def call(self, *words):
        """A command and its answer."""
        self.ask(*words)
        return self.answer()

    def create(self, broker, topic, partitions, **configs):
        """Makes a topic with the broker's durability and waits for its leaders. A dot is a double underscore."""
        all_configs = {name.replace("__", "."): value for name, value in configs.items()} | broker.topic_configs()
        self.call("create", broker.bootstrap, topic, partitions, ",".join(f"{k}={v}" for k, v in all_configs.items()))


def producer_performance(broker, topic, size, records=FOR_EVER, codec=None):
    """Kafka's ProducerPerformance with batches of 64 KiB, a line a second; JSON if it is to be compressed."""
    file = payload.json_lines(broker.base) if codec else payload.random_lines(broker.base, size)
    return Lines("org.apache.kafka.tools.ProducerPerformance", "--bootstrap-server", broker.bootstrap, "--topic", topic,
                 "--num-records", str(records), "--throughput", "-1", "--payload-file", file,
                 "--reporting-interval", "1000", "--command-property", "acks=all", "batch.size=65536", "linger.ms=5",
                 "buffer.memory=67108864", f"compression.type={codec or 'none'}", scratch=broker.dir)


def ready(broker, topic, partitions, codec):
    """`Ready.java`: JSON in batches that were compressed beforehand, over four connections."""
    options = {"bootstrap": broker.bootstrap, "topic": topic, "partitions": partitions, "codec": codec, "connections": 4,
               "file": payload.json_lines(broker.base)}
    return Lines("Ready", *(f"{name}={value}" for name, value in options.items()), scratch=broker.dir)


def sent(line):
    """Records of one line of ProducerPerformance or Ready, or none if it is another line."""
    found = re.match(r"(\d+) records sent(, [\d.]+ records/sec .* max latency\.)?$", line)
    return int(found.group(1)) if found else None


def passes(broker, topic, records, times):
    """Kafka's ConsumerPerformance, from the start, again and again for so long."""
    return Lines("Passes", str(times.warmup), str(times.seconds), "--bootstrap-server", broker.bootstrap, "--topic", topic,
                 "--num-records", str(records), "--hide-header", "--timeout", "30000", "--reporting-interval", "1000000")


def open_loop(broker, topic, **options):
    """`OpenLoop.java`."""
    options = {"bootstrap": broker.bootstrap, "topic": topic} | options
    return Lines("OpenLoop", *(f"{name}={value}" for name, value in options.items()))


def last_json(lines, patience):
    """The line that OpenLoop prints at its end."""
    found = None
    while True:
        _, line = lines.next(patience)
        if line is None:
            break
        if line.startswith("{"):
            found = json.loads(line)
    if found is None:
        raise proc.Failed(f"the open-loop client gave no figures: {lines.errors[-3:]}")
    return found

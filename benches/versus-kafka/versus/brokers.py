"""The two brokers: how each is started with an empty data directory, and ended.

Both listen on 127.0.0.1, look for expired records each five seconds (the disk is small) and do not wait for more members
of a new group. Nothing else differs from their defaults, heap and collector of Kafka's own scripts included. `fsync` is
Callboard's `--durability fsync` and Kafka's topic config `flush.messages=1`; `os` is `--durability os` and Kafka's
default. Kafka's format is run beforehand and never counted.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import proc

RETENTION_CHECK_MS = 5000


class Broker:
    """One broker with a data directory of its own, below `base`."""

    name = ""

    def __init__(self, base, durability):
        self.durability, self.base = durability, base
        self.dir = tempfile.mkdtemp(prefix=f"{self.name.lower()}-", dir=base)
        self.data = os.path.join(self.dir, "data")
        self.port = proc.free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.child = None
        self.prepare()

    def prepare(self):
        """Writes the configuration."""

    def argv(self):
        """What is run."""
        raise NotImplementedError

    def topic_configs(self):
        """Topic configs of each topic, for the durability."""
        return {}

    def spawn(self):
        """Starts it; returns the wall clock just before, in seconds. It may not serve yet."""
        with open(os.path.join(self.dir, "log"), "ab") as log:
            at = time.time()
            self.child = proc.spawn(self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir)
        return at

    def start(self):
        """Starts it and waits until it takes connections."""
        self.spawn()
        proc.until(f"{self.name} takes connections", 120, self.listening)
        return self

    def listening(self):
        """Whether it takes connections."""
        if self.child.poll() is not None:
            raise proc.Failed(f"{self.name} ended with {self.child.returncode}: {self.last_words()}")
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def last_words(self):
        """The end of its log."""
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()[-500:].strip()

    @property
    def pid(self):
        """Its process."""
        return self.child.pid

    def cpu(self):
        """Its CPU seconds so far."""
        return proc.cpu_seconds(self.pid)

    def rss(self):
        """Its resident memory, in MiB."""
        return proc.rss_mib(self.pid)

    def stop(self, sig=signal.SIGTERM):
        """Ends it; the data stay."""
        proc.end(self.child, sig)
        self.child = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)


class Callboard(Broker):
    """The binary that was built, or the one that a subclass names."""

    name = "Callboard"
    binary = None

    def prepare(self):
        with open(os.path.join(self.dir, "callboard.toml"), "w", encoding="ascii") as file:
            file.write(f"log_retention_check_interval_ms = {RETENTION_CHECK_MS}\ngroup_initial_rebalance_delay_ms = 0\n")

    def argv(self):
        return [self.binary or os.environ["VERSUS_CALLBOARD"], "--config", os.path.join(self.dir, "callboard.toml"), "--data", self.data,
                "--kafka", self.bootstrap, "--http", "", "--durability", self.durability]


class Kafka(Broker):
    """Apache Kafka: one process, broker and controller."""

    name = "Kafka"
    # bin/kafka-server-start.sh and bin/kafka-run-class.sh of the distribution.
    java = ["java", "-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
            "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]

    def prepare(self):
        controller = proc.free_port()
        while controller == self.port:
            controller = proc.free_port()
        self.properties = os.path.join(self.dir, "server.properties")
        with open(self.properties, "w", encoding="ascii") as file:
            file.write(f"""process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={self.data}
offsets.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
log.retention.check.interval.ms={RETENTION_CHECK_MS}
log.segment.delete.delay.ms=1000
""")
        self.storage_tool("format", "--standalone", "-t", self.storage_tool("random-uuid"), "-c", self.properties)

    def storage_tool(self, *args):
        """Runs kafka-storage.sh; its last line."""
        child = proc.spawn(["java", "-Xmx256M", "-XX:TieredStopAtLevel=1", "-cp", os.environ["VERSUS_CLASSES"],
                            "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "kafka.tools.StorageTool", *args],
                           text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said, errors = child.communicate()
        proc.end(child)
        if child.returncode:
            raise proc.Failed(f"kafka-storage {args[0]}: {errors.strip()[-300:]}")
        return (said.strip().splitlines() or [""])[-1]

    def argv(self):
        return [*self.java, f"-Djava.io.tmpdir={self.dir}", "-cp", os.environ["VERSUS_CLASSES"], "kafka.Kafka", self.properties]

    def topic_configs(self):
        return {"flush.messages": "1"} if self.durability == "fsync" else {}


BOTH = (Callboard, Kafka)

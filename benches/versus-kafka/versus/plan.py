"""What is measured, in which lives, for how long.

A life is one broker from its empty directory to its end; a pair is the same life of Callboard, then of Kafka. The rows
of the throughput take 5 pairs of 60 s after 30 s; the others less, so that the whole stays within two hours. `--full`
gives all of them the same; `--pairs`, `--seconds` and `--warmup` overrule both. It measures nothing itself.
"""

from dataclasses import dataclass, replace
from functools import partial

from . import lives, payload

ROWS = {
    "produce": "produce MB/s, 1 KiB in 64 KiB batches; CPU a GB",
    "consume": "consume MB/s from the start; CPU a GB",
    "latency": "produce to consume at 2,000/s",
    "many": "acknowledgements of 180 partitions at 83/s each",
    "small": "100 B records, produce and consume",
    "codecs": "1 KiB lines of JSON with lz4, zstd, snappy, gzip (os): compressed by the producer, then beforehand",
    "start": "start, start after kill -9, idle memory",
    "partitions": "1,000 partitions made, and a restart with them",
}
FULL = (5, 60, 30)


@dataclass(frozen=True)
class Times:
    """How long: seconds measured after seconds of warm-up."""

    seconds: float
    warmup: float
    idle: float = 10
    kill_bytes: int = 2 << 30

    def shorter_warmup(self, warm):
        """For what follows another load in the same life: the broker is warm, the client is not."""
        return replace(self, warmup=self.warmup / 3) if warm else self


@dataclass(frozen=True)
class Life:
    """One kind of life: which rows it serves and what it costs."""

    rows: tuple
    durability: str
    run: object
    pairs: int
    times: Times
    loads: int  # how many loads of warm-up and seconds
    around: float  # seconds beside them: Kafka's format and start, filling, quiet
    codec: str = ""

    def name(self):
        """Its rows, and the codec where it has one."""
        return "/".join(self.rows) + (f" {self.codec}" if self.codec else "")

    def seconds(self):
        """What it takes, both brokers and all pairs, roughly."""
        return 2 * self.pairs * (self.around + self.loads * (self.times.seconds + self.times.warmup))


def planned(rows, durabilities, full=False, pairs=None, seconds=None, warmup=None, short=False, codecs=payload.CODECS):
    """The lives for these rows, in order."""

    def life(mine, durability, run, usual, loads, around, codec=""):
        usual_pairs, usual_seconds, usual_warmup = FULL if full else usual
        times = Times(seconds if seconds is not None else usual_seconds, warmup if warmup is not None else usual_warmup)
        if short:
            times = replace(times, idle=2, kill_bytes=256 << 20)
        wanted = tuple(each for each in mine if each in rows)
        return Life(wanted, durability, run, pairs or usual_pairs, times, loads(wanted), around, codec)

    all_lives = [
        life(("produce", "consume"), "os", lives.throughput, FULL, lambda w: 0.95 * len(w), 20),
        life(("produce",), "fsync", lives.throughput, FULL, len, 8),
        life(("latency", "many"), "os", lives.latency, (3, 25, 12), len, 10),
        life(("latency", "many"), "fsync", lives.latency, (3, 25, 12), len, 10),
        life(("small",), "os", lives.small, (3, 20, 8), lambda _: 1.8, 15),
        life(("small",), "fsync", lives.small, (3, 20, 8), lambda _: 1.8, 15),
        *(life(("codecs",), "os", partial(lives.compressed, codec=each), (3, 15, 15), lambda _: 1.7, 12, each)
          for each in codecs),
        life(("start",), "os", lives.start, (5, 0, 0), lambda _: 0, 35),
        life(("partitions",), "os", lives.partitions, (5, 0, 0), lambda _: 0, 15),
    ]
    either = ("start", "partitions")  # they have one durability, whichever is asked for
    return [each for each in all_lives if each.rows and (each.durability in durabilities or each.rows[0] in either)]

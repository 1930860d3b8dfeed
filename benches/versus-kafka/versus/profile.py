"""Where the broker's CPU goes: `perf` on Callboard under each hot path, with the clients of the comparison.

A load is a broker of its own. When the client is warm, `perf record` samples the broker for so long; the report says how
much of a core it took, which threads took it, and which functions. It compares nothing and measures no client.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from . import brokers, clients, lives, plan, proc

# The load goes on until it is ended.
LONG = 600


def drain(lines):
    """Reads on, so that the client does not wait for its reader."""
    threading.Thread(target=lambda: [None for _ in iter(lambda: lines.next(LONG)[1], None)], daemon=True).start()


def writing(broker, helper, size):
    """ProducerPerformance without a brake."""
    helper.create(broker, "load", lives.PARTITIONS, retention__bytes=lives.KEPT // lives.PARTITIONS)
    return clients.producer_performance(broker, "load", size)


def reading(broker, helper, size):
    """ConsumerPerformance from the start, pass after pass, of what was written before and is settled."""
    helper.create(broker, "load", lives.PARTITIONS)
    lives.fill(broker, "load", size, lives.KEPT)
    proc.until_quiet(broker.pid, 120)
    return clients.passes(broker, "load", lives.KEPT // size, plan.Times(seconds=LONG, warmup=0))


def paced(broker, helper, partitions, rate, linger, reads):
    """OpenLoop at a fixed rate."""
    helper.create(broker, "load", partitions, retention__bytes=lives.KEPT // partitions)
    return clients.open_loop(broker, "load", partitions=partitions, rate=rate, size=1024, linger=linger, warmup=1, seconds=LONG,
                             consume=str(reads).lower(), report=5)


# Name, what it is, lines of the configuration, the client of the load.
LOADS = {
    "produce": ("1 KiB records in 64 KiB batches, no brake", "", lambda b, h: writing(b, h, 1024)),
    "tail": ("produce and consume, 100,000/s of 1 KiB", "", lambda b, h: paced(b, h, lives.PARTITIONS, 100_000, 5, True)),
    "journal": ("consume from the start, runs in the journal", "", lambda b, h: reading(b, h, 1024)),
    "redb": ("consume from the start, all of it in redb", "journal_bytes_max = 0\n", lambda b, h: reading(b, h, 1024)),
    "many": ("180 partitions at 83/s of 1 KiB, linger 1 ms", "", lambda b, h: paced(b, h, 180, 180 * 83, 1, False)),
    "tiny": ("100 B records in 64 KiB batches, no brake", "", lambda b, h: writing(b, h, 100)),
    "tiny-read": ("100 B records from the start", "", lambda b, h: reading(b, h, 100)),
}


def shares(data, key, wanted):
    """The largest shares by `comm` or `sym`, as words."""
    report = subprocess.run(["perf", "report", "-i", data, "--stdio", "--no-inline", "-q", "--percentage", "absolute", "--sort", key],
                            check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    found = {}
    for line in report.splitlines():
        part = re.match(r"\s*([\d.]+)%\s+(?:\[[.k]\]\s+)?(.+?)\s*$", line)
        if part:
            name = re.sub(r"<(.*) as .*?>", r"\1", part[2]) if key == "sym" else re.sub(r"-\d+$", "", part[2])
            found[name] = found.get(name, 0) + float(part[1])
    largest = sorted(found.items(), key=lambda each: -each[1])[:wanted]
    return ", ".join(f"{name} {share:.1f} %" for name, share in largest)


def profiled(wanted, helper, base, name):
    """The lines of the report for one load."""
    what, config, load = LOADS[name]
    with brokers.Callboard(base, wanted.durability) as broker:
        with open(os.path.join(broker.dir, "callboard.toml"), "a", encoding="ascii") as file:
            file.write(config)
        broker.start()
        data = os.path.join(broker.dir, "perf.data")
        with load(broker, helper) as lines:
            drain(lines)
            time.sleep(wanted.warmup)
            cpu, at = broker.cpu(), time.monotonic()
            subprocess.run(["perf", "record", "-q", "-F", "997", "-p", str(broker.pid), "-o", data, "--", "sleep", str(wanted.seconds)],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            cores = (broker.cpu() - cpu) / (time.monotonic() - at)
        return [f"**{name}** ({what}): {cores:.2f} cores", f"- threads: {shares(data, 'comm', 6)}",
                f"- functions: {shares(data, 'sym', 14)}", ""]


def main():
    """Every load, one after the other."""
    parser = argparse.ArgumentParser("profile.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=list(LOADS))
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warmup", type=float, default=10)
    parser.add_argument("--durability", choices=("os", "fsync"), default="os")
    parser.add_argument("--dir", default=os.environ.get("VERSUS_DIR", "."), help="where data goes")
    wanted = parser.parse_args()
    proc.die_cleanly()
    if not shutil.which("perf"):
        sys.exit("perf is missing: it comes with the kernel's tools (linux-perf)")
    base, helper = tempfile.mkdtemp(prefix="profile-", dir=wanted.dir), clients.Helper()
    try:
        for name in wanted.loads:
            print("\n".join(profiled(wanted, helper, base, name)), flush=True)
    except proc.Failed as error:
        sys.exit(f"failed: {error}")
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()

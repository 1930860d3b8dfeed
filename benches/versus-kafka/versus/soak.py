"""Half of the reachable rate for an hour: does anything grow?

    calibrate (as fast as it goes, produce and consume)  ->  OpenLoop at half of that  ->  CSV each 10 s  ->  SVG, verdict

The verdict compares the last quarter with the second one (the first is still filling up): medians of memory within 1.1
times, medians of p99 within 1.25 times, the largest data directory within 1.1 times; and what is read must keep up with
what is acknowledged. Retention keeps `--keep` bytes in total. It does not compare two brokers.
"""

import argparse
import csv
import json
import os
import shutil
import statistics
import sys
import tempfile
import time

from . import brokers, clients, lives, plot, proc

COLUMNS = ["seconds", "rss_mib", "disk_mib", "ack_p50_ms", "ack_p99_ms", "read_p99_ms", "acks_s", "reads_s"]
PANELS = [("rss_mib", "memory, MiB"), ("disk_mib", "data directory, MiB"), ("ack_p99_ms", "acknowledgements p99, ms")]
# What is compared, how it is summed up, and what the last quarter may be of the second.
FLAT = [("rss_mib", "memory", statistics.median, 1.1), ("ack_p99_ms", "p99 of acknowledgements", statistics.median, 1.25),
        ("disk_mib", "disk", max, 1.1)]


def options():
    """The command line."""
    parser = argparse.ArgumentParser("soak.sh", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3600, help="how long")
    parser.add_argument("--every", type=int, default=10, help="seconds between samples")
    parser.add_argument("--calibrate", type=int, default=20, help="seconds of finding the reachable rate")
    parser.add_argument("--share", type=float, default=0.5, help="of the reachable rate")
    parser.add_argument("--rate", type=float, help="records of 1 KiB a second, instead of finding it")
    parser.add_argument("--keep", type=int, default=2 << 30, help="bytes that retention keeps, all partitions together")
    parser.add_argument("--durability", choices=("os", "fsync"), default="fsync")
    parser.add_argument("--broker", choices=("callboard", "kafka"), default="callboard")
    parser.add_argument("--dir", default=os.environ.get("VERSUS_DIR", "."), help="where data goes")
    parser.add_argument("--out", required=True, help="directory of soak.csv, soak.svg and soak.md")
    return parser.parse_args()


def load(broker, **more):
    """The open-loop client, producing and consuming."""
    return clients.open_loop(broker, "soak", partitions=lives.PARTITIONS, size=1024, linger=5, consume="true", **more)


def reachable(broker, seconds):
    """Records a second when nothing holds the producer back, with a consumer beside it."""
    with load(broker, rate="max", warmup=seconds // 2, seconds=seconds) as lines:
        found = clients.last_json(lines, 3 * seconds + 180)
    return found["ack_count"] / seconds


def sampled(broker, wanted, rate):
    """One sample a line of the client."""
    began = time.monotonic()
    with load(broker, rate=rate, warmup=wanted.every, seconds=wanted.seconds, report=wanted.every) as lines:
        while True:
            at, line = lines.next(wanted.every + 120)
            if line is None:
                break
            found = json.loads(line)
            if found["failed"]:
                raise proc.Failed(f"{found['failed']} records were not acknowledged")
            yield dict(zip(COLUMNS, [
                round(at - began), round(broker.rss(), 1), round(proc.disk_mib(broker.data), 1), found.get("ack_p50", ""),
                found.get("ack_p99", ""), found.get("read_p99", ""), found["ack_count"] / wanted.every,
                found["read_count"] / wanted.every]))
        if lines.child.wait():
            raise proc.Failed(f"the client failed: {lines.errors[-3:]}")


def verdict(samples):
    """Lines of what was found, and whether all of it is good."""
    quarter = len(samples) // 4
    if quarter < 1:
        return ["too few samples for a verdict"], False
    lines, good = [], True
    for column, name, summed, bound in FLAT:
        values = [each[column] for each in samples if each[column] != ""]
        second, last = summed(values[quarter:2 * quarter]), summed(values[-quarter:])
        flat = last <= bound * second
        good = good and flat
        lines.append(f"{name}: {'flat' if flat else 'NOT FLAT'}: {last:.4g} in the last quarter, {second:.4g} in the second "
                     f"({last / second:.2f}×, at most {bound}×)")
    acks, reads = (sum(each[name] for each in samples) for name in ("acks_s", "reads_s"))
    keeps_up = reads >= 0.99 * acks
    lines.append(f"consumer: {'keeps up' if keeps_up else 'FALLS BEHIND'}: {reads / acks:.3f} read of each acknowledged")
    return lines, good and keeps_up


def run(wanted, base):
    """The hour; the samples, and the lines of the verdict."""
    kind = {each.name.lower(): each for each in brokers.BOTH}[wanted.broker]
    helper, samples = clients.Helper(), []
    with kind(base, wanted.durability) as broker, open(f"{wanted.out}/soak.csv", "w", encoding="ascii") as file:
        broker.start()
        helper.create(broker, "soak", lives.PARTITIONS, retention__bytes=wanted.keep // lives.PARTITIONS)
        rate = wanted.rate or wanted.share * reachable(broker, wanted.calibrate)
        what = (f"{kind.name}, `{wanted.durability}`: {rate:,.0f} records of 1 KiB a second produced and consumed for "
                f"{wanted.seconds} s, {wanted.keep >> 20} MiB kept")
        print(what)
        rows = csv.DictWriter(file, COLUMNS)
        rows.writeheader()
        for sample in sampled(broker, wanted, rate):
            samples.append(sample)
            rows.writerow(sample)
            file.flush()
            print(f"  {sample['seconds']:>5} s  memory {sample['rss_mib']:.0f} MiB  disk {sample['disk_mib']:.0f} MiB  "
                  f"p99 {sample['ack_p99_ms']} ms  {sample['acks_s']:,.0f}/s")
    return what, samples


def main():
    """Runs it, draws it, judges it."""
    wanted = options()
    proc.die_cleanly()
    os.makedirs(wanted.out, exist_ok=True)
    base = tempfile.mkdtemp(prefix="soak-", dir=wanted.dir)
    try:
        what, samples = run(wanted, base)
    except proc.Failed as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(base, ignore_errors=True)
    lines, good = verdict(samples)
    with open(f"{wanted.out}/soak.svg", "w", encoding="utf-8") as file:
        file.write(plot.drawn(samples, "seconds", PANELS, what.replace("`", "")))
    with open(f"{wanted.out}/soak.md", "w", encoding="utf-8") as file:
        file.write("\n".join([what, "", *(f"- {line}" for line in lines), "", "![soak](soak.svg)", ""]))
    print("\n".join(lines + [f"written: {wanted.out}/soak.csv, soak.svg, soak.md"]))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

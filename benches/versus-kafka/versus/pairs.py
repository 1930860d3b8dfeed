"""An old and a new Callboard in alternating pairs: is the new one as fast, for as little CPU?

    for each load, for each pair:   old lives once, then new does; in the next pair new comes first

Each life begins in an empty directory, and its warm-up does not count. A measure's ratio is the new binary's divided by
the old one's of the same pair; what decides is the median over the pairs. Quartiles that are wider than 3 % of it say
that the machine was not quiet enough: `--more` then adds pairs. It starts no Kafka; its clients are the comparison's.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time

from . import brokers, clients, lives, plan, proc, results
from .__main__ import listed

WIDE = 0.03
FEWEST = 4
TOO_NOISY = 3
# Measure, unit, what the median ratio may be.
BOUNDS = {"mb_s": ("MB/s", ">=", 0.97), "cpu_gb": ("CPU s/GB", "<=", 1.03)}
# Written before it is read again and again: more than memory for the newest records, less than what takes long.
CONSUMED = 2 << 30


def produce(broker, helper, times):
    """1 KiB records in 64 KiB batches, no brake, 4 GiB kept."""
    yield from lives.throughput(broker, helper, times, ("produce",))


def consume(broker, helper, times):
    """From the start, pass after pass."""
    broker.start()
    helper.create(broker, "load", lives.PARTITIONS)
    lives.fill(broker, "load", 1024, CONSUMED)
    yield from lives.consume(broker, helper, "load", 1024, times, "consume")


def wide(broker, helper, times):
    """180 partitions at 83/s each, a line a second: the CPU is that between the first line and the last."""
    broker.start()
    helper.create(broker, "wide", 180)
    options = {"partitions": 180, "rate": 180 * 83, "size": 1024, "linger": 1, "warmup": times.warmup, "consume": "false",
               "seconds": times.seconds + 3, "report": 1}
    begin, acks = None, 0
    with clients.open_loop(broker, "wide", **options) as lines:
        while True:
            at, line = lines.next(times.warmup + 60)
            if line is None:
                raise proc.Failed(f"the open-loop client ended: {lines.errors[-3:]}")
            found = json.loads(line)
            if found["failed"]:
                raise proc.Failed(f"{found['failed']} records were not acknowledged")
            if begin is None:
                begin, cpu, seconds = at, broker.cpu(), []
                continue
            acks += found["ack_count"]
            seconds.append(found)
            if at - begin >= times.seconds - 0.5:
                break
        cpu = broker.cpu() - cpu
    mib = acks * 1024 / lives.MIB
    yield "many.mb_s", mib / (at - begin)
    yield "many.cpu_gb", cpu / (mib / 1024)
    for what in ("p50", "p99"):
        yield f"many.{what}", statistics.median(each[f"ack_{what}"] for each in seconds)


# Name: durability, the life, what it is.
LOADS = {
    "produce-os": ("os", produce, "1 KiB records in 64 KiB batches, no brake"),
    "produce-fsync": ("fsync", produce, "the same, synced"),
    "consume": ("os", consume, "2 GiB from the start, again and again"),
    "partitions": ("os", wide, "180 partitions at 83/s each: MB/s is the rate unless it falls behind; p50 and p99 too"),
}


def options():
    """The command line."""
    loads = "\n".join(f"  {name:<14} {what}" for name, (_, _, what) in LOADS.items())
    parser = argparse.ArgumentParser("pairs.sh", description=__doc__.splitlines()[0], epilog="loads:\n" + loads,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="a callboard binary")
    parser.add_argument("new", help="the one that is judged")
    parser.add_argument("--loads", type=listed(LOADS), default=list(LOADS), help="some of them, with commas")
    parser.add_argument("--pairs", type=int, default=10, help="of each load")
    parser.add_argument("--more", type=int, default=0, help="so many more of a load whose quartiles are wider than 3 %%")
    parser.add_argument("--seconds", type=float, default=12, help="measured seconds of each life")
    parser.add_argument("--warmup", type=float, default=5, help="seconds before them")
    parser.add_argument("--dir", default=os.environ.get("VERSUS_DIR", "."), help="where data goes: 10 GB at a time")
    return parser.parse_args()


def kinds(wanted, base):
    """Both binaries as kinds of broker. They are copied: a build meanwhile changes nothing."""
    found = []
    for name in ("old", "new"):
        copy = os.path.join(base, f"callboard-{name}")
        shutil.copy(getattr(wanted, name), copy)
        found.append(type(name, (brokers.Callboard,), {"name": name, "binary": copy}))
    return found


def lived(kind, load, helper, base, times):
    """Measure to value of one life."""
    durability, life, _ = LOADS[load]
    os.sync()
    with kind(base, durability) as broker:
        return {name.rpartition(".")[2]: value for name, value in life(broker, helper, times)}


def pair(number, both, load, helper, base, times):
    """Lives of old and new, and the line of both. Whose turn is first changes."""
    began, found = time.monotonic(), {}
    for kind in both if number % 2 else both[::-1]:
        found[kind.name] = lived(kind, load, helper, base, times)
    said = []
    for measure in (*BOUNDS, "p50", "p99"):
        if measure in found["old"]:
            old, new = found["old"][measure], found["new"][measure]
            unit = BOUNDS[measure][0] if measure in BOUNDS else f"{measure} ms"
            said.append(f"{unit} {results.number(old)} {results.number(new)} {new / old:.3f}")
    print(f"{load:<14} pair {number:>2}, old new new/old:  " + "   ".join(said) + f"   ({time.monotonic() - began:.0f} s)")
    return found


def quartiles(ratios):
    """Lower, median, upper."""
    return statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3


def summed(load, found):
    """The lines of one load, whether it holds, and whether that can be told."""
    lines, holds, told = [], True, True
    for measure in (*BOUNDS, "p50", "p99"):
        if measure not in found[0]["old"]:
            continue
        old, new = ([each[who][measure] for each in found] for who in ("old", "new"))
        lower, middle, upper = quartiles([n / o for n, o in zip(new, old)])
        unit, sign, bound = BOUNDS.get(measure, (f"{measure} ms", None, None))
        line = (f"{load:<14} {unit:<9} {len(found):>2} pairs  old {results.number(statistics.median(old)):>6}  "
                f"new {results.number(statistics.median(new)):>6}  new/old {middle:.3f} ({lower:.3f}–{upper:.3f})")
        if sign:
            good, width = results.HOLDS[sign](middle, bound), (upper - lower) / middle
            sure = len(found) >= FEWEST and width <= WIDE
            holds, told = holds and good, told and sure
            line += (f"  {'holds' if good else 'DOES NOT HOLD'}: {results.SIGNS[sign]} {bound}; quartiles {width:.1%} apart"
                     + ("" if sure else f", WIDER THAN {WIDE:.0%}: more pairs" if width > WIDE else ", of too few pairs"))
        lines.append(line)
    return lines, holds, told


def paired(wanted, both, load, base, found):
    """Adds pair after pair to what was found: as many as are wanted, and more if their quartiles are wide."""
    helper, times = clients.Helper(), plan.Times(wanted.seconds, wanted.warmup)
    try:
        for goal in (wanted.pairs, wanted.pairs + wanted.more):
            while len(found) < goal:
                found.append(pair(len(found) + 1, both, load, helper, base, times))
            if summed(load, found)[2]:
                break
        return True
    except (proc.Failed, OSError, KeyError, ValueError) as error:
        print(f"{load:<14} pair {len(found) + 1:>2} failed: {error}", file=sys.stderr)
        return False
    finally:
        proc.end(helper.lines.child)


def run(wanted, base):
    """All loads; prints each pair as it ends, and the sums at the end. The exit code."""
    both, said, holds, told = kinds(wanted, base), [], True, True
    for load in wanted.loads:
        found = []
        holds = paired(wanted, both, load, base, found) and holds
        if found:
            lines, good, sure = summed(load, found)
            said, holds, told = said + lines, holds and good, told and sure
    print("\n".join(["", "Median over the pairs, quartiles of the ratio in brackets:", "", *said]))
    return 1 if not holds else 0 if told else TOO_NOISY


def main():
    """Runs it. 0: all holds; 1: something does not, or failed; 3: all holds, but some quartiles are too wide to tell."""
    wanted = options()
    proc.die_cleanly()
    base = tempfile.mkdtemp(prefix="pairs-", dir=wanted.dir)
    try:
        return run(wanted, base)
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

"""The run: pairs in turn, a table at the end and after each pair.

    for each kind of life, for each pair:   Callboard lives once, then Kafka does

What fails is written down with its reason and the next life begins. The table is written anew after each pair, so an
interrupted run leaves what there is. Which figures there are and how they come about: plan.py, lives.py.
"""

import argparse
import os
import shlex
import shutil
import sys
import tempfile
import time

from . import brokers, clients, machine, memory, payload, plan, proc, results

RESULTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "RESULTS.md")


def listed(allowed):
    """A comma-separated list of some words."""
    def parse(text):
        words = [word for word in text.split(",") if word]
        for word in words:
            if word not in allowed:
                raise argparse.ArgumentTypeError(f"{word}: not one of {', '.join(allowed)}")
        return words
    return parse


def options():
    """The command line."""
    rows = "\n".join(f"  {name:<11} {what}" for name, what in plan.ROWS.items())
    parser = argparse.ArgumentParser("run.sh", description="Callboard beside Apache Kafka, in one run.",
                                     epilog="rows:\n" + rows, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=listed(plan.ROWS), default=list(plan.ROWS), help="some of them, with commas")
    parser.add_argument("--durability", type=listed(("os", "fsync")), default=["os", "fsync"], help="os, fsync or both")
    parser.add_argument("--codecs", type=listed(payload.CODECS), default=list(payload.CODECS), help="of row codecs: some")
    parser.add_argument("--brokers", type=listed(("callboard", "kafka")), default=["callboard", "kafka"],
                        help="one of them: for a profile, no ratio")
    parser.add_argument("--pairs", type=int, help="pairs of each row")
    parser.add_argument("--seconds", type=float, help="measured seconds of each load")
    parser.add_argument("--warmup", type=float, help="seconds before them")
    parser.add_argument("--full", action="store_true", help="5 pairs of 60 s after 30 s for every row: five hours")
    parser.add_argument("--short", action="store_true", help="256 MiB instead of 2 GiB before kill -9, 2 s idle, not 10")
    parser.add_argument("--dir", default=os.environ.get("VERSUS_DIR", "."), help="where data goes: 20 GB at most at a time")
    parser.add_argument("--touch-memory", action="store_true",
                        help="write all free memory once before: for a virtual machine that has not used it yet")
    parser.add_argument("--out", default=RESULTS, help="the table, OUT.md; the samples beside it, OUT.jsonl")
    parser.add_argument("--plan", action="store_true", help="says what would be done, and how long it takes")
    return parser.parse_args()


def live(kind, life, helper, base, pair, samples, keep=True):
    """One life of one broker."""
    who = {"life": life.name(), "durability": life.durability, "broker": kind.name, "pair": pair}
    began = time.monotonic()
    try:
        with kind(base, life.durability) as broker:
            for measure, value in life.run(broker, helper, life.times, life.rows):
                if keep:
                    samples.add(**who, measure=measure, value=value)
                    print(f"  pair {pair}  {kind.name:<10} {measure:<30} {results.number(value):>10}")
        print(f"  pair {pair}  {kind.name:<10} took {time.monotonic() - began:.0f} s")
        return True
    except (proc.Failed, OSError, KeyError, ValueError) as error:
        samples.add(**who, error=f"{error}")
        print(f"  pair {pair}  {kind.name:<10} failed: {error}", file=sys.stderr)
        return False


def main():
    """Runs what was asked for."""
    wanted = options()
    lives = plan.planned(wanted.rows, wanted.durability, wanted.full, wanted.pairs, wanted.seconds, wanted.warmup,
                         wanted.short, wanted.codecs)
    for life in lives:
        print(f"{life.name():<16} {life.durability:<6} {life.pairs} pairs, {life.seconds() / 60:.0f} minutes")
    print(f"all: about {sum(life.seconds() for life in lives) / 60:.0f} minutes")
    if wanted.plan:
        return 0
    proc.die_cleanly()
    kinds = [kind for kind in brokers.BOTH if kind.name.lower() in wanted.brokers]
    base = tempfile.mkdtemp(prefix="versus-", dir=wanted.dir)
    try:
        where = machine.described(base)
        command = "benches/versus-kafka/run.sh " + " ".join(shlex.quote(word) for word in sys.argv[1:])
        samples = results.Samples(os.path.splitext(wanted.out)[0] + ".jsonl")
        if wanted.touch_memory:
            print("memory: written once")
            where["memory"] = f"{memory.touched():.0f} GiB of it written once before"
        began, helper = time.monotonic(), clients.Helper()
        for life in lives:
            print(f"{life.name()}, {life.durability}:")
            if life.rows[0] in ("start", "partitions"):
                live(kinds[0], life, helper, base, 0, samples, keep=False)  # the helper's code is compiled by then
            for pair in range(1, life.pairs + 1):
                for kind in kinds:
                    os.sync()
                    if not live(kind, life, helper, base, pair, samples):
                        proc.end(helper.lines.child)
                        helper = clients.Helper()
                with open(wanted.out, "w", encoding="utf-8") as file:
                    file.write(results.table(samples, where, command.strip(), time.monotonic() - began, lives))
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print("\n".join(["", "for the README:", "", *results.rows(samples), "", f"written: {wanted.out}"]))
    return 1 if samples.errors() else 0


if __name__ == "__main__":
    sys.exit(main())

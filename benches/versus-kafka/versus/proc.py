"""Child processes, and what /proc says about them.

Each child is the head of a process group of its own and is killed, with its group, when this process ends for whatever
reason but SIGKILL. CPU time is utime + stime of the process and of the children it has waited for. It does not look at
processes that it did not start.
"""

import atexit
import os
import random
import signal
import socket
import subprocess
import sys
import time

TICK = os.sysconf("SC_CLK_TCK")
DEADLY = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_children = set()
_spawning = []


class Failed(Exception):
    """A measurement that could not be made, and why. The others go on."""


def spawn(argv, **more):
    """Starts a child that does not outlive this process."""
    _spawning.append(None)  # a signal waits: a child that is not in the set yet would stay
    try:
        child = subprocess.Popen(argv, start_new_session=True, **more)
        _children.add(child)
        return child
    finally:
        came = [each for each in _spawning if each]
        _spawning.clear()
        if came:
            _die(came[0])


def end(child, sig=signal.SIGKILL, patience=60):
    """Ends a child's process group and waits for it."""
    if child is None or child not in _children:
        return
    try:
        os.killpg(child.pid, sig)
    except ProcessLookupError:
        pass
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe:
            pipe.close()
    _children.discard(child)


@atexit.register
def _end_all():
    for child in list(_children):
        end(child)


def _die(number, _frame=None):
    if _spawning:
        _spawning.append(number)
        return
    for sig in DEADLY:  # one is enough: a second would cut the cleaning short
        signal.signal(sig, signal.SIG_IGN)
    sys.exit(128 + number)


def die_cleanly():
    """SIGTERM, SIGHUP and SIGINT end this process by way of its exit handlers."""
    for sig in DEADLY:
        signal.signal(sig, _die)


def cpu_seconds(pid):
    """CPU time of a process and its children, in seconds."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(int(each) for each in fields[11:15]) / TICK


def rss_mib(pid):
    """Resident memory of a process, in MiB."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    raise Failed(f"process {pid} has no resident memory: it has ended")


def disk_mib(path):
    """What the files below a directory take on disk, in MiB. Files may come and go meanwhile."""
    total = 0
    for where, _, files in os.walk(path):
        for name in files:
            try:
                total += os.stat(os.path.join(where, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total / (1 << 20)


def free_port():
    """A free port below the ephemeral range: a client that tries it before the broker listens cannot meet itself."""
    for _ in range(1000):
        port = random.randrange(20000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failed("no free port between 20000 and 30000")


def until(what, patience, condition, every=0.02):
    """Waits for a condition; `Failed` if it does not come."""
    end_at = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end_at:
            raise Failed(f"not within {patience} s: {what}")
        time.sleep(every)


def until_quiet(pid, patience=60):
    """Waits until a process uses less than a tenth of a core for two seconds, or patience is over."""
    end_at, calm, before = time.monotonic() + patience, 0, cpu_seconds(pid)
    while calm < 2 and time.monotonic() < end_at:
        time.sleep(1)
        now = cpu_seconds(pid)
        calm, before = (calm + 1 if now - before < 0.1 else 0), now

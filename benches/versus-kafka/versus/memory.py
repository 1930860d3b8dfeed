"""Writes free memory once.

Where a virtual machine's host gives it memory only when it is first written, whoever comes first pays for that, most of
all in the page cache. A process of its own does the writing: what it took is free again when it ends, however it ends.
"""

import mmap
import sys

from . import machine, proc

CHUNK = b"1" * (1 << 20)


def touched():
    """GiB that were written: nine tenths of what is available, or 0 if that could not be had."""
    chunks = int(machine.memory_gib("MemAvailable") * 0.9 * (1 << 30)) // len(CHUNK)
    child = proc.spawn([sys.executable, "-B", "-m", __name__, str(chunks)])
    ended = child.wait()
    proc.end(child)
    return chunks * len(CHUNK) / (1 << 30) if ended == 0 else 0.0


def main():
    """Writes so many chunks."""
    chunks = int(sys.argv[1])
    memory = mmap.mmap(-1, chunks * len(CHUNK), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, len(memory), len(CHUNK)):
        memory[at:at + len(CHUNK)] = CHUNK


if __name__ == "__main__":
    main()

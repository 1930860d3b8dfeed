"""The machine and the versions, for the head of the table. What cannot be read is left out; nothing is measured."""

import glob
import os
import platform
import subprocess


def output(*argv):
    """The first line that a program prints, on whichever stream."""
    try:
        done = subprocess.run(argv, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return (done.stdout.splitlines() or [""])[0].strip()
    except OSError:
        return ""


def field(path, name):
    """The value of the first line `name : value` of a file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == name:
                    return value.strip()
    except OSError:
        pass
    return ""


def memory_gib(name):
    """A line of /proc/meminfo, in GiB; 0 where there is none."""
    kib = field("/proc/meminfo", name).split()
    return int(kib[0]) / (1 << 20) if kib else 0.0


def disk(path):
    """Device and file system of a path."""
    device, kind = "", ""
    try:
        with open("/proc/mounts", encoding="utf-8") as file:
            mounts = [line.split()[:3] for line in file]
        real = os.path.realpath(path)
        inside = [each for each in mounts if real == each[1] or real.startswith(each[1].rstrip("/") + "/")]
        device, _, kind = max(inside, key=lambda each: len(each[1]))
    except (OSError, ValueError):
        pass
    return f"{os.path.basename(device)}, {kind}" if device else ""


def kafka_version(classes):
    """From the name of its jar."""
    for each in classes.split(":"):
        for jar in glob.glob(os.path.join(os.path.dirname(each), "kafka-clients-*.jar")):
            return os.path.basename(jar)[len("kafka-clients-"):-len(".jar")]
    return "unknown"


def described(directory):
    """Name to value, in order."""
    root = os.path.dirname(os.path.abspath(__file__))
    memory = memory_gib("MemTotal")
    all_of_it = {
        "machine": ", ".join(filter(None, (
            f"{os.cpu_count()} cores", field("/proc/cpuinfo", "model name"),
            f"{memory:.0f} GiB" if memory else "", f"Linux {platform.release()}", disk(directory)))),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "Callboard": ", ".join(filter(None, (output(os.environ["VERSUS_CALLBOARD"], "--version"),
                                             output("git", "-C", root, "describe", "--always", "--dirty")))),
        "Kafka": f"{kafka_version(os.environ['VERSUS_CLASSES'])} on {output('java', '-version')}, -Xmx1G -Xms1G, G1",
    }
    return {name: value for name, value in all_of_it.items() if value}

"""What producers send: files of lines, one a record.

    random_lines   letters and digits without a pattern, of any size: nothing is compressed
    json_lines     a service's log as JSON, made with a fixed seed: compressible as such things are

ProducerPerformance picks lines at random. Of JSON there are so many that a batch hardly holds one twice: a codec would
find the second one and look better than it is. Both kinds of line have one size, so that records are bytes.
"""

import itertools
import json
import os
import random
import string

CODECS = ("lz4", "zstd", "snappy", "gzip")
JSON_SIZE = 1024
JSON_LINES = 16384
SEED = 17
WORDS = 3000
SENTENCES = 300


def written(path, lines):
    """The path of a file of these lines, which is made once."""
    if not os.path.exists(path):
        with open(path, "w", encoding="ascii") as file:
            file.write("\n".join(lines))
    return path


def random_lines(directory, size):
    """64 lines of `size` bytes: the tool would spend more on random bytes than on sending them."""
    letters = string.ascii_letters + string.digits
    return written(os.path.join(directory, f"payload-{size}"),
                   ("".join(random.choices(letters, k=size)) for _ in range(64)))


class Log:
    """A service's log, entry by entry, the same at each run."""

    def __init__(self):
        self.random = random.Random(SEED)
        words = ["".join(self.random.choices("etaoinshrdlucmfwypvbgkqjxz", k=self.random.randint(2, 10))) for _ in range(WORDS)]
        self.sentences = [" ".join(self.random.choices(words, k=self.random.randint(4, 10))) for _ in range(SENTENCES)]
        self.frequent = list(itertools.accumulate(1 / (n + 1) for n in range(SENTENCES)))  # few are written often
        self.hosts = [f"web-{n:02}.eu-west-{n % 3 + 1}.example" for n in range(40)]
        self.agents = [f"Mozilla/5.0 ({system}) Gecko/20100101 Firefox/{version}.0" for version in range(112, 128)
                       for system in ("X11; Linux x86_64", "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10.15")]
        self.millis = 1_700_000_000_000

    def hexadecimal(self, digits):
        """An identity without a pattern."""
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"

    def text(self, size):
        """Sentences with a number behind each."""
        picked = self.random.choices(self.sentences, cum_weights=self.frequent, k=size // 16)
        return "; ".join(f"{each} {self.random.randrange(100_000)}" for each in picked)[:size]

    def line(self):
        """One entry of `JSON_SIZE` bytes; its message is as long as that takes."""
        pick, number = self.random.choice, self.random.randrange
        self.millis += number(20)
        entry = {
            "timestamp": self.millis, "level": pick(("INFO", "INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR")),
            "host": pick(self.hosts), "service": pick(("checkout", "catalogue", "accounts", "search", "payments")),
            "trace_id": self.hexadecimal(32), "span_id": self.hexadecimal(16), "user_id": number(10_000_000),
            "client_ip": f"10.{number(16)}.{number(256)}.{number(256)}",
            "request": {"method": pick(("GET", "GET", "GET", "POST", "PUT", "DELETE")),
                        "path": f"/api/v2/{pick(('orders', 'items', 'customers', 'baskets'))}/{number(1_000_000)}",
                        "user_agent": pick(self.agents), "content_type": "application/json", "bytes": number(50_000)},
            "response": {"status": pick((200, 200, 200, 200, 201, 204, 304, 400, 404, 500)), "bytes": number(200_000),
                         "duration_ms": round(self.random.expovariate(1 / 40), 3), "cache": pick(("hit", "miss"))},
            "labels": {"environment": "production", "region": pick(("eu-west-1", "eu-west-2", "eu-west-3")),
                       "version": f"4.{number(6)}.{number(20)}", "deployment": "blue"},
        }
        before = len(json.dumps(entry | {"message": ""}, separators=(",", ":")))
        entry["message"] = self.text(JSON_SIZE - before)
        return json.dumps(entry, separators=(",", ":"))


def json_lines(directory):
    """Lines of a log as JSON."""
    log = Log()
    return written(os.path.join(directory, "payload-json"), (log.line() for _ in range(JSON_LINES)))

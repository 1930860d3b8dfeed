#!/usr/bin/env bash
# Memory of an idle node and its time to ready, with the release binary.
#
#   1  an empty data directory     time to ready (median of 5), memory when idle
#   2  10,000 idle partitions      memory when idle and settled
#   3  a full journal, kill -9     time to ready: almost as much is unsettled as there can be without a settle
#
# The script needs a python with confluent_kafka: CALLBOARD_PYTHON, else python3. CALLBOARD_BIN names the binary; without it
# the script builds one. CALLBOARD_BENCH_DIR: place of the data (default target/bench-data). PARTITIONS: fewer, for a smoke check.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
python=${CALLBOARD_PYTHON:-python3}
partitions=${PARTITIONS:-10000}
unsettled_max=$((256 << 20)) # the default of unsettled_bytes_max; settling starts at half of it

"$python" -c 'import confluent_kafka' 2>/dev/null || {
    echo "$python has no confluent_kafka: pip install confluent-kafka, or set CALLBOARD_PYTHON" >&2
    exit 2
}
binary=${CALLBOARD_BIN:-}
if [[ -z $binary ]]; then
    (cd "$root" && cargo build --release --quiet --bin callboard)
    binary=$target/release/callboard
fi
base=${CALLBOARD_BENCH_DIR:-$target/bench-data}
mkdir -p "$base"
dir=$(mktemp -d "$base/footprint-XXXXXX")
pid=
trap '[[ -n $pid ]] && kill -9 "$pid" 2>/dev/null; rm -rf "$dir"' EXIT

# The bench measures the broker's defaults, not the environment's settings.
for name in $(compgen -e CALLBOARD_); do unset "$name"; done
export RUST_LOG=info NO_COLOR=1

# start DATA LOG: runs the broker until it is ready; sets pid, address, ready (its own milliseconds).
start() {
    : >"$dir/$2" # the loop below reads the log at once, before the broker may have made it
    "$binary" start --data "$dir/$1" --kafka 127.0.0.1:0 --http 127.0.0.1:0 >/dev/null 2>"$dir/$2" &
    pid=$!
    local tries
    for ((tries = 0; tries < 1200; tries++)); do
        if ready=$(grep -oP 'ready in \K[0-9]+' "$dir/$2"); then
            address=$(grep -oP 'listening for kafka clients on \K\S+' "$dir/$2")
            return
        fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    echo "the broker is not ready:" >&2
    tail -20 "$dir/$2" >&2
    exit 1
}

# end SIGNAL: ends the broker and waits for it.
end() {
    kill "-$1" "$pid"
    wait "$pid" 2>/dev/null || true
    pid=
}

# Resident memory, in MiB.
rss() { awk '/^VmRSS/ { printf "%.0f", $2 / 1024 }' "/proc/$pid/status"; }

# row WHAT VALUE TARGET
row() { printf '%-62s %12s   (target %s)\n' "$1" "$2" "$3"; }

# client create | produce RECORDS
client() {
    "$python" - "$address" "$partitions" "$@" <<'PYTHON'
import os, sys, time
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

address, partitions, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
# A few topics of up to 1,000 partitions each.
topics = {f"idle-{n}": min(1000, partitions - n * 1000) for n in range((partitions + 999) // 1000)}
conf = {"bootstrap.servers": address}
if what == "create":
    admin = AdminClient(conf)
    for name, count in topics.items():
        for future in admin.create_topics([NewTopic(name, count, 1)], request_timeout=60).values():
            future.result()
    for _ in range(600):
        found = admin.list_topics(timeout=60).topics
        led = sum(p.leader >= 0 for name in topics if name in found for p in found[name].partitions.values())
        if led == partitions:
            sys.exit(0)
        time.sleep(0.1)
    sys.exit(f"{led} of {partitions} partitions have a leader")
records, lost = int(sys.argv[4]), []
producer = Producer(conf | {"linger.ms": 200, "acks": "all", "message.timeout.ms": 120000,
                            "queue.buffering.max.messages": 1000000, "queue.buffering.max.kbytes": 1000000})
value = os.urandom(1024)
for name, count in topics.items():
    for partition in range(count):
        for _ in range(records):
            producer.produce(name, value, partition=partition,
                             on_delivery=lambda error, _: lost.append(error) if error else None)
    producer.poll(0)
left = producer.flush(120)
if left or lost:
    sys.exit(f"{left} records are not acknowledged, {len(lost)} are lost: {lost[:1]}")
PYTHON
}

echo "$("$binary" --version), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg)"

times=()
for n in 1 2 3 4 5; do
    start "empty-$n" "empty-$n.log"
    times+=("$ready")
    if [[ $n == 5 ]]; then
        sleep 3
        idle=$(rss)
    fi
    end TERM
done
row "time to ready, empty data directory, median of 5" \
    "$(printf '%s\n' "${times[@]}" | sort -n | sed -n 3p) ms" "< 1000 ms"
row "resident memory, idle, empty" "$idle MiB" "< 60 MiB"

start full create.log
began=$(date +%s%N)
client create
row "$partitions partitions made in" "$((($(date +%s%N) - began) / 1000000)) ms" "none"
row "resident memory, $partitions partitions, just made" "$(rss) MiB" "none"
# Ten seconds without an append settle everything.
sleep 15
row "resident memory, $partitions partitions, idle" "$(rss) MiB" "< 250 MiB"

# A record of 1 KiB takes a little more; the rest is room for headers and padding.
records=$((unsettled_max / 2 / 100 * 95 / partitions / 1100))
client produce "$records"
row "resident memory, $partitions partitions, journal full" "$(rss) MiB" "none"
end KILL
start full restart.log
row "time to ready, $partitions partitions, journal full, kill -9" "$ready ms" "< 5000 ms"
sed -n 's/.*\(recovered: .*\)/    \1/p' "$dir/restart.log"
replayed=$(grep -oP 'recovered: \K[0-9]+' "$dir/restart.log")
((replayed >= partitions * records * 1024)) ||
    echo "    the journal was settled meanwhile: it was not a full one" >&2
row "resident memory after it" "$(rss) MiB" "none"
end TERM
start full clean.log
row "time to ready, $partitions partitions, after a clean end" "$ready ms" "none"
end TERM

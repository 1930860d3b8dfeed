#!/usr/bin/env bash
# An hour of produce and consume at half of the reachable rate, with retention at 2 GiB. It shows whether memory, p99 and
# disk stay flat.
#
#   benches/soak.sh                                   an hour; CSV, SVG and verdict in target/soak
#   benches/soak.sh --seconds 300 --out /tmp/soak     shorter, elsewhere
#   benches/soak.sh --help                            all options
#
# The client is versus-kafka/java/OpenLoop.java. versus-kafka/prepare.sh chooses the binary and the place of the data.
set -euo pipefail
for word in "$@"; do # help needs no build
    case $word in -h | --help) PYTHONPATH=$(dirname "$0")/versus-kafka exec "${CALLBOARD_PYTHON:-python3}" -B -m versus.soak "$@" ;; esac
done
# shellcheck source=versus-kafka/prepare.sh
source "$(dirname "$0")/versus-kafka/prepare.sh"
exec "$python" -m versus.soak --out "$target/soak" "$@"

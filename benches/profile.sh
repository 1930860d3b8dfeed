#!/usr/bin/env bash
# Where the broker's CPU goes under each hot path: produce, fetch from tail, journal and redb, many partitions, tiny records.
#
#   benches/profile.sh                                every load, 10 s of `perf` each; about five minutes
#   benches/profile.sh --loads tail many --durability fsync
#   benches/profile.sh --help                         all options
#
# It needs Linux with `perf`. The clients are versus-kafka's; versus-kafka/prepare.sh chooses the binary and the place of the data.
set -euo pipefail
for word in "$@"; do # help needs no build
    case $word in -h | --help) PYTHONPATH=$(dirname "$0")/versus-kafka exec "${CALLBOARD_PYTHON:-python3}" -B -m versus.profile "$@" ;; esac
done
# shellcheck source=versus-kafka/prepare.sh
source "$(dirname "$0")/versus-kafka/prepare.sh"
exec "$python" -m versus.profile "$@"

#!/usr/bin/env bash
# An old and a new Callboard in alternating pairs: MB/s and the broker's CPU seconds a GB, new divided by old.
#
#   benches/pairs.sh OLD NEW                              all loads, ten pairs each; half an hour on a quiet machine
#   benches/pairs.sh OLD NEW --loads produce-os           one load, six minutes
#   benches/pairs.sh OLD NEW --more 10                    ten more of each load whose quartiles are wider than 3 %
#   benches/pairs.sh OLD NEW --pairs 1 --seconds 3 --warmup 2      a quick look: does it run?
#   benches/pairs.sh --help                               all options
#
# A load holds if its median ratio is at least 0.97 in MB/s and at most 1.03 in CPU. Exit code 1: one does not hold; 3: the
# runs are too noisy to tell. The clients are versus-kafka's (a JDK and maven); versus-kafka/prepare.sh chooses the place of the
# data. The script builds no Callboard.
set -euo pipefail
for word in "$@"; do
    case $word in -h | --help) PYTHONPATH=$(dirname "$0")/versus-kafka exec "${CALLBOARD_PYTHON:-python3}" -B -m versus.pairs "$@" ;; esac
done
for binary in "${1:-}" "${2:-}"; do
    [[ -f $binary && -x $binary ]] || {
        echo "'$binary' is no binary: benches/pairs.sh OLD NEW, the paths of two callboards" >&2
        exit 2
    }
done
CALLBOARD_BIN=$2
# shellcheck source=versus-kafka/prepare.sh
source "$(dirname "$0")/versus-kafka/prepare.sh"
exec "$python" -m versus.pairs "$@"

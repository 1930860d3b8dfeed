#!/usr/bin/env bash
# The simulator of a cluster's machines, for as many seeds as are wanted (cluster-tests/src/sim/mod.rs).
#
#   simulate.sh 1 100000                 seeds 1 to 100,000, until one fails; that one is shortened and printed
#   simulate.sh 42                       one seed
#   simulate.sh --trace 42               one seed, each of its events on stderr; a failing one is shortened first
#   simulate.sh --count 1 100000         … each that fails, with its violation
#   simulate.sh --mutant HighWatermarkAtEnd 1 10000
#                                        a planted bug, until a seed catches it by what a client could see or by I1–I3
#   simulate.sh --all --mutant NAME 1 9  … by any check
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
while [[ ${1:-} == --* ]]; do
    case $1 in
    --count) export CALLBOARD_SIM_COUNT=1 ;;
    --trace) export CALLBOARD_SIM_TRACE=1 ;;
    --all) export CALLBOARD_SIM_ALL=1 ;;
    --mutant)
        export CALLBOARD_SIM_MUTANT=${2:?the name of a planted bug, as in actors/core/src/mutant.rs}
        shift
        ;;
    *)
        sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    esac
    shift
done
export CALLBOARD_SIM_FROM=${1:-1} CALLBOARD_SIM_TO=${2:-${1:-1}}
cd "$root"
exec cargo test --quiet --locked -p callboard-cluster-tests --test simulator -- --ignored --nocapture long_run

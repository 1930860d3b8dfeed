#!/usr/bin/env bash
# Every fault of the table on a cluster of this machine, under a verified load: each once, then whole-cluster power cuts,
# network partitions and power cuts drawn at random. About half an hour; run it alone, as root (disks on loop devices).
#
#   benches/faults.sh                                the whole list, a new seed
#   benches/faults.sh --seed 7 --out /tmp/faults     the plays of a seed again, report and pages elsewhere
#   benches/faults.sh --list F09,F18x3,cutsx5        another list
#   benches/faults.sh … --rate 1000                  any other option of `chaos`
#
# report.txt has a line of figures for each play: seed, longest gap of acknowledgements, elections, lost, twice. F16 and F28
# tell p99 before and meanwhile. A page for each play shows its timeline. A play that fails does not end the run; the exit
# code is 1 then, and 0 only if nothing that was acknowledged is lost or there twice.
set -euo pipefail
cd "$(dirname "$0")/.."
plays=F04,F07,F08,F09,F10,F11,F12,F13,F14,F15,F17,F19,F20,F22,F23,F24,F25,F26,F27,F31,F32,F29,F16,F21,F28,F30
plays+=,F18x10,partitionsx50,cutsx20
out='' seed='' more=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
        --list) plays=$2 && shift 2 ;;
        --seed) seed=$2 && shift 2 ;;
        --out) out=$2 && shift 2 ;;
        *) more+=("$1") && shift ;;
    esac
done
seed=${seed:-$((RANDOM * 32768 + RANDOM))}
out=${out:-target/faults/$seed}
cargo build --release --locked --quiet -p callboard -p callboard-cluster-tests
mkdir -p "$out"
began=$SECONDS code=0
target/release/callboard-cluster-tests chaos --faults "$plays" --seed "$seed" --timeline "$out" --logs "$out/logs" \
    --partitions 3 --rate 1000 "${more[@]}" || code=$?
echo "seed $seed, $((SECONDS - began)) s, report and pages in $out"
exit "$code"

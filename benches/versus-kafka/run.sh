#!/usr/bin/env bash
# Callboard beside Apache Kafka 4.3.0 in one run, with the same clients; writes a Markdown table.
#
#   benches/versus-kafka/run.sh                                  under two hours, on a machine that does nothing else
#   benches/versus-kafka/run.sh --touch-memory                   the same; on a virtual machine that has not used its memory yet
#   benches/versus-kafka/run.sh --rows produce --pairs 2 --seconds 10 --warmup 5
#   benches/versus-kafka/run.sh --rows codecs                    compressed batches only, 26 minutes; a quick look at one codec:
#   benches/versus-kafka/run.sh --rows codecs --codecs zstd --pairs 1 --seconds 5 --warmup 5
#   benches/versus-kafka/run.sh --full                           every row 5 pairs of 60 s after 30 s
#   benches/versus-kafka/run.sh --help                           all options
#
# Kafka comes from Maven Central (pom.xml). prepare.sh chooses the binary and the place of the data.
set -euo pipefail
for word in "$@"; do # help and plan need no build
    case $word in -h | --help | --plan) PYTHONPATH=$(dirname "$0") exec "${CALLBOARD_PYTHON:-python3}" -B -m versus "$@" ;; esac
done
# shellcheck source=prepare.sh
source "$(dirname "$0")/prepare.sh"
exec "$python" -m versus "$@"

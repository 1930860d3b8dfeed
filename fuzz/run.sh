#!/usr/bin/env bash
# run.sh [SECONDS]: runs each fuzz target for so many seconds (60), from the seeds in corpus/ and those that earlier runs added.
# Without nightly or cargo-fuzz it skips and says so; with CI set that is a failure.
set -euo pipefail
seconds=${1:-60}
cd "$(dirname "$0")"

skip() {
  echo "SKIPPED: fuzzing: $1" >&2
  [ -z "${CI:-}" ] || exit 1
  exit 0
}
cargo +nightly --version >/dev/null 2>&1 || skip "no nightly toolchain: rustup toolchain install nightly"
cargo +nightly fuzz --version >/dev/null 2>&1 || skip "no cargo-fuzz: cargo install cargo-fuzz --locked"

# No input of a few KiB may take more than 64 MiB at once.
for target in request batch frame; do
  echo "fuzzing $target for $seconds s"
  cargo +nightly fuzz run --fuzz-dir . "$target" -- \
    -max_total_time="$seconds" -timeout=10 -malloc_limit_mb=64 -print_final_stats=1
done

#!/usr/bin/env bash
# A thousand consumer groups of five members on one node: memory above idle, and the time one rebalance takes.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release
CALLBOARD_BIN=$PWD/target/release/callboard \
  cargo test -p callboard-cluster-tests --test groups_scale -- --ignored --nocapture

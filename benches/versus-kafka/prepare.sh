# Sourced by run.sh, ../soak.sh, ../pairs.sh and ../profile.sh: builds Callboard (release), fetches Apache Kafka and compiles the clients.
#
# Sets root, target, python, and exports what the Python package `versus` reads: VERSUS_CALLBOARD (the binary),
# VERSUS_CLASSES (the class path) and VERSUS_DIR (the place of the data). CALLBOARD_BIN names the binary; without it the
# script builds one. CALLBOARD_BENCH_DIR: place of the data (default target/bench-data). CALLBOARD_PYTHON: python 3.9 or later.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
python=${CALLBOARD_PYTHON:-python3}

for program in "$python" java javac mvn; do
    command -v "$program" >/dev/null || {
        echo "$program is missing: a JDK (17 or later), maven and python 3 are needed" >&2
        exit 2
    }
done

VERSUS_CALLBOARD=${CALLBOARD_BIN:-}
if [[ -z $VERSUS_CALLBOARD ]]; then
    (cd "$root" && cargo build --release --quiet --bin callboard)
    VERSUS_CALLBOARD=$target/release/callboard
fi

build=$target/versus-kafka
maven() { mvn -q -B -f "$here/pom.xml" -Dbuild.dir="$build" "$@" compile dependency:copy-dependencies; }
mkdir -p "$build"
maven -o >"$build/maven.log" 2>&1 || maven >&2 # off line when Maven has everything, else on line

VERSUS_CLASSES=$build/classes:$build/libs/*
VERSUS_DIR=${CALLBOARD_BENCH_DIR:-$target/bench-data}
mkdir -p "$VERSUS_DIR"
export VERSUS_CALLBOARD VERSUS_CLASSES VERSUS_DIR PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

# The benches measure the brokers' defaults, not the environment's settings.
for name in $(compgen -e CALLBOARD_) RUST_LOG; do unset "$name"; done

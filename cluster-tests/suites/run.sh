#!/usr/bin/env bash
# The clients' own test suites against a running broker: run once a release, by hand, not in CI.
#
#   cluster-tests/suites/run.sh HOST:PORT [SUITE ...]      suites: franz-go confluent kafka-python librdkafka; none: all
#
# The broker is a fresh one (the suites count topics and groups), with auto-creation of topics, num_partitions = 4 and a
# clock that is right. Sources are fetched into a temporary directory: SUITE_SOURCES=DIR takes git repositories from
# DIR/<name> instead. What is printed last is a line a suite: passed, failed, skipped; the logs stay in SUITE_LOGS
# (default: a temporary directory, named at the end). Exit code 1: something failed.
#
# Left out are the parts that need what one node without transactions does not have: TLS and SASL clusters started by the
# suites themselves, schema registries, transactions, share groups, several brokers.
set -uo pipefail
bootstrap=${1:?HOST:PORT}
shift
suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(franz-go confluent kafka-python librdkafka)

work=$(mktemp -d)
logs=${SUITE_LOGS:-$(mktemp -d)}
mkdir -p "$logs"
logs=$(cd "$logs" && pwd)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
python=${CALLBOARD_PYTHON:-python3}
go=${CALLBOARD_GO:-go}
failed=0
summary=()

# source OWNER/NAME TAG: a clone below $work; its path
source_of() {
  local name=${1#*/}
  local from=https://github.com/$1
  [ -n "${SUITE_SOURCES:-}" ] && from=$SUITE_SOURCES/$name
  git clone --quiet --config advice.detachedHead=false --branch "$2" "$from" "$work/$name" >&2 && echo "$work/$name"
}

# count SUITE PASSED FAILED SKIPPED
count() {
  summary+=("$(printf '%-14s %5d passed %4d failed %4d skipped' "$@")")
  [ "$2" -gt 0 ] && [ "$3" -eq 0 ] || failed=1
}

# venv NAME PACKAGE...: an environment of its own; its python
venv() {
  "$python" -m venv "$work/$1" && "$work/$1/bin/python" -m pip install --quiet --disable-pip-version-check "${@:2}" >&2 \
    && echo "$work/$1/bin/python"
}

# pytest's last line, counted
count_pytest() {
  local line
  line=$(grep -E '^=+ .*(passed|failed|error).* =+$' "$2" | tail -n 1)
  number() { grep -oE "[0-9]+ $1" <<<"$line" | grep -oE '[0-9]+' || echo 0; }
  count "$1" "$(number passed)" $(($(number failed) + $(number 'errors?'))) "$(number skipped)"
}

# franz-go 1.21.5. Consume-transform-produce chains whose members are killed; the tests lie in the module itself.
run_franz_go() {
  local version=v1.21.5 run='TestGroupETL|TestGroupSimple|TestClient_Produce|TestConsume|TestIssue'
  "$go" mod download "github.com/twmb/franz-go@$version" || return
  cp -r "$("$go" env GOMODCACHE)/github.com/twmb/franz-go@$version" "$work/franz-go"
  chmod -R u+w "$work/franz-go"
  (cd "$work/franz-go" && KGO_SEEDS=$bootstrap KGO_TEST_RF=1 KGO_TEST_RECORDS=${KGO_TEST_RECORDS:-50000} \
    "$go" test ./pkg/kgo -run "$run" -v -timeout 20m) >"$logs/franz-go.log" 2>&1
  local tests="$logs/franz-go.log"
  count franz-go "$(grep -cE '^ *--- PASS' "$tests")" "$(grep -cE '^ *--- FAIL' "$tests")" "$(grep -cE '^ *--- SKIP' "$tests")"
}

# confluent-kafka-python: its integration tests with the released package.
run_confluent() {
  local from py
  from=$(source_of confluentinc/confluent-kafka-python "${CONFLUENT_TAG:-v2.15.0}") || return
  py=$(venv confluent 'confluent-kafka==2.16.*' pytest pytest-timeout pytest-asyncio trivup requests httpx authlib cachetools \
    attrs avro fastavro jsonschema protobuf googleapis-common-protos orjson typing_extensions) || return
  # The package, not the sources without their compiled part.
  mv "$from/src" "$from/src-not-used"
  (cd "$from" && BROKERS=$bootstrap "$py" -m pytest -v --timeout 300 -p no:cacheprovider \
    tests/integration/admin tests/integration/consumer tests/integration/producer \
    --ignore tests/integration/admin/test_user_scram_credentials.py --ignore tests/integration/admin/test_describe_operations.py -k 'not transaction and not acl') \
    >"$logs/confluent.log" 2>&1
  count_pytest confluent "$logs/confluent.log"
}

# kafka-python: its integration tests; those of TLS and SASL start brokers of their own. The five left out by name want a
# node 0, an authorizer, or settings of a broker that the suite has started itself; they fail at Apache Kafka, too.
run_kafka_python() {
  local from py but='not transaction and not acls and not broker_resource and not create_partitions and not version_infer'
  but+=' and not test_group'
  from=$(source_of dpkp/kafka-python "${KAFKA_PYTHON_TAG:-master}") || return
  py=$(venv kafka-python pytest pytest-timeout pytest-mock pytest-asyncio python-snappy lz4 zstandard xxhash crc32c) || return
  (cd "$from" && KAFKA_URI=kafka://$bootstrap KAFKA_VERSION=4.2.0 KAFKA_ROOT=$work "$py" -m pytest -v --timeout 300 \
    --timeout-method=signal -p no:cacheprovider test/integration --ignore test/integration/test_sasl_integration.py \
    --ignore test/integration/test_ssl_integration.py -k "$but") >"$logs/kafka-python.log" 2>&1
  count_pytest kafka-python "$logs/kafka-python.log"
}

# librdkafka: its core set, built from source; a C++ compiler, make and the headers of zlib are needed. Not in the set:
# what wants kafka-topics.sh (0052), transactions (0055, 0061), compaction (0077) or SASL compiled in (0064). Of the set, four
# end early here: 0011 and 0081 make topics with cleanup.policy=compact and compression.type=lz4, which are refused; 0109 wants
# kafka-topics.sh; 0137 ends with transactions.
run_librdkafka() {
  local from
  from=$(source_of confluentinc/librdkafka "${LIBRDKAFKA_TAG:-v2.15.0}") || return
  local core=0001,0002,0003,0004,0005,0006,0007,0008,0011,0012,0013,0014,0015,0017,0018,0019,0020,0021,0022,0026,0028,0029
  core+=,0030,0031,0033,0034,0036,0038,0039,0040,0041,0042,0044,0045,0047,0048,0050,0054,0056,0057,0059,0060
  core+=,0063,0067,0069,0070,0073,0074,0075,0076,0079,0080,0081,0082,0083,0084,0085,0086,0088,0089,0092,0093,0095,0099
  core+=,0102,0104,0106,0109,0110,0112,0113,0118,0121,0122,0130,0132,0137
  (cd "$from" && ./configure --disable-sasl --disable-ssl --disable-curl && make -j2 libs && cd tests && make -j2 build \
    && printf 'metadata.broker.list=%s\n' "$bootstrap" >test.conf \
    && TEST_KAFKA_VERSION=4.2.0 TEST_CONSUMER_GROUP_PROTOCOL=classic TESTS=$core ./run-test.sh -p2) >"$logs/librdkafka.log" 2>&1
  local done="$logs/librdkafka.log"
  # The table is printed more than once: the last word about each test counts.
  line() {
    sed 's/\x1b\[[0-9;]*m//g' "$done" | grep -E '^\| [0-9]{4}_' | tac | awk -F'|' '!seen[$2]++ { print $3 }' | grep -cw "$1"
  }
  count librdkafka "$(line PASSED)" "$(line FAILED)" "$(line SKIPPED)"
}

for suite in "${suites[@]}"; do
  echo "--- $suite"
  before=${#summary[@]}
  case $suite in
    franz-go) run_franz_go ;;
    confluent) run_confluent ;;
    kafka-python) run_kafka_python ;;
    librdkafka) run_librdkafka ;;
    *) echo "no suite is called $suite" >&2; exit 2 ;;
  esac
  [ ${#summary[@]} -gt "$before" ] || { summary+=("$suite: not run"); failed=1; }
done
printf '%s\n' "${summary[@]}"
echo "logs: $logs"
exit "$failed"

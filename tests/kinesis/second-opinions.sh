#!/usr/bin/env bash
# Holds two other Kinesis endpoints against the conformance suite, so that ours is not the only judge of itself.
# KINESIS_SURVEY=1 shows every difference at once instead of stopping a test at the first.
# Needs node and npm; both endpoints listen on loopback and are stopped by their own pid.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=$root/target/second-opinions
mock_port=${KINESIS_MOCK_PORT:-45788}
mock_tls_port=$((mock_port + 1))
kinesalite_port=${KINESALITE_PORT:-45790}

kinesis_mock=kinesis-local@0.6.2
kinesalite=kinesalite@3.3.3

pid=
stop() {
    [ -n "$pid" ] || return 0
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    pid=
}
trap stop EXIT

say() { printf '\n== %s\n' "$*"; }

install() {
    mkdir -p "$cache"
    [ -f "$cache/.installed-$kinesis_mock-$kinesalite" ] && return
    # leveldown's build is optional: without it kinesalite keeps everything in memory, which is what we want.
    (cd "$cache" && npm install --no-audit --no-fund --ignore-scripts --prefix . "$kinesis_mock" "$kinesalite")
    touch "$cache/.installed-$kinesis_mock-$kinesalite"
}

# Waits until something accepts connections, or until the process is gone.
await_port() {
    local deadline=$((SECONDS + 60))
    until (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
        kill -0 "$pid" 2>/dev/null || { echo "the endpoint ended: see $cache/$2.log" >&2; return 1; }
        [ "$SECONDS" -lt "$deadline" ] || { echo "the endpoint does not listen: see $cache/$2.log" >&2; return 1; }
        sleep 0.1
    done
}

suite() {
    say "the conformance suite against $1"
    KINESIS_ENDPOINT="http://127.0.0.1:$2" KINESIS_FLAVOUR=$1 "$binary" --test-threads 2 ${KINESIS_SURVEY:+--nocapture}
}

command -v node >/dev/null && command -v npm >/dev/null || { echo "node and npm are needed" >&2; exit 1; }
install

say "building the conformance suite"
built=$(cd "$root" && cargo test --release -p kinesis-endpoint --test conformance --no-run 2>&1) || { echo "$built" >&2; exit 1; }
binary=$root/$(sed -n 's/.*Executable.*(\(.*\)).*/\1/p' <<<"$built")
[ -x "$binary" ] || { echo "no test binary in: $built" >&2; exit 1; }

failed=0

KINESIS_MOCK_PLAIN_PORT=$mock_port KINESIS_MOCK_TLS_PORT=$mock_tls_port \
    KINESIS_MOCK_CERT_PATH=$cache/node_modules/kinesis-local/server.json \
    CREATE_STREAM_DURATION=5ms DELETE_STREAM_DURATION=5ms SPLIT_SHARD_DURATION=5ms MERGE_SHARDS_DURATION=5ms \
    UPDATE_SHARD_COUNT_DURATION=5ms SHARD_LIMIT=1000 LOG_LEVEL=ERROR \
    node -r "$here/loopback.js" "$cache/node_modules/kinesis-local/main.js" >"$cache/kinesis-mock.log" 2>&1 &
pid=$!
await_port "$mock_port" kinesis-mock
suite kinesis-mock "$mock_port" || failed=1
stop

node -r "$here/loopback.js" "$cache/node_modules/kinesalite/cli.js" --port "$kinesalite_port" \
    --createStreamMs 5 --updateStreamMs 5 --deleteStreamMs 5 --shardLimit 1000 >"$cache/kinesalite.log" 2>&1 &
pid=$!
await_port "$kinesalite_port" kinesalite
suite kinesalite "$kinesalite_port" || failed=1
stop

[ "$failed" = 0 ] && say "both agree, but for the differences listed in tests/conformance/differences.rs"
exit "$failed"

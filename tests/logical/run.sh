#!/usr/bin/env bash
# Event tables through logical replication, on a streaming standby, and with commits that wait for one: what docs/replication.md
# says, done. Rollups are
# compared with their queries at every look, while changes are being applied and when all have come. PARTS names parts.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
clusters=()
finish() { for cluster in "${clusters[@]}"; do scripts/pg.sh destroy "$cluster"; done; }
trap finish EXIT
create() { # create <variable> <setting…>
    local directory
    directory=$(scripts/pg.sh create fsync=off "${@:2}")
    clusters+=("$directory")
    printf -v "$1" %s "$directory"
}
sql() { scripts/pg.sh psql "$1" -qXAt -v ON_ERROR_STOP=1 -d "$database" "${@:2}"; }
publisher() { sql "$publisher" "$@"; }
subscriber() { sql "$subscriber" "$@"; }

# Polls until a query of a cluster gives t; other queries are asked at every look and must not fail.
eventually() { # eventually <cluster> <query> [query…]
    local deadline=$((SECONDS + 60)) query
    until [ "$(sql "$1" -c "$2")" = t ]; do
        for query in "${@:3}"; do
            sql "$1" -c "$query" >/dev/null || die "while waiting: $query"
        done
        [ "$SECONDS" -lt "$deadline" ] || { tail -n 20 "$1/log" >&2; die "60 s have not brought: $2"; }
        sleep 0.05
    done
}
# Until the subscriber has applied all that the publisher has committed; the rollup is exact at every look.
caught_up() { # caught_up <subscription> [query…]
    local position
    position=$(publisher -c 'SELECT pg_current_wal_lsn()')
    local deadline=$((SECONDS + 60)) query
    until [ "$(publisher -c "SELECT coalesce(bool_and(confirmed_flush_lsn >= '$position'), false) FROM pg_replication_slots WHERE slot_name = '$1'")" = t ]; do
        for query in "${@:2}"; do
            subscriber -c "$query" >/dev/null || die "while applying: $query"
        done
        [ "$SECONDS" -lt "$deadline" ] || { tail -n 20 "$subscriber/log" >&2; die "$1 has not caught up within 60 s"; }
        sleep 0.05
    done
}
copied() { eventually "$subscriber" "SELECT count(*) > 0 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel" "${@}"; }
expect() { # expect <what> <found> <wanted>
    [ "$2" = "$3" ] || die "$1: found '$2', wanted '$3'"
}
# The same rows on both sides, whatever their batches.
same_rows() { # same_rows <relation> <columns>
    local query="SELECT count(*), md5(string_agg(r::text, '|' ORDER BY r::text)) FROM (SELECT $2 FROM $1) r"
    expect "rows of $1" "$(subscriber -c "$query")" "$(publisher -c "$query")"
}
documented() { # documented <name>: the block of that name in docs/replication.md
    awk -v name="$1" '/^```/ { inside = ($2 == name); next } inside' docs/replication.md | grep . || die "docs/replication.md has no block $1"
}
connection() { echo "host=$publisher port=$(cat "$publisher/port") user=postgres dbname=$database"; }
new_database() { # new_database <name>: in both clusters
    database=postgres
    publisher -c "CREATE DATABASE $1"
    subscriber -c "CREATE DATABASE $1"
    database=$1
    for side in publisher subscriber; do
        $side -c 'CREATE EXTENSION pg_strata'
        $side -f tests/logical/common.sql
        $side -c 'SET client_min_messages = warning' -c "$events" >/dev/null
    done
}
drop_subscription() { subscriber -c "DROP SUBSCRIPTION $1" 2>&1 | grep -v 'dropped replication slot' || true; }

create publisher wal_level=logical
create subscriber wal_level=logical max_logical_replication_workers=8 wal_retrieve_retry_interval=200ms
for part in ${PARTS:-without_batch_id leaf_by_leaf with_batch_id left_behind audited major_upgrade standby synchronous}; do
    began=$SECONDS
    . "tests/logical/$part.sh"
    say "$part: ok ($((SECONDS - began)) s)"
done
for cluster in "$publisher" "$subscriber"; do
    if grep -E 'PANIC|was terminated by signal' "$cluster/log"; then die "a server crashed"; fi
done

#!/usr/bin/env bash
# What digests say of servers that are real: a standby promoted after the last digest, an old backup started in the place of the
# primary. And edits that would fool XOR and sums.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
primary=$(scripts/pg.sh create fsync=off timezone=UTC wal_keep_size=1GB)
standby= backup=
work=$(mktemp -d)
finish() {
    for cluster in "$primary" "$standby" "$backup"; do
        [ -z "$cluster" ] || scripts/pg.sh destroy "$cluster"
    done
    rm -rf "$work"
}
trap finish EXIT
sql() { scripts/pg.sh psql "$1" -qAt "${@:2}"; }
expect() { # expect <exit code> <word> <cluster> <subcommand…>: strata against a cluster
    local code=0 wanted=$1 word=$2
    STRATA_POSTGRES_DSN=$(eval "$(scripts/pg.sh env "$3")" && echo "$STRATA_TEST_DSN") "$BIN/strata" "${@:4}" >"$work/out" 2>&1 || code=$?
    [ "$code" = "$wanted" ] && grep -q -- "$word" "$work/out" || { cat "$work/out" >&2; die "strata ${*:4}: exit code $code, expected $wanted and $word"; }
}
until_true() { # until_true <cluster> <query>
    for _ in $(seq 1200); do
        [ "$(sql "$1" -c "$2")" != t ] || return 0
        sleep 0.05
    done
    die "never became true: $2"
}
sql "$primary" >/dev/null <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION pg_strata;
CREATE TABLE accounts (id int PRIMARY KEY, name text);
SELECT strata.enable_audit('accounts');
INSERT INTO accounts SELECT n, 'a' || n FROM generate_series(1, 10) n;
SQL
"$BIN/strata" keygen evidence.test "$work/key" >"$work/public"
seal=(seal --key "$work/key" --digests "$work/digests")
verify=(verify --audit --key "$work/public" --digest "$work/digests/latest")
expect 0 leaves "$primary" "${seal[@]}"

# a backup, which goes no further: what is sealed later is not in it
backup=$(scripts/pg.sh standby "$primary")
until_true "$primary" "SELECT count(*) = 1 AND bool_and(replay_lsn = pg_current_wal_lsn()) FROM pg_stat_replication"
scripts/pg.sh stop "$backup"

# a standby that a commit waits for unless its session says otherwise
standby=$(scripts/pg.sh standby "$primary")
sql "$primary" -c "ALTER SYSTEM SET synchronous_standby_names = '*'" -c "SELECT pg_reload_conf()" >/dev/null
until_true "$primary" "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
sql "$primary" -c "INSERT INTO accounts SELECT n, 'b' || n FROM generate_series(11, 20) n"
expect 0 leaves "$primary" "${seal[@]}"
cp "$work/digests/latest" "$work/flushed"
scripts/pg.sh stop "$standby"
# committed here and nowhere else: no digest is signed for it
sql "$primary" -c "SET synchronous_commit = local" -c "UPDATE accounts SET name = 'lost' WHERE id <= 5"
STRATA_POSTGRES_DSN=$(eval "$(scripts/pg.sh env "$primary")" && echo "$STRATA_TEST_DSN") "$BIN/strata" "${seal[@]}" >"$work/waiting" 2>&1 &
sealer=$!
until_true "$primary" "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
cmp "$work/flushed" "$work/digests/latest" || die "a digest was signed for what no standby has flushed"
scripts/pg.sh stop "$primary" immediate
wait "$sealer" && die "sealed although no standby has it" || true
cmp "$work/flushed" "$work/digests/latest" || die "a digest was signed for what no standby has flushed"
scripts/pg.sh start "$standby"
scripts/pg.sh promote "$standby"
sql "$standby" -c "ALTER SYSTEM SET synchronous_standby_names = ''" -c "SELECT pg_reload_conf()" >/dev/null
[ "$(sql "$standby" -c "SELECT count(*) FROM accounts WHERE name = 'lost'")" = 0 ] || die "nothing was lost, so nothing was tried"
expect 0 sound "$standby" "${verify[@]}"
sql "$standby" -c "UPDATE accounts SET name = 'after' WHERE id = 1"
expect 0 leaves "$standby" "${seal[@]}"
expect 0 sound "$standby" "${verify[@]}"
say "a standby was promoted: no alarm, and its log goes on from the last digest"

scripts/pg.sh start "$backup"
scripts/pg.sh promote "$backup"
expect 3 truncated "$backup" "${verify[@]}"
expect 3 leaves "$backup" "${seal[@]}"
sql "$backup" -c "INSERT INTO accounts SELECT n, 'other' FROM generate_series(100, 110) n" -c "INSERT INTO accounts VALUES (200, 'other')" -c "UPDATE accounts SET name = 'other'" -c "SELECT strata.seal_audit()" >/dev/null
expect 3 forked "$backup" "${verify[@]}"
say "an old backup was started: found, and found again once it had gone on by itself"

sql "$standby" -c "CREATE TABLE forged AS SELECT n AS id, 'v' || n AS v FROM generate_series(1, 100000) n" -c "ALTER TABLE forged ADD PRIMARY KEY (id)" -c "SELECT strata.enable_audit('forged')" >/dev/null 2>&1
(eval "$(scripts/pg.sh env "$standby")" && PYTHONDONTWRITEBYTECODE=1 PGOPTIONS='-c client_min_messages=warning' python3 tests/audit/forge.py "$(pg_bindir)/psql")

#!/usr/bin/env bash
# No alarm on clean data: 16 writers of every kind, aborts, savepoints, prepared transactions, a transaction that stays open for ten
# seconds, partitions that come, are attached and expire, a server that is killed (kill -9); meanwhile the log is sealed and
# verified again and again, against every digest taken so far. Afterwards nothing was skipped.
# Option: --seconds N (default 120).
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
seconds=120
[ "${1:-}" != --seconds ] || seconds=$2
cluster=$(scripts/pg.sh create fsync=off max_prepared_transactions=20 timezone=UTC deadlock_timeout=100ms)
work=$(mktemp -d)
pids=()
finish() {
    touch "$work/stop"
    [ ${#pids[@]} = 0 ] || wait "${pids[@]}" 2>/dev/null || true
    scripts/pg.sh destroy "$cluster"
    rm -rf "$work"
}
trap finish EXIT
port=$(cat "$cluster/port")
sql() { PGHOST=$cluster PGPORT=$port PGUSER=postgres "$(pg_bindir)/psql" -XqAt -v ON_ERROR_STOP=1 -d postgres "$@"; }

sql >/dev/null <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION pg_strata;
CREATE TABLE plain (id int PRIMARY KEY, v text, n numeric DEFAULT 0, at timestamptz DEFAULT clock_timestamp());
INSERT INTO plain SELECT g, 'v' || g FROM generate_series(1, 2000) g;
CREATE TABLE parts (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY HASH (k);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES WITH (MODULUS 3, REMAINDER 2);
CREATE TABLE events (ts timestamptz NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, note text, PRIMARY KEY (id, ts));
SELECT strata.create_event_table('events', 'ts');
CREATE TABLE turned (ts timestamptz NOT NULL, id int, note text, PRIMARY KEY (id, ts));
SELECT strata.create_event_table('turned', 'ts', premake => 1, retention => '61 days', accept_past => '60 days');
SELECT strata.ensure_partitions('turned', now() - interval '59 days', now());
INSERT INTO turned SELECT now() - d * interval '1 day', 100 * d + n, 'old' FROM generate_series(0, 59) d, generate_series(1, 20) n;
SELECT strata.enable_audit('plain'), strata.enable_audit('parts'), strata.enable_audit('events'), strata.enable_audit('turned');
CREATE TABLE digests (checkpoint text);
CREATE FUNCTION turn(a int, b int, d int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CASE d % 12
        WHEN 0 THEN INSERT INTO plain VALUES (a, 'new') ON CONFLICT (id) DO UPDATE SET n = plain.n + 1, v = NULL;
        WHEN 1 THEN DELETE FROM plain WHERE id = a;
        WHEN 2 THEN UPDATE plain SET n = n + 0.5 WHERE id BETWEEN a AND a + 5;
        WHEN 3 THEN INSERT INTO parts SELECT g, g % 7, 'p' FROM generate_series(a, a + 20) g ON CONFLICT DO NOTHING;
        WHEN 4 THEN UPDATE parts SET k = (k + 1) % 7, v = 'moved' WHERE id BETWEEN a AND a + 3
            AND NOT EXISTS (SELECT FROM parts o WHERE o.id = parts.id AND o.k = (parts.k + 1) % 7);
        WHEN 5 THEN INSERT INTO events (ts, note) SELECT now() + g * interval '1 hour', 'e' FROM generate_series(0, 30) g;
        WHEN 6 THEN UPDATE events SET note = note || d WHERE id % 100 = b % 100;
        WHEN 7 THEN
            BEGIN
                UPDATE plain SET v = 'undone' WHERE id = a;
                DELETE FROM parts WHERE id = b;
                RAISE division_by_zero;
            EXCEPTION WHEN division_by_zero THEN
                UPDATE plain SET v = 'after' WHERE id = b;
            END;
        WHEN 8 THEN MERGE INTO parts p USING (SELECT g AS id, g % 7 AS k FROM generate_series(a, a + 4) g) s ON p.id = s.id AND p.k = s.k
            WHEN MATCHED AND s.id % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = 'merged' WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.k, 'merged');
        WHEN 9 THEN UPDATE turned SET note = note || d WHERE id BETWEEN a AND a + 40;
        WHEN 10 THEN DELETE FROM turned WHERE id = b * 2;
        ELSE DELETE FROM events WHERE id % 200 = a % 200;
    END CASE;
-- (rows of a partition that retention has come to stand still)
EXCEPTION WHEN unique_violation OR deadlock_detected OR serialization_failure OR object_not_in_prerequisite_state THEN
    NULL;
END
$$;
SQL
cat >"$work/writer.sql" <<'SQL'
\set a random(1, 3000)
\set b random(1, 3000)
\set c random(0, 11)
\set d random(0, 9)
\set gid random(1, 1000000000)
BEGIN;
SELECT turn(:a, :b, :c);
\if :d < 2
SAVEPOINT s;
SELECT turn(:b, :a, :d + :c);
ROLLBACK TO s;
SELECT turn(:b, :b, :a);
\endif
\if :d = 3
ROLLBACK;
\elif :d = 4
PREPARE TRANSACTION 'soak :gid';
COMMIT PREPARED 'soak :gid';
\else
COMMIT;
\endif
SQL
writers() {
    until [ -e "$work/stop" ]; do
        PGHOST=$cluster PGPORT=$port PGUSER=postgres "$(pg_bindir)/pgbench" -n -M simple -f "$work/writer.sql" -c 16 -j 2 -T 4 -R 300 postgres >>"$work/writers.log" 2>&1 || true
        sleep 0.2
    done
}
long_transaction() {
    until [ -e "$work/stop" ]; do
        sql -c "BEGIN" -c "INSERT INTO plain SELECT 1000000 + (random() * 1e9)::int, 'long'" -c "SELECT pg_sleep(10)" -c "COMMIT" >/dev/null 2>&1 || sleep 0.2
    done
}
# each turn two more days are past retention, and a table filled elsewhere becomes a partition
rotation() {
    local turn=0
    until [ -e "$work/stop" ]; do
        turn=$((turn + 1))
        sql -c "SET client_min_messages = warning" -c "CREATE TABLE loose_$turn AS SELECT date_trunc('day', now(), 'UTC') + (5 + $turn) * interval '1 day' + interval '1 hour' AS ts, 1000000 + n AS id, 'loose' AS note FROM generate_series(1, 30) n" \
            -c "SELECT strata.attach_partition('turned', 'loose_$turn')" \
            -c "SELECT strata.alter_event_table('turned', retention => greatest(61 - 2 * $turn, 2) * interval '1 day', accept_past => '1 day')" \
            -c "CALL strata.maintain_partitions('turned')" >/dev/null 2>>"$work/rotation.log" || true
        sleep 1
    done
}
killed_hard() { # the whole server, by kill -9; what it leaves behind ends by itself
    kill -9 "$(head -n 1 "$cluster/data/postmaster.pid")"
    for _ in $(seq 100); do
        ! scripts/pg.sh start "$cluster" 2>>"$work/start.log" || return 0
        sleep 0.2
    done
    die "the server did not start again: $(tail -n 5 "$work/start.log")"
}
rotation & pids+=($!)
writers & pids+=($!)
long_transaction & pids+=($!)
began=$SECONDS killed=0 rounds=0
: >"$work/faults"
while [ $((SECONDS - began)) -lt "$seconds" ]; do
    if sql -c "SET client_min_messages = warning" -c "SELECT strata.seal_audit()" -c "INSERT INTO digests SELECT checkpoint FROM strata.audit_digest()" \
        -c "SELECT f.* FROM (SELECT checkpoint FROM digests ORDER BY random() LIMIT 1) d CROSS JOIN LATERAL strata.verify_audit(d.checkpoint) f" >"$work/round" 2>"$work/error"; then
        grep -v '^[0-9]*$' "$work/round" >>"$work/faults" || true
        rounds=$((rounds + 1))
    elif ! grep -qE 'connection|server closed|starting up|shutting down|recovery|terminat' "$work/error"; then
        cat "$work/error" >>"$work/faults"
    fi
    if [ "$killed" = 0 ] && [ $((SECONDS - began)) -ge $((seconds / 2)) ]; then
        killed=1
        killed_hard
    fi
done
touch "$work/stop"
wait "${pids[@]}" 2>/dev/null || true
pids=()
# what a crash left prepared is decided, and everything is sealed
sql -c "SELECT format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts" | sql
sql -c "SELECT strata.seal_audit()" -c "SELECT f.* FROM (SELECT min(ctid) AS first, max(ctid) AS last FROM digests) r JOIN digests d ON d.ctid IN (r.first, r.last) CROSS JOIN LATERAL strata.verify_audit(d.checkpoint) f" 2>/dev/null | grep -v '^[0-9]*$' >>"$work/faults" || true
if [ -s "$work/faults" ]; then
    head -n 20 "$work/faults" >&2
    die "alarms on clean data"
fi
unsealed=$(sql -c "SELECT count(*) FROM strata._audit_chunks c WHERE NOT EXISTS (SELECT FROM strata._audit_entries e WHERE e.chunk_id = c.chunk_id)")
[ "$unsealed" = 0 ] || die "$unsealed chunks were left out of the log"
[ "$(sql -c "SELECT count(*) = max(log_index) + 1 AND min(log_index) = 0 AND count(*) = (SELECT size FROM strata._audit_log) FROM strata._audit_entries")" = t ] || die "places in the log are not 0, 1, 2, …"
read -r expired attached <<<"$(sql -F ' ' -c "SELECT count(*) FILTER (WHERE operation = 'expired'), count(*) FILTER (WHERE operation = 'attached') FROM strata._audit_chunks")"
[ "$expired" -gt 2 ] && [ "$attached" -gt 2 ] || { tail -n 20 "$work/rotation.log" >&2; die "only $expired partitions expired and $attached were attached"; }
read -r chunks tables <<<"$(sql -F ' ' -c "SELECT count(*), count(DISTINCT audit_id) FROM strata._audit_chunks")"
[ "$chunks" -gt 500 ] && [ "$tables" = 4 ] && [ "$rounds" -gt 3 ] || { tail -n 20 "$work/writers.log" >&2; die "only $chunks chunks and $rounds rounds: nothing was tried"; }
# and it can alarm
sql -c "ALTER TABLE plain DISABLE TRIGGER strata_audit" -c "UPDATE plain SET v = 'forged' WHERE id = (SELECT min(id) FROM plain)" -c "ALTER TABLE plain ENABLE ALWAYS TRIGGER strata_audit"
[ "$(sql -c "SELECT string_agg(fault, ',') FROM strata.verify_audit()" 2>/dev/null)" = edited ] || die "a forged row was not found"
say "$chunks chunks sealed, $rounds rounds verified beside the writers, $expired partitions expired, $attached attached, killed once: no alarm"

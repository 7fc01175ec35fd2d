# A streaming standby: the rollup is readable and exact there, whatever is pending; nothing can be written there.
events="
CREATE TABLE events (ts timestamptz NOT NULL, k int, v numeric);
SELECT strata.create_event_table('events', 'ts');
SELECT strata.create_rollup('by_k', 'events', '1 day', ARRAY['k'], ARRAY['count(*) AS n', 'sum(v) AS v', 'count(DISTINCT v) AS kinds']);"
new_database standby
publisher -c "INSERT INTO events SELECT now(), n % 7, n FROM generate_series(1, 100) n" -c "SELECT strata.refresh_rollup('by_k')" >/dev/null
standby=$(scripts/pg.sh standby "$publisher")
clusters+=("$standby")
replayed() { eventually "$standby" "SELECT pg_last_wal_replay_lsn() >= '$(publisher -c 'SELECT pg_current_wal_lsn()')'" "SELECT compare('by_k')"; }
same_groups() {
    expect "groups on the standby" "$(sql "$standby" -c "SELECT compare('by_k')")" "$(publisher -c "SELECT compare('by_k')")"
    expect "values on the standby" "$(sql "$standby" -c "SELECT * FROM by_k ORDER BY k")" "$(publisher -c "SELECT * FROM by_k ORDER BY k")"
}
replayed
publisher -c "INSERT INTO events SELECT now(), n % 7, n FROM generate_series(1, 100) n" -c "UPDATE events SET v = v + 1 WHERE k = 3" -c "DELETE FROM events WHERE k = 4"
replayed
same_groups
# lookups, as a session keeps them planned while what they are about is replayed: one session, at each step told to look
coproc looking { PGOPTIONS='-c client_min_messages=error' scripts/pg.sh psql "$standby" -qXAt -v ON_ERROR_STOP=1 -d "$database" 2>&1; }
looked_up() { # of both ways one statement and so one snapshot
    local line
    echo "SELECT count(*) FROM (SELECT l.* FROM generate_series(0, 6) g (k), strata.rollup_lookup(NULL::by_k, jsonb_build_object('k', g.k)) l) l FULL JOIN by_k w ON l = w WHERE l.bucket IS NULL OR w.bucket IS NULL;" >&"${looking[1]}"
    read -r line <&"${looking[0]}"
    expect "lookups on the standby that differ, $1" "$line" 0
}
looked_up 'pending and marked'
publisher -c "SELECT strata.refresh_rollup('by_k')" >/dev/null
replayed
looked_up 'all folded'
publisher -c "INSERT INTO events VALUES (now(), 1, 1)" -c "DELETE FROM events WHERE k = 5"
replayed
looked_up 'pending and marked again'
publisher -c "SELECT strata.add_rollup_aggregate('by_k', 'max(v) AS top')" -c "SELECT strata.ensure_partitions('events', now() - interval '20 days', now())" \
    -c "INSERT INTO events VALUES (now() - interval '20 days', 2, 1)" >/dev/null
replayed
looked_up 'an aggregate more, and partitions'
exec {looking[1]}>&-
wait "$looking_PID" 2>/dev/null || true
# a reader who may see nothing but the rollup sees the same
reader() { sql "$1" -c 'SET ROLE standby_reader' -c 'SELECT * FROM by_k ORDER BY k' -c "SELECT count(*) FROM strata.rollup_lookup(NULL::by_k, '{\"k\": 1}')"; }
publisher -c 'CREATE ROLE standby_reader' -c 'GRANT SELECT ON by_k TO standby_reader'
replayed
expect "what a reader sees" "$(reader "$standby")" "$(reader "$publisher")"
expect "pending on the standby" "$(sql "$standby" -c "SELECT pending_batches > 0 FROM strata.rollups")" t
publisher -c "SELECT strata.refresh_rollup('by_k')" -c "INSERT INTO events VALUES (now(), 1, 1)" >/dev/null
replayed
same_groups
sql "$standby" -c "SELECT * FROM strata.health" -c "SELECT * FROM strata.partitions" -c "SELECT * FROM strata.rollups" -c "SELECT * FROM strata.batches" >/dev/null
for statement in "INSERT INTO events VALUES (now(), 1, 1)" "SELECT strata.refresh_rollup('by_k')" "SELECT strata.current_batch('events')"; do
    found=$(sql "$standby" -v VERBOSITY=sqlstate -c "$statement" 2>&1 || true)
    case $found in *'ERROR:  25006'*) ;; *) die "'$statement' on the standby gave '$found', not 25006" ;; esac
done
# promoted, it goes on
expect "promoted" "$(sql "$standby" -c "SELECT pg_promote()")" t
sql "$standby" -c "INSERT INTO events SELECT now(), n % 7, n FROM generate_series(1, 50) n" -c "SELECT compare('by_k')" -c "SELECT strata.refresh_rollup('by_k')" \
    -c "SELECT compare('by_k')" -c "CALL strata.maintain_partitions()" -c "SELECT compare('by_k')" >/dev/null

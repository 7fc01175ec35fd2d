# Commits that wait for a synchronous standby which is not there: the writer is past its last trigger and has written its
# commit, yet nobody sees it. However many refreshes come before it is released, its rows are counted, once.
events="
CREATE TABLE events (ts timestamptz NOT NULL, k int, v numeric);
SELECT strata.create_event_table('events', 'ts');
SELECT strata.create_rollup('by_k', 'events', '1 day', ARRAY['k'], ARRAY['count(*) AS n', 'sum(v) AS v']);
SELECT strata.create_rollup('kinds', 'events', '1 day', '{}', ARRAY['count(*) AS n', 'count(DISTINCT v) AS kinds']);
ALTER DATABASE synchronous SET synchronous_commit = local;"
new_database synchronous
writers=()
waiting() { # waiting <statement>: a session that commits it, and is left waiting for the standby
    publisher -c "SET application_name = 'waiting'; SET synchronous_commit = on" -c "$1" >/dev/null 2>&1 &
    writers+=($!)
    eventually "$publisher" "SELECT count(*) = ${#writers[@]} FROM pg_stat_activity WHERE application_name = 'waiting' AND wait_event = 'SyncRep'"
}
look() { publisher -c "SELECT compare('by_k'), compare('kinds')" >/dev/null; }
refresh() { publisher -c "SELECT strata.refresh_rollup('by_k'), strata.refresh_rollup('kinds')" >/dev/null; }
counted() { expect "rows counted" "$(publisher -c "SELECT (SELECT sum(n) FROM by_k), (SELECT sum(n) FROM kinds), (SELECT count(*) FROM events)")" "$1|$1|$1"; }

publisher -c "INSERT INTO events SELECT now(), n % 3, n FROM generate_series(1, 10) n" -c "ALTER SYSTEM SET synchronous_standby_names = 'nobody'" -c "SELECT pg_reload_conf()" >/dev/null
eventually "$publisher" "SELECT current_setting('synchronous_standby_names') = 'nobody'"
waiting "INSERT INTO events SELECT now(), n % 3, n FROM generate_series(1, 5) n"
counted 10
look
refresh
# rows of a later batch, and of a later transaction, that are seen before
publisher -c "INSERT INTO events VALUES (now(), 0, 100)" -c "INSERT INTO events VALUES (now(), 1, 100)"
refresh
look
waiting "UPDATE events SET v = v + 1000 WHERE k = 2"
refresh
look
# a refresh that is itself left waiting: what it did is there at once when it is released, and the next one waits for it
waiting "SELECT strata.refresh_rollup('by_k')"
counted 12
look
publisher -c "ALTER SYSTEM RESET synchronous_standby_names" -c "SELECT pg_reload_conf()" >/dev/null
for writer in "${writers[@]}"; do wait "$writer" || die "a writer that waited has failed"; done
counted 17
look
refresh
counted 17
look
expect "folded" "$(publisher -c "SELECT sum(n) FROM by_k_storage")" 17
expect "updated" "$(publisher -c "SELECT sum(v) > 3000 FROM by_k WHERE k = 2")" t

# A sequence behind its ledger or its rollups' progress: refused and reported, never folded over. A restore of rows without
# their ledger goes on above them. And a partition that the subscriber lacks.
events="
CREATE TABLE events (ts timestamptz NOT NULL, k int, v numeric);
SELECT strata.create_event_table('events', 'ts');
SELECT strata.ensure_partitions('events', now() - interval '1 day', now());
SELECT strata.create_rollup('by_k', 'events', '1 day', ARRAY['k'], ARRAY['count(*) AS n', 'sum(v) AS v']);"
new_database left_behind
for round in 1 2 3; do
    publisher -c "INSERT INTO events SELECT now(), n % 7, n FROM generate_series(1, 50) n" -c "SELECT strata.refresh_rollup('by_k')" >/dev/null
done
refused() { # refused <SQLSTATE> <statement>
    local found
    found=$(publisher -v VERBOSITY=sqlstate -c "$2" 2>&1 || true)
    case $found in *"ERROR:  $1"*) ;; *) die "'$2' gave '$found', not $1" ;; esac
}
behind() { publisher -c "SELECT status = 'critical' FROM strata.health WHERE check_name = 'batch_sequence'"; }
# as a cut-over leaves it: rows, ledger and progress are there, the sequence starts again
publisher -c "SELECT setval('events_batch_id_seq', 1)" >/dev/null
refused ST007 "SELECT strata.refresh_rollup('by_k')"
expect "health reports it" "$(behind)" t
# the ledger has been pruned, so that only progress knows of the ids
publisher -c "DELETE FROM strata._batches" >/dev/null
refused ST007 "SELECT strata.refresh_rollup('by_k')"
expect "health reports it without a ledger" "$(behind)" t
# the hints, pasted, mend it
publisher -c "SELECT hint FROM strata.health WHERE check_name = 'batch_sequence'" | publisher >/dev/null
publisher -c "SELECT strata.rebuild_rollup('by_k')" -c "SELECT compare('by_k')" -c "INSERT INTO events VALUES (now(), 1, 1)" -c "SELECT compare('by_k')" \
    -c "SELECT strata.refresh_rollup('by_k')" -c "SELECT compare('by_k')" >/dev/null
expect "health is content" "$(behind)" f

# rows without their ledger: create_event_table goes on above them
publisher -c "CREATE TABLE carried (LIKE events) PARTITION BY RANGE (ts)" \
    -c "CREATE TABLE carried_all PARTITION OF carried FOR VALUES FROM ('2000-01-01') TO ('2000-02-01')" \
    -c "INSERT INTO carried SELECT timestamptz '2000-01-03', n % 7, n, n FROM generate_series(1, 700) n" \
    -c "SELECT strata.create_event_table('carried', 'ts')" \
    -c "SELECT strata.create_rollup('carried_by_k', 'carried', '1 day', ARRAY['k'], ARRAY['count(*) AS n', 'sum(v) AS v'])" \
    -c "INSERT INTO carried VALUES (now(), 1, 1)" >/dev/null
expect "batch ids go on above" "$(publisher -c "SELECT max(batch_id) FROM carried")" 701
publisher -c "SELECT compare('carried_by_k')" -c "SELECT strata.refresh_rollup('carried_by_k')" -c "SELECT compare('carried_by_k')" >/dev/null

# a row that the subscriber has no partition for stops the subscription, until there is one
publisher -c "CREATE PUBLICATION events FOR TABLE events (ts, k, v) WITH (publish_via_partition_root = true, publish = 'insert')"
subscriber -c "CREATE SUBSCRIPTION left_behind CONNECTION '$(connection)' PUBLICATION events" 2>/dev/null
copied "SELECT compare('by_k', 0)"
publisher -c "SELECT strata.ensure_partitions('events', now() - interval '5 days', now())" -c "INSERT INTO events VALUES (now() - interval '5 days', 1, 1)" >/dev/null
eventually "$subscriber" "SELECT apply_error_count > 0 FROM pg_stat_subscription_stats WHERE subname = 'left_behind'" "SELECT compare('by_k')"
subscriber -c "SELECT strata.ensure_partitions('events', now() - interval '5 days', now())" >/dev/null
caught_up left_behind "SELECT compare('by_k')"
same_rows events 'ts, k, v'
subscriber -c "SELECT compare('by_k')" -c "SELECT strata.refresh_rollup('by_k')" -c "SELECT compare('by_k')" >/dev/null
drop_subscription left_behind

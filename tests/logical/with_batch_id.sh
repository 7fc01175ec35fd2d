# A publication of all columns, as a table without a key needs for UPDATE and DELETE (REPLICA IDENTITY FULL): batch ids of
# the publisher come along, which mean nothing here. The guard marks the groups and moves the sequence.
events="
CREATE TABLE events (ts timestamptz NOT NULL, k int, v numeric);
SELECT strata.create_event_table('events', 'ts');
SELECT strata.ensure_partitions('events', now() - interval '1 days', now());
SELECT strata.create_rollup('by_k', 'events', '1 day', ARRAY['k'], ARRAY['count(*) AS n', 'sum(v) AS v']);"
new_database with_batch_id
publisher -c "DO \$\$ DECLARE leaf regclass; BEGIN FOR leaf IN SELECT relid FROM pg_partition_tree('events') LOOP EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', leaf); END LOOP; END \$\$" \
    -c "SELECT setval('events_batch_id_seq', 500)" \
    -c "INSERT INTO events SELECT now(), n % 7, n FROM generate_series(1, 500) n" \
    -c "CREATE PUBLICATION events FOR TABLE events WITH (publish_via_partition_root = true)" >/dev/null
# the subscriber has batches of its own with lower ids, folded ones among them
subscriber -c "INSERT INTO events VALUES (now(), 1, 1)" -c "SELECT strata.refresh_rollup('by_k')" -c "INSERT INTO events VALUES (now(), 1, 2)" \
    -c "CREATE SUBSCRIPTION with_batch_id CONNECTION '$(connection)' PUBLICATION events" >/dev/null 2>&1
copied "SELECT compare('by_k')"
expect "the sequence is past them" "$(subscriber -c "SELECT last_value >= 501 FROM events_batch_id_seq")" t
subscriber -c "SELECT compare('by_k')" -c "SELECT strata.refresh_rollup('by_k')" -c "SELECT compare('by_k')" >/dev/null
for round in 1 2 3; do
    publisher -c "INSERT INTO events SELECT now(), n % 7, n FROM generate_series(1, 50) n" -c "UPDATE events SET v = v + 1 WHERE v = $round" -c "DELETE FROM events WHERE v = 100 + $round"
    subscriber -c "INSERT INTO events VALUES (now(), 1, -$round)" -c "SELECT compare('by_k')" -c "SELECT strata.refresh_rollup('by_k')" >/dev/null
    caught_up with_batch_id "SELECT compare('by_k')" "SELECT strata.refresh_rollup('by_k')"
    subscriber -c "SELECT compare('by_k')" -c "SELECT strata.refresh_rollup('by_k')" -c "SELECT compare('by_k')" >/dev/null
done
expect "rows" "$(subscriber -c "SELECT count(*) FROM events")" "$(publisher -c "SELECT count(*) + 5 FROM events")"
expect "critical" "$(subscriber -c "SELECT count(*) FROM strata.health WHERE status = 'critical'")" 0
drop_subscription with_batch_id

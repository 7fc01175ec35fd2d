# The recommended way: the publication names the columns and leaves batch_id out, so that rows get batches of the
# subscriber; it publishes by the root, so that partitions may differ.
events="
CREATE TABLE events (id bigint, ts timestamptz NOT NULL, k int, v numeric, note text, PRIMARY KEY (id, ts));
SELECT strata.create_event_table('events', 'ts', '1 day', accept_past => '10 days');
SELECT strata.ensure_partitions('events', now() - interval '5 days', now());
SELECT strata.create_rollup('by_k', 'events', '1 day', ARRAY['k'], ARRAY['count(*) AS n', 'sum(v) AS v', 'count(DISTINCT note) AS notes']);"
new_database without_batch_id
# other partitions than the publisher's, and sub-partitions
subscriber -c "SELECT strata.alter_event_table('events', partition_interval => '1 month', subpartition_by => 'id', subpartitions => 2)" \
    -c "SELECT strata.ensure_partitions('events', now() - interval '9 days', now())" >/dev/null

publisher -c "INSERT INTO events SELECT n, now() - n % 5 * interval '1 day', n % 7, n, 'a' FROM generate_series(1, 20000) n" \
    -c "CREATE PUBLICATION events FOR TABLE events (id, ts, k, v, note) WITH (publish_via_partition_root = true)"
subscriber -c "CREATE SUBSCRIPTION without_batch_id CONNECTION '$(connection)' PUBLICATION events" 2>/dev/null
copied "SELECT compare('by_k', 0)"
same_rows events 'id, ts, k, v, note'
expect "batches of the copied rows" "$(subscriber -c "SELECT count(DISTINCT batch_id) = 1 AND bool_and(b.batch_id IS NOT NULL) FROM events LEFT JOIN strata.batches b USING (batch_id)")" t
expect "pending" "$(subscriber -c "SELECT pending_batches FROM strata.rollups")" 1
expect "nothing is foreign" "$(subscriber -c "SELECT count(*) FROM by_k_dirty")" 0
subscriber -c "SELECT strata.refresh_rollup('by_k')" -c "SELECT compare('by_k')" >/dev/null

# inserts, one transaction a batch; updates, also of the time, into another partition; deletes; all while refreshes go on
publisher <<'SQL'
INSERT INTO events SELECT n, now(), n % 7, n, 'b' FROM generate_series(20001, 20100) n;
INSERT INTO events SELECT n, now(), n % 7, n, 'c' FROM generate_series(20101, 20200) n;
UPDATE events SET v = v + 1, note = 'd' WHERE id % 100 = 3;
UPDATE events SET k = 6 WHERE id % 200 = 5;
UPDATE events SET ts = ts - interval '1 day' WHERE id % 400 = 7 AND ts > now() - interval '1 day';
UPDATE events SET id = id + 1000000 WHERE id % 500 = 11;
DELETE FROM events WHERE id % 300 = 13;
BEGIN;
INSERT INTO events VALUES (-1, now(), 1, 1, 'x');
UPDATE events SET v = 100 WHERE id = -1;
SAVEPOINT s;
INSERT INTO events VALUES (-2, now(), 1, 1, 'x');
ROLLBACK TO s;
DELETE FROM events WHERE id = 20001;
COMMIT;
SQL
caught_up without_batch_id "SELECT compare('by_k')" "SELECT strata.refresh_rollup('by_k')" "SELECT compare('by_k')"
same_rows events 'id, ts, k, v, note'
subscriber -c "SELECT compare('by_k')" -c "SELECT strata.refresh_rollup('by_k')" -c "SELECT compare('by_k')" >/dev/null
# (a row that moves to another partition of the publisher comes as DELETE and INSERT, of the later transaction)
expect "each transaction is a batch" "$(subscriber -c "SELECT count(DISTINCT batch_id) FROM events WHERE id BETWEEN 20001 AND 20200 AND id <> 20007")" 2

# with the trigger off, the hole is there, is seen, and is mended
subscriber -c "ALTER TABLE events DISABLE TRIGGER strata_replica"
publisher -c "UPDATE events SET v = v + 5 WHERE id % 1000 = 17"
caught_up without_batch_id
expect "without the trigger" "$(subscriber -c "SELECT count(*) > 0 FROM strata.verify_rollup('by_k')" 2>/dev/null)" t
expect "health" "$(subscriber -c "SELECT status FROM strata.health WHERE check_name = 'mark_triggers'")" critical
subscriber -c "CALL strata.maintain_partitions('events')" -c "SELECT compare('by_k')" >/dev/null
expect "health" "$(subscriber -c "SELECT status FROM strata.health WHERE check_name = 'mark_triggers'")" ok

# TRUNCATE; and rows of the subscriber's own beside those that come
subscriber -c "INSERT INTO events VALUES (-100, now(), 2, 2, 'own')"
publisher -c "TRUNCATE events"
caught_up without_batch_id "SELECT compare('by_k', 0)"
expect "truncated" "$(subscriber -c "SELECT count(*) FROM events")" 0
subscriber -c "SELECT compare('by_k', 0)" >/dev/null
publisher -c "INSERT INTO events VALUES (1, now(), 1, 1, 'again')"
subscriber -c "INSERT INTO events VALUES (-100, now(), 2, 2, 'own')"
caught_up without_batch_id
subscriber -c "SELECT compare('by_k')" -c "SELECT strata.refresh_rollup('by_k')" -c "SELECT compare('by_k')" >/dev/null

# a row for which there is no partition stops the subscription until there is one
publisher -c "SELECT strata.ensure_partitions('events', now() - interval '10 days', now())" -c "INSERT INTO events VALUES (2, now() + interval '4 days', 1, 1, 'ahead')" >/dev/null
caught_up without_batch_id
drop_subscription without_batch_id
subscriber -c "SELECT compare('by_k')" >/dev/null
expect "critical" "$(subscriber -c "SELECT count(*) FROM strata.health WHERE status = 'critical'")" 0

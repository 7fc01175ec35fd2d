-- What the sidecar calls, by hand: fencing, checksums, dead letters.
\set SHOW_CONTEXT never
CREATE TABLE fed (ts timestamptz NOT NULL, id uuid, n int, big bigint, name text, price numeric(10,2), note jsonb, flag boolean);
SELECT strata.create_event_table('fed', 'ts');
SELECT column_id, name, type_name, not_null FROM strata._ingest_columns('fed');
SELECT time_column, accept_upper > now() AS open FROM strata._ingest_table('fed');
SELECT count(*) AS leaves, bool_and(accept_lower < now()) AS open FROM strata._prepare_batch('fed', now() - interval '1 day', now());
SELECT claimed, held_by, epoch, sequence_number, initial_position FROM strata._claim_shard('fed', 'arn:s', 'shard-0', 'one', 60000, 'TRIM_HORIZON');
SELECT claimed, held_by, epoch FROM strata._claim_shard('fed', 'arn:s', 'shard-0', 'two', 60000, 'TRIM_HORIZON');
-- one batch: rows, dead letter, checksum, checkpoint
BEGIN;
SELECT strata.current_batch('fed') AS batch \gset
INSERT INTO fed VALUES (date_trunc('day', now(), 'UTC') + interval '1 hour', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 1, 2, 'ä', 1.5, '{"b": [1, 2.50], "a": null}', true, :batch),
    (date_trunc('day', now(), 'UTC') + interval '2 hours', NULL, NULL, NULL, NULL, NULL, NULL, NULL, :batch);
SELECT strata._add_dead_letters('fed', :batch, '{arn:s}', '{shard-0}', '{42}', '{0}', '{pk}', ARRAY[now()], '{not JSON}', ARRAY[NULL], ARRAY[NULL], ARRAY['\x00'::bytea], '{1}');
SELECT partition::oid AS leaf, partition AS leaf_name FROM strata.partitions WHERE relation = 'fed'::regclass AND now() >= lower AND now() < upper \gset
SELECT strata._row_expression(strata._event_table('fed'), ARRAY(SELECT column_id FROM strata._ingest_columns('fed'))) AS leaf_expression \gset
SELECT strata._sorted_root(array_agg(:leaf_expression)) AS root FROM fed e \gset
SELECT strata._finish_batch('fed', :batch, 2, min(ts), max(ts), ARRAY(SELECT column_id FROM strata._ingest_columns('fed')), ARRAY[:leaf::oid], '{2}', ARRAY[:'root'::bytea]) FROM fed;
SELECT * FROM strata._advance_checkpoints('fed', :batch, '{arn:s}', '{shard-0}', '{1}', '{NULL}', '{40}', '{49590338271490256608559692538361571095921575989136588898}', ARRAY[now()], '{2}', '{false}');
COMMIT;
SELECT stream, shard, sequence_number, ended, worker, epoch, rows FROM strata.shards;
SELECT rows, lower_time < upper_time AS range FROM strata.batches WHERE relation = 'fed'::regclass;
SELECT stream, shard, first_sequence, last_sequence, rows FROM strata.batch_origins;
SELECT sequence_number, reason, payload FROM strata.dead_letters;
SELECT * FROM strata.verify_batches('fed');
-- faults, by their names; lawful changes are quiet unless asked for
ALTER TABLE :leaf_name DISABLE TRIGGER ALL;
UPDATE :leaf_name SET price = 1.51 WHERE n = 1;
SELECT batch_id, fault, expected <> found AS differs FROM strata.verify_batches('fed');
DELETE FROM :leaf_name WHERE n IS NULL;
SELECT batch_id, fault, expected, found FROM strata.verify_batches('fed');
ALTER TABLE :leaf_name ENABLE ALWAYS TRIGGER strata_mark_update, ENABLE ALWAYS TRIGGER strata_mark_delete, ENABLE ALWAYS TRIGGER strata_mark_truncate;
UPDATE fed SET price = 1.5 WHERE n = 1;
SELECT * FROM strata.verify_batches('fed');
SELECT batch_id, fault, expected, found FROM strata.verify_batches('fed', amended => true);
SELECT * FROM strata.verify_batches('fed', since => now() + interval '1 hour');
-- the epoch is the fence: a claim raises it, and the old holder's batch does not pass
SELECT claimed, epoch, sequence_number FROM strata._claim_shard('fed', 'arn:s', 'shard-0', 'one', 60000, 'TRIM_HORIZON');
BEGIN;
SELECT strata.current_batch('fed') AS batch \gset
SELECT * FROM strata._advance_checkpoints('fed', :batch, '{arn:s}', '{shard-0}', '{1}', '{49590338271490256608559692538361571095921575989136588898}', '{43}', '{44}', ARRAY[now()], '{0}', '{false}');
-- nor does one that takes the checkpoint to be elsewhere: commits may have been lost
SELECT * FROM strata._advance_checkpoints('fed', :batch, '{arn:s}', '{shard-0}', '{2}', '{42}', '{43}', '{44}', ARRAY[now()], '{0}', '{false}');
SELECT * FROM strata._advance_checkpoints('fed', :batch, '{arn:s}', '{shard-0}', '{2}', '{NULL}', '{43}', '{44}', ARRAY[now()], '{0}', '{false}');
SELECT * FROM strata._advance_checkpoints('fed', :batch, '{arn:s}', '{shard-0}', '{2}', '{49590338271490256608559692538361571095921575989136588898}', '{43}', '{44}', ARRAY[now()], '{0}', '{false}');
ROLLBACK;
SELECT * FROM strata._renew_leases('one', 60000, ARRAY['fed'::regclass], '{arn:s}', '{shard-0}', '{1}');
SELECT * FROM strata._renew_leases('one', 60000, ARRAY['fed'::regclass], '{arn:s}', '{shard-0}', '{2}');
SELECT strata._release_leases('one');
SELECT claimed, held_by, epoch FROM strata._claim_shard('fed', 'arn:s', 'shard-0', 'two', 60000, 'TRIM_HORIZON');
-- the ledger takes words only about this transaction's batch
SELECT refused($refused$SELECT strata._finish_batch('fed', 1, 0, NULL, NULL, '{}', '{}', '{}', '{}')$refused$);
SELECT refused($refused$SELECT strata._add_dead_letters('fed', 1, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')$refused$);
SELECT refused($refused$SELECT strata._claim_shard('fed', 'arn:s', 'shard-0', 'two', 0, 'TRIM_HORIZON')$refused$);
-- ids of columns are kept through renames and never used again
ALTER TABLE fed RENAME COLUMN name TO title;
ALTER TABLE fed DROP COLUMN flag;
ALTER TABLE fed ADD COLUMN flag boolean;
SELECT column_id, name FROM strata._ingest_columns('fed');
SELECT batch_id, fault FROM strata.verify_batches('fed', amended => true);
DROP TABLE fed;

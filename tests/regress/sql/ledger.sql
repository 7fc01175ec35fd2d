-- The ledger stays short: batches that every rollup has folded are merged, streamed ones stay with their rows.
CREATE SCHEMA ledger;
SET search_path = ledger, public;
CREATE TABLE taps (id bigint, ts timestamptz NOT NULL);
SELECT strata.create_event_table('taps', 'ts', '1 day', premake => 1);
DO $$ BEGIN FOR n IN 1 .. 50 LOOP INSERT INTO taps VALUES (n, now()); COMMIT; END LOOP; END $$;
-- the first run proposes how far, the second knows that it is decided
CALL strata.maintain_partitions('taps');
SELECT count(*) FROM strata.batches WHERE relation = 'taps'::regclass;
CALL strata.maintain_partitions('taps');
SELECT count(*) FROM strata.batches WHERE relation = 'taps'::regclass;
SELECT sum(batches), min(lower_batch), max(upper_batch) FROM strata.merged_batches WHERE relation = 'taps'::regclass;
-- a rollup born now counts rows whose batches are gone, filled or not
SELECT strata.create_rollup('filled', 'taps', '1 day', '{}', ARRAY['count(*) AS n']);
SELECT strata.create_rollup('unfilled', 'taps', '1 day', '{}', ARRAY['count(*) AS n'], with_data => false);
SELECT sum(n) FROM filled; SELECT sum(n) FROM unfilled;
DO $$ BEGIN FOR n IN 1 .. 20 LOOP INSERT INTO taps VALUES (n, now()); COMMIT; END LOOP; END $$;
-- a rollup that has not folded keeps what it needs
CALL strata.maintain_partitions('taps');
CALL strata.maintain_partitions('taps');
SELECT count(*) >= 20 AS kept FROM strata.batches WHERE relation = 'taps'::regclass;
SELECT count(strata.refresh_rollup(r)) FROM unnest('{filled,unfilled}'::regclass[]) r;
CALL strata.maintain_partitions('taps');
SELECT count(strata.refresh_rollup(r)) FROM unnest('{filled,unfilled}'::regclass[]) r;
CALL strata.maintain_partitions('taps');
SELECT count(*) FROM strata.batches WHERE relation = 'taps'::regclass;
SELECT count(*) AS differences FROM strata.verify_rollup('filled'); SELECT count(*) AS differences FROM strata.verify_rollup('unfilled');
INSERT INTO taps SELECT n, now() FROM generate_series(1, 30) n;
SELECT strata.refresh_rollup('filled'), strata.refresh_rollup('unfilled');
SELECT sum(n) FROM filled; SELECT sum(n) FROM unfilled;
-- the sequence may not fall behind what was pruned either
SELECT setval('taps_batch_id_seq', 3);
SELECT split_part(refused($$SELECT strata.refresh_rollup('filled')$$), E'\n', 1);
SET client_min_messages = warning;
DROP SCHEMA ledger CASCADE;
CALL strata.maintain_partitions();
SELECT count(*) FROM strata._merged_batches;

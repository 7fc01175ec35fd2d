-- attach_partition: rows of other tables become rows of the event table and of its rollups.
CREATE SCHEMA attach;
SET search_path = attach, public;
SET timezone = 'UTC';
CREATE FUNCTION differences(view_name text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint; query text := strata.rollup_query(view_name::regclass);
BEGIN
    query := rtrim(query, '; ');
    EXECUTE format('SELECT (SELECT count(*) FROM (SELECT * FROM %1$s EXCEPT ALL %2$s) a) + (SELECT count(*) FROM (%2$s EXCEPT ALL SELECT * FROM %1$s) b)', view_name, query) INTO n;
    RETURN n;
END $$;
CREATE TABLE users (id int PRIMARY KEY);
INSERT INTO users SELECT generate_series(1, 10);
CREATE TABLE "Click USING s" (id bigint, ts timestamptz NOT NULL, "user" int NOT NULL REFERENCES users, amount numeric CHECK (amount >= 0), PRIMARY KEY (id, ts));
CREATE INDEX "odd USING name" ON "Click USING s" ("user", lower("user"::text)) INCLUDE (amount) WHERE amount > 1;
SELECT strata.create_event_table('"Click USING s"', 'ts', '1 day', premake => 1, accept_past => '1000 days');
SELECT strata.create_rollup('by_user', '"Click USING s"', '1 day', ARRAY['"user"'], ARRAY['count(*) AS n', 'sum(amount) AS spend']);
INSERT INTO "Click USING s" VALUES (1, now(), 1, 5);
-- a foreign table: other column order, nothing but the data
CREATE TABLE archive (amount numeric, "user" int, ts timestamptz, id bigint);
INSERT INTO archive SELECT n, 1 + n % 10, timestamptz '2026-01-15' + n * interval '1 minute', n FROM generate_series(1, 2000) n;
SELECT strata.attach_partition('"Click USING s"', 'archive');
SELECT partition, lower, upper, state, pending_batches FROM strata.partitions WHERE partition = 'archive'::regclass;
SELECT rows, lower_time, upper_time FROM strata.batches WHERE relation = '"Click USING s"'::regclass AND rows IS NOT NULL;
SELECT differences('by_user'), (SELECT sum(n) FROM by_user);
SELECT strata.refresh_rollup('by_user');
SELECT differences('by_user');
-- nothing was made twice, everything of the parent is there
SELECT count(*) AS indexes, count(*) FILTER (WHERE i.indisunique) AS unique_ones FROM pg_index i WHERE i.indrelid = 'archive'::regclass;
SELECT contype, count(*) FROM pg_constraint WHERE conrelid = 'archive'::regclass AND contype IN ('p', 'f', 'c') GROUP BY 1 ORDER BY 1;
SELECT count(*) AS invalid FROM pg_index WHERE indrelid = '"Click USING s"'::regclass AND NOT indisvalid;
SELECT count(*) FROM strata._without_mark_triggers('"Click USING s"');
INSERT INTO archive (id, ts, "user", amount) VALUES (5000, '2026-01-15 12:00', 1, 1);
UPDATE archive SET amount = 0 WHERE id = 7;
SELECT differences('by_user');
SELECT refused($$SELECT * FROM strata.health WHERE object = 'attach."Click USING s"' AND status = 'critical'$$);
-- detached by hand, changed, and back: rows keep their batches, groups are recomputed
ALTER TABLE "Click USING s" DETACH PARTITION archive;
UPDATE archive SET amount = amount + 1; DELETE FROM archive WHERE "user" = 3; INSERT INTO archive (id, ts, "user", amount) VALUES (6000, '2026-01-15 12:00', 2, 9);
SELECT strata.attach_partition('"Click USING s"', 'archive');
SELECT differences('by_user');
SELECT strata.refresh_rollup('by_user') >= 0, differences('by_user');
SELECT count(*) AS indexes FROM pg_index i WHERE i.indrelid = 'archive'::regclass;
-- in the transaction of other rows
BEGIN;
CREATE TABLE more (LIKE "Click USING s" INCLUDING ALL);
ALTER TABLE more ALTER batch_id DROP DEFAULT;
INSERT INTO more SELECT n, timestamptz '2026-03-01' + n * interval '1 hour', 1 + n % 10, n, NULL FROM generate_series(0, 100) n;
INSERT INTO "Click USING s" VALUES (2, now(), 2, 5);
SELECT strata.attach_partition('"Click USING s"', 'more');
INSERT INTO "Click USING s" VALUES (3, now(), 2, 5);
SELECT differences('by_user');
COMMIT;
SELECT lower, upper FROM strata.partitions WHERE partition = 'more'::regclass;
SELECT strata.refresh_rollup('by_user'), differences('by_user');
-- what it does not take
CREATE TABLE other (LIKE "Click USING s");
SELECT refused($$SELECT strata.attach_partition('"Click USING s"', 'other')$$);
INSERT INTO other VALUES (9, '2026-01-16 10:00', 1, 1, NULL);
SELECT refused($$SELECT strata.attach_partition('"Click USING s"', 'other')$$);
UPDATE other SET ts = 'infinity';
SELECT refused($$SELECT strata.attach_partition('"Click USING s"', 'other')$$);
UPDATE other SET ts = '2025-01-01', amount = -1;
SELECT split_part(refused($$SELECT strata.attach_partition('"Click USING s"', 'other')$$), E'\n', 1);
UPDATE other SET amount = 1, "user" = 77;
SELECT split_part(refused($$SELECT strata.attach_partition('"Click USING s"', 'other')$$), E'\n', 1);
UPDATE other SET "user" = 7;
ALTER TABLE other ADD COLUMN surplus int;
SELECT split_part(refused($$SELECT strata.attach_partition('"Click USING s"', 'other')$$), E'\n', 1);
ALTER TABLE other DROP COLUMN surplus, ALTER COLUMN ts TYPE timestamp;
SELECT refused($$SELECT strata.attach_partition('"Click USING s"', 'other')$$);
SELECT refused($$SELECT strata.attach_partition('"Click USING s"', 'archive')$$);
SELECT refused($$SELECT strata.attach_partition('"Click USING s"', 'by_user')$$);
SELECT refused($$SELECT strata.attach_partition('users', 'other')$$);
ALTER TABLE other ALTER COLUMN ts TYPE timestamptz;
CREATE ROLE regress_stranger;
ALTER TABLE other OWNER TO regress_stranger;
SELECT refused($$SELECT strata.attach_partition('"Click USING s"', 'other')$$);
ALTER TABLE other OWNER TO CURRENT_USER;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT split_part(refused($$SELECT strata.attach_partition('"Click USING s"', 'other')$$), E'\n', 1);
ROLLBACK;
SELECT strata.attach_partition('"Click USING s"', 'other');
SELECT differences('by_user');
SET client_min_messages = warning;
DROP SCHEMA attach CASCADE;
DROP ROLE regress_stranger;
CALL strata.maintain_partitions();
-- nothing of it is left behind
SELECT count(*) FROM strata._orphans();
SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname ~ 'strata';

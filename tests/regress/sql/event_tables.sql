-- create_event_table, ensure_partitions, maintain_partitions: what is kept, what is refused, with which error.
\set SHOW_CONTEXT never
CREATE TABLE plain_events (
    id bigserial,
    ts timestamptz NOT NULL,
    "User" bigint NOT NULL DEFAULT 7 CHECK ("User" > 0),
    note text,
    doubled bigint GENERATED ALWAYS AS ("User" * 2) STORED,
    PRIMARY KEY (id, ts)
);
CREATE INDEX plain_by_user ON plain_events ("User", ts);
COMMENT ON TABLE plain_events IS 'kept';
COMMENT ON COLUMN plain_events.note IS 'kept too';
CREATE ROLE regress_reader;
GRANT SELECT ON plain_events TO regress_reader;
GRANT UPDATE (note) ON plain_events TO regress_reader;
SELECT strata.create_event_table('plain_events', 'ts', '1 day', premake => 2);
SELECT column_name, data_type, column_default, is_nullable, is_generated FROM information_schema.columns WHERE table_name = 'plain_events' ORDER BY ordinal_position;
SELECT indexrelid::regclass, indisprimary FROM pg_index WHERE indrelid = 'plain_events'::regclass ORDER BY indexrelid::regclass::text;
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'plain_events'::regclass ORDER BY 1;
SELECT obj_description('plain_events'::regclass), col_description('plain_events'::regclass, 4);
SELECT has_table_privilege('regress_reader', 'plain_events', 'SELECT'), has_column_privilege('regress_reader', 'plain_events', 'note', 'UPDATE');
SELECT pg_get_serial_sequence('plain_events', 'id');
SELECT time_column, partition_interval, premake, timezone, partitions FROM strata.event_tables WHERE relation = 'plain_events'::regclass;
INSERT INTO plain_events (ts, note) VALUES (now(), 'a') RETURNING id, "User", doubled, batch_id;

-- partitions: idempotent, gap filling, both ends inclusive
SELECT strata.ensure_partitions('plain_events', now() - interval '5 days', now() - interval '4 days');
SELECT strata.ensure_partitions('plain_events', now() - interval '5 days', now() - interval '4 days');
SELECT strata.ensure_partitions('plain_events', now() - interval '5 days', now());
SELECT count(*), count(*) FILTER (WHERE upper - lower = interval '1 day') AS of_a_day, max(upper) = date_trunc('day', now(), 'UTC') + interval '72 hours' AS premade
FROM strata.partitions WHERE relation = 'plain_events'::regclass;
SELECT count(*) FROM strata._without_mark_triggers('plain_events');
SELECT strata.ensure_partitions('plain_events', now(), now() - interval '1 day');
SELECT split_part(refused($$SELECT strata.ensure_partitions('plain_events', now(), '9999-01-01')$$), ':', 1),
    split_part(refused($$SELECT strata.ensure_partitions('plain_events', '1970-01-01', now())$$), ':', 1),
    split_part(refused($$SELECT strata.ensure_partitions('plain_events', '-infinity', 'infinity')$$), ':', 1);
-- PostgreSQL's own error for a row without a partition
SELECT split_part(refused($refused$INSERT INTO plain_events (ts) VALUES ('9999-01-01')$refused$), E'\n', 1);

-- months and zones
CREATE TABLE monthly (ts timestamptz NOT NULL, n int);
SELECT strata.create_event_table('monthly', 'ts', '1 month', premake => 3, timezone => 'America/New_York', accept_past => '400 days', accept_future => '400 days');
SELECT count(*), bool_and(extract(day FROM lower AT TIME ZONE 'America/New_York') = 1 AND extract(hour FROM lower AT TIME ZONE 'America/New_York') = 0) AS on_local_midnight
FROM strata.partitions WHERE relation = 'monthly'::regclass;
SELECT strata.ensure_partitions('monthly', now() - interval '1 year', now()) BETWEEN 11 AND 13 AS a_year;
CREATE TABLE quarter_hours (ts timestamptz NOT NULL);
SELECT strata.create_event_table('quarter_hours', 'ts', '15 minutes', premake => 4, timezone => 'Asia/Kathmandu');
SELECT count(*), bool_and(upper - lower = interval '15 minutes') AS even FROM strata.partitions WHERE relation = 'quarter_hours'::regclass;
SELECT strata.ensure_partitions('quarter_hours', now() - interval '5 hours', now());
SELECT split_part(refused($$SELECT strata.ensure_partitions('quarter_hours', now() - interval '29 days', now())$$), E'\n', 1);
-- the hour that comes twice, and the one that does not come
CREATE TABLE berlin (ts timestamptz NOT NULL);
SELECT strata.create_event_table('berlin', 'ts', '1 day', premake => 0, timezone => 'Europe/Berlin', accept_past => '4000 days');
SELECT strata.ensure_partitions('berlin', '2026-03-28 12:00+00', '2026-03-30 12:00+00'), strata.ensure_partitions('berlin', '2025-10-25 12:00+00', '2025-10-27 12:00+00');
SELECT lower, upper, upper - lower AS length FROM strata.partitions WHERE relation = 'berlin'::regclass AND lower < '2026-05-01' ORDER BY lower;

-- a maintained table gets back what is missing
DROP TRIGGER strata_mark_update ON berlin;
SELECT check_name, status, hint FROM strata.health WHERE object = 'berlin' AND status <> 'ok' AND check_name <> 'partition_gaps' ORDER BY 1;
CALL strata.maintain_partitions('berlin');
SELECT check_name, status, hint FROM strata.health WHERE object = 'berlin' AND status <> 'ok' AND check_name <> 'partition_gaps' ORDER BY 1;
-- so it does with a trigger that was switched off, and with the one for rows that logical replication changes
ALTER TABLE berlin DISABLE TRIGGER strata_mark_delete;
DROP TRIGGER strata_replica ON berlin;
SELECT check_name, status FROM strata.health WHERE object = 'berlin' AND check_name = 'mark_triggers';
CALL strata.maintain_partitions('berlin');
SELECT check_name, status FROM strata.health WHERE object = 'berlin' AND check_name = 'mark_triggers';
SELECT tgname, tgenabled, count(*) = (SELECT count(*) FROM pg_partition_tree('berlin')) AS everywhere FROM pg_trigger
WHERE tgrelid IN (SELECT relid FROM pg_partition_tree('berlin')) GROUP BY 1, 2 ORDER BY 1;

-- a partition attached by hand: what was changed behind its missing triggers is found
SELECT strata.create_rollup('berlin_days', 'berlin', '1 day', '{}', ARRAY['count(*) AS n'], timezone => 'Europe/Berlin');
CREATE TABLE berlin_2020 (LIKE berlin INCLUDING DEFAULTS);
ALTER TABLE berlin ATTACH PARTITION berlin_2020 FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-02-01 00:00+00');
INSERT INTO berlin_2020 VALUES ('2020-01-05'), ('2020-01-06');
SELECT strata.refresh_rollup('berlin_days');
DELETE FROM berlin_2020 WHERE ts < '2020-01-05 12:00';
SELECT side FROM differences('berlin_days');
CALL strata.maintain_partitions('berlin');
SELECT side FROM differences('berlin_days');
-- a table given to another owner
CREATE ROLE regress_heir;
GRANT CREATE ON SCHEMA public TO regress_heir;
ALTER TABLE berlin OWNER TO regress_heir;
SELECT check_name, status, hint FROM strata.health WHERE object = 'berlin' AND status <> 'ok' AND check_name <> 'partition_gaps' ORDER BY 1;
CALL strata.maintain_partitions('berlin');
SELECT check_name, status, hint FROM strata.health WHERE object = 'berlin' AND status <> 'ok' AND check_name <> 'partition_gaps' ORDER BY 1;
SET ROLE regress_heir;
INSERT INTO berlin VALUES ('2020-01-07');
DELETE FROM berlin WHERE ts < '2020-01-06 12:00';
SELECT strata.refresh_rollup('berlin_days') > 0 AS folded;
SELECT n FROM berlin_days;
RESET ROLE;
SELECT strata.drop_rollup('berlin_days');
ALTER TABLE berlin OWNER TO CURRENT_USER;
CALL strata.maintain_partitions('berlin');
DROP OWNED BY regress_heir;
DROP ROLE regress_heir;

-- refusals
SELECT split_part(refused($refused$SELECT strata.create_event_table('plain_events', 'ts', premake => 1)$refused$), E'\n', 1);
CREATE TABLE refused (id bigint PRIMARY KEY, ts timestamptz NOT NULL, at time);
SELECT refused($refused$SELECT strata.create_event_table('refused', 'ts')$refused$);
SELECT refused($refused$SELECT strata.create_event_table('refused', 'at')$refused$);
SELECT refused($refused$SELECT strata.create_event_table('refused', 'nothing')$refused$);
ALTER TABLE refused DROP CONSTRAINT refused_pkey;
CREATE UNIQUE INDEX refused_id ON refused (id);
SELECT refused($refused$SELECT strata.create_event_table('refused', 'ts')$refused$);
DROP INDEX refused_id;
SELECT refused($refused$SELECT strata.create_event_table('refused', 'ts', '30 seconds')$refused$);
SELECT refused($refused$SELECT strata.create_event_table('refused', 'ts', timezone => 'Mars/Olympus')$refused$);
SELECT refused($refused$SELECT strata.create_event_table('refused', 'ts', '1 month 1 day')$refused$);
SELECT refused($refused$SELECT strata.create_event_table('refused', 'ts', premake => -1)$refused$);
SELECT refused($refused$SELECT strata.create_event_table('refused', 'ts', subpartitions => 4)$refused$);
SELECT refused($refused$SELECT strata.create_event_table('refused', 'ts', subpartition_by => 'nobody', subpartitions => 4)$refused$);
ALTER TABLE refused ADD UNIQUE (id, ts);
SELECT refused($refused$SELECT strata.create_event_table('refused', 'ts', subpartition_by => 'at', subpartitions => 4)$refused$);
SELECT refused($refused$SELECT strata.create_event_table('refused', 'ts', retention => '1 day', accept_past => '2 days')$refused$);
ALTER TABLE refused ADD COLUMN batch_id text;
SELECT refused($refused$SELECT strata.create_event_table('refused', 'ts')$refused$);
SELECT refused($refused$SELECT strata.create_event_table('pg_stat_activity', 'ts')$refused$);
SELECT refused($refused$SELECT strata.ensure_partitions('refused', now(), now())$refused$);
SELECT refused($refused$CALL strata.maintain_partitions('refused')$refused$);
DROP TABLE refused;
CREATE TABLE defaulted (ts timestamptz NOT NULL) PARTITION BY RANGE (ts);
CREATE TABLE defaulted_rest PARTITION OF defaulted DEFAULT;
SELECT refused($refused$SELECT strata.create_event_table('defaulted', 'ts')$refused$);
CREATE TABLE listed (ts timestamptz NOT NULL) PARTITION BY LIST (ts);
SELECT refused($refused$SELECT strata.create_event_table('listed', 'ts')$refused$);
DROP TABLE defaulted, listed;

-- strange names
CREATE SCHEMA "Odd schema";
CREATE TABLE "Odd schema"."sel""ect'ümläut" ("the time" timestamptz NOT NULL, "group" int, "a""b'c" text);
SELECT strata.create_event_table('"Odd schema"."sel""ect''ümläut"', 'the time');
SELECT strata.create_rollup('"Odd schema"."Roll up"', '"Odd schema"."sel""ect''ümläut"', '1 hour', ARRAY['"group"', '"a""b''c"'], ARRAY['count(*) AS "N of"', 'avg("group") AS "order"']);
INSERT INTO "Odd schema"."sel""ect'ümläut" VALUES (now(), 1, 'x'), (now(), NULL, NULL), (now(), NULL, NULL);
SELECT strata.refresh_rollup('"Odd schema"."Roll up"');
UPDATE "Odd schema"."sel""ect'ümläut" SET "group" = 3 WHERE "group" = 1;
SELECT * FROM differences('"Odd schema"."Roll up"');
CREATE TABLE aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg (ts timestamptz NOT NULL);
SELECT strata.create_event_table('aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg', 'ts', premake => 1);
SELECT count(DISTINCT partition::text) FROM strata.partitions WHERE relation = 'aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg'::regclass;

-- plain DROP TABLE: the catalog heals itself
DROP TABLE aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg, berlin, quarter_hours, monthly;
SELECT relation FROM strata.event_tables ORDER BY relation::text;
CREATE TABLE berlin (ts timestamptz NOT NULL);
SELECT strata.create_event_table('berlin', 'ts');
SELECT count(*) FROM strata._event_tables t WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = t.relation);
DROP TABLE berlin, plain_events;
DROP SCHEMA "Odd schema" CASCADE;
DROP ROLE regress_reader;

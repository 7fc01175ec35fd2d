-- Retention: what goes, what holds it back, what is written down. Days are counted from today.
CREATE SCHEMA retention;
SET search_path = retention, public;
SET timezone = 'UTC';
CREATE TABLE visits (id bigint, ts timestamptz NOT NULL, page text, PRIMARY KEY (id, ts));
CREATE FUNCTION days(ts timestamptz) RETURNS int LANGUAGE sql AS $$ SELECT extract(day FROM ts - date_trunc('day', now()))::int $$;
CREATE FUNCTION expired(OUT days int, OUT blocked_by text) RETURNS SETOF record LANGUAGE sql AS $$ SELECT days(upper), blocked_by FROM strata.expired_partitions('visits') ORDER BY upper $$;
CREATE FUNCTION kept() RETURNS int[] LANGUAGE sql AS $$ SELECT array_agg(days(lower) ORDER BY lower) FROM strata.partitions WHERE relation = 'visits'::regclass AND lower <= now() $$;
SELECT strata.create_event_table('visits', 'ts', '1 day', premake => 1);
SELECT strata.ensure_partitions('visits', now() - interval '6 days', now());
INSERT INTO visits SELECT n, date_trunc('day', now()) - (n % 7) * interval '1 day' + interval '1 minute', 'p' || n % 3 FROM generate_series(0, 69) n;
SELECT strata.create_rollup('by_day', 'visits', '1 day', ARRAY['page'], ARRAY['count(*) AS n']);
CREATE TABLE before AS SELECT * FROM by_day;
-- nothing to do without retention
SELECT * FROM expired();
-- the accepted window follows, unless it was asked for
SELECT strata.alter_event_table('visits', retention => '10 days');
SELECT retention, accept_past FROM strata.event_tables WHERE relation = 'visits'::regclass;
CREATE TABLE brief (ts timestamptz NOT NULL);
SELECT strata.create_event_table('brief', 'ts', retention => '7 days');
SELECT retention, accept_past FROM strata.event_tables WHERE relation = 'brief'::regclass;
DROP TABLE brief;
CREATE TABLE brief (ts timestamptz NOT NULL);
CALL strata.convert_to_event_table('brief', 'ts', retention => '7 days');
SELECT retention, accept_past FROM strata.event_tables WHERE relation = 'brief'::regclass;
DROP TABLE brief;
SELECT refused($$SELECT strata.alter_event_table('visits', retention => '3 days', accept_past => '5 days')$$);
SELECT refused($$SELECT strata.alter_event_table('visits', retention => '-3 days')$$);
SELECT strata.alter_event_table('visits', retention => '3 days', accept_past => '2 days');
SELECT retention, accept_past, premake FROM strata.event_tables WHERE relation = 'visits'::regclass;
SELECT * FROM expired();
-- a row that is not folded, and a group that is dirty, hold a partition back
INSERT INTO visits VALUES (100, date_trunc('day', now()) - interval '5 days', 'late');
UPDATE visits SET page = 'changed' WHERE id = 6;
SELECT * FROM expired();
-- step by step
SELECT strata._freeze_expired('visits') AS nothing_is_sealed;
SELECT strata._seal_expired('visits'), strata._seal_expired('visits');
SELECT strata._seal_expired('visits'), strata._seal_expired('visits');
SELECT refused(format($$INSERT INTO visits VALUES (101, %L, 'too late')$$, date_trunc('day', now()) - interval '5 days')) LIKE '23514%' AS unwritable;
SELECT days(lower), state FROM strata.partitions WHERE relation = 'visits'::regclass ORDER BY 1;
SELECT strata._freeze_expired('visits') AS held_back;
SELECT strata._detachable('visits');
SELECT strata._rollups_in_the_way('visits');
SELECT strata.refresh_rollup('by_day');
SELECT * FROM expired();
SELECT days(strata._freeze_expired('visits'));
-- below, groups are frozen: a late DELETE changes rows and no rollup
SELECT days(retained_from) FROM strata.event_tables WHERE relation = 'visits'::regclass;
DELETE FROM visits WHERE ts < date_trunc('day', now()) - interval '5 days';
SELECT strata.refresh_rollup('by_day');
SELECT count(*) FROM by_day_dirty;
SELECT page, n FROM by_day WHERE bucket = date_trunc('day', now()) - interval '6 days' ORDER BY 1;
SELECT count(*) AS differences FROM strata.verify_rollup('by_day');
SELECT refused($$SELECT strata.ensure_partitions('visits', now() - interval '5 days', now())$$) LIKE 'ST003%' AS outside;
SELECT partition::regclass = 'visits'::regclass AS other, bytes > 0 AS bytes, statement ~ '^ALTER TABLE retention.visits DETACH PARTITION retention.visits_p\d+_\d+_\d+ CONCURRENTLY$' AS concurrently FROM strata._detachable('visits');
SELECT regexp_replace(refused(format($$SELECT strata._detach_partition('retention.visits', 'retention.%I')$$, (SELECT partition FROM strata.partitions WHERE relation = 'visits'::regclass AND lower > now()))), '\d{4}_\d\d_\d\d', 'day') AS refused;
CALL strata.maintain_partitions('visits');
SELECT kept();
SELECT * FROM expired();
-- what is gone is still in the rollup
SELECT count(*) FROM (SELECT * FROM before EXCEPT SELECT * FROM by_day) lost;
SELECT days(bucket), page, n FROM by_day WHERE (bucket, page, n) NOT IN (SELECT * FROM before) ORDER BY 1, 2;
SELECT action, count(*), bool_and(role = session_user) AS mine, bool_and(bytes > 0) AS bytes FROM strata.retention_log WHERE relation = 'retention.visits' GROUP BY 1 ORDER BY 1;
-- a second run finds nothing
CALL strata.maintain_partitions('visits');
SELECT kept();
SELECT count(*) FROM strata.health WHERE object IN ('retention.visits', 'visits') AND status <> 'ok';

-- a rollup of coarser buckets: days go by whole buckets only
SELECT strata.create_rollup('by_era', 'visits', '30000 days', '{}', ARRAY['count(*) AS n']);
SELECT strata.alter_event_table('visits', retention => '1 day', accept_past => '1 day');
SELECT days, blocked_by FROM expired();
-- by_era knows that its bucket was cut before it was born
SELECT (SELECT exact_from FROM strata.rollups WHERE rollup = 'by_era'::regclass), (SELECT count(*) FROM by_era) AS nothing_exact;
CALL strata.maintain_partitions('visits');
SELECT cardinality(kept()) AS partitions;
-- suspended, it is in nobody's way, and nobody reads it by mistake
SELECT strata.suspend_rollup('by_era');
SELECT strata.suspend_rollup('by_era');
SELECT refused('SELECT * FROM retention.by_era');
SELECT refused('SELECT * FROM retention.by_era WHERE false');
SELECT rollup, suspended_at IS NOT NULL AS suspended FROM strata.rollups WHERE source = 'visits'::regclass ORDER BY 1;
UPDATE visits SET page = 'p9' WHERE id % 7 = 0;
SELECT strata.refresh_rollup('by_era'), (SELECT count(*) FROM by_era_dirty) AS marks;
CALL strata.maintain_partitions('visits');
SELECT kept();
SELECT count(*) AS differences FROM strata.verify_rollup('by_day');
SELECT strata.resume_rollup('by_era') >= 0 AS resumed;
SELECT strata.resume_rollup('by_era');
INSERT INTO visits VALUES (200, now(), 'x');
SELECT count(*) AS differences FROM strata.verify_rollup('by_era');
SELECT strata.drop_rollup('by_era');

-- a broken rollup holds retention back, is seen, and is overridden with a reason
SELECT strata.ensure_partitions('visits', now() - interval '1 day', now());
SELECT strata.create_rollup('broken', 'visits', '1 day', '{}', ARRAY['sum(1 / (id - 300)) AS boom']);
INSERT INTO visits VALUES (300, date_trunc('day', now()) - interval '1 hour', 'boom');
SELECT strata.alter_event_table('visits', retention => '1 microsecond', accept_past => '0');
SELECT blocked_by FROM expired();
SET client_min_messages = error;
CALL strata.maintain_partitions('visits');
RESET client_min_messages;
SELECT check_name, status, value FROM strata.health WHERE check_name = 'retention' AND status <> 'ok';
SELECT refused(format('SELECT strata.override_retention(%L, %L, %L)', 'retention.visits', p.partition, ' ')) FROM strata.expired_partitions('visits') p ORDER BY upper LIMIT 1;
SELECT refused($$SELECT strata.override_retention('visits', 'visits', 'because')$$);
SELECT count(*) AS overridden FROM strata.expired_partitions('visits') p, LATERAL strata.override_retention('visits', p.partition, 'the rollup broken is wrong');
SET client_min_messages = error;
CALL strata.maintain_partitions('visits');
RESET client_min_messages;
SELECT count(*) FROM strata.expired_partitions('visits');
SELECT DISTINCT reason FROM strata.retention_log WHERE action = 'overridden';
SELECT kept() AS today_stays;
SELECT count(*) AS differences FROM strata.verify_rollup('by_day');
DROP TABLE visits CASCADE;
CALL strata.maintain_partitions();

-- by size, oldest first, never the newest
CREATE TABLE sized (id bigint, ts timestamptz NOT NULL, filling text);
SELECT strata.create_event_table('sized', 'ts', '1 day', premake => 0);
SELECT strata.ensure_partitions('sized', now() - interval '4 days', now());
INSERT INTO sized SELECT n, now() - n % 5 * interval '1 day', repeat('x', 1000) FROM generate_series(1, 1000) n;
SELECT strata.alter_event_table('sized', retention_bytes => (SELECT sum(bytes)::bigint FROM strata.partitions WHERE relation = 'sized'::regclass));
SELECT count(*) AS fits FROM strata.expired_partitions('sized');
SELECT strata.alter_event_table('sized', retention_bytes => (SELECT sum(bytes)::bigint - 1 FROM strata.partitions WHERE relation = 'sized'::regclass));
SELECT days(upper), blocked_by FROM strata.expired_partitions('sized');
SELECT strata.alter_event_table('sized', retention_bytes => 1);
CALL strata.maintain_partitions('sized');
SELECT days(lower), (SELECT count(*) FROM sized) AS rows FROM strata.partitions WHERE relation = 'sized'::regclass;
SELECT strata.alter_event_table('sized', retention_bytes => 0);
SELECT retention_bytes FROM strata.event_tables WHERE relation = 'sized'::regclass;

-- days of another time zone, which never begin where partitions do: held back for good, and said so; taken out of the way, it goes on
CREATE TABLE zoned (ts timestamptz NOT NULL);
SELECT strata.create_event_table('zoned', 'ts', '1 day', premake => 0);
SELECT strata.ensure_partitions('zoned', now() - interval '4 days', now());
INSERT INTO zoned SELECT date_trunc('day', now()) - n * interval '1 day' FROM generate_series(0, 4) n;
SELECT strata.create_rollup('of_kolkata', 'zoned', '1 day', '{}', ARRAY['count(*) AS n'], timezone => 'Asia/Kolkata');
SELECT strata.create_rollup('of_utc', 'zoned', '1 day', '{}', ARRAY['count(*) AS n']);
SELECT strata.alter_event_table('zoned', retention => '2 days', accept_past => '1 second');
SELECT days(upper), blocked_by FROM strata.expired_partitions('zoned');
CALL strata.maintain_partitions('zoned');
SELECT count(*) AS partitions, (SELECT retained_from FROM strata.event_tables WHERE relation = 'zoned'::regclass) FROM strata.partitions WHERE relation = 'zoned'::regclass;
SELECT strata.suspend_rollup('of_kolkata');
CALL strata.maintain_partitions('zoned');
SELECT days(lower), (SELECT sum(n) FROM of_utc) AS counted FROM strata.partitions WHERE relation = 'zoned'::regclass ORDER BY 1;
SET client_min_messages = warning;
DROP TABLE zoned CASCADE;
RESET client_min_messages;

-- an archive that must be confirmed; a foreign key
CREATE TABLE orders (id bigint, ts timestamptz NOT NULL, PRIMARY KEY (id, ts));
SELECT strata.create_event_table('orders', 'ts', '1 day', premake => 0);
CREATE TABLE lines (order_id bigint, order_ts timestamptz, FOREIGN KEY (order_id, order_ts) REFERENCES orders);
SELECT strata.ensure_partitions('orders', now() - interval '4 days', now());
INSERT INTO orders VALUES (1, date_trunc('day', now()) - interval '3 days'), (2, date_trunc('day', now()) - interval '4 days');
INSERT INTO lines SELECT id, ts FROM orders WHERE id = 1;
SELECT strata.alter_event_table('orders', retention => '1 day', accept_past => '1 second', archive_required => true);
SELECT days(upper), blocked_by FROM strata.expired_partitions('orders');
SELECT regexp_replace(refused(format('SELECT strata.confirm_archive(%L, %L)', 'orders', (SELECT min(partition::text) FROM strata.partitions WHERE relation = 'orders'::regclass))), '\d{4}_\d\d_\d\d', 'day') AS refused;
CALL strata.maintain_partitions('orders');
SELECT days(upper), blocked_by FROM strata.expired_partitions('orders');
SELECT count(*) AS confirmed FROM strata.partitions p, LATERAL strata.confirm_archive('orders', p.partition) WHERE p.relation = 'orders'::regclass AND p.state = 'sealed';
SELECT days(upper), blocked_by FROM strata.expired_partitions('orders');
CALL strata.maintain_partitions('orders');
SELECT days(lower), state FROM strata.partitions WHERE relation = 'orders'::regclass ORDER BY 1;
DELETE FROM lines;
CALL strata.maintain_partitions('orders');
SELECT days(lower), state FROM strata.partitions WHERE relation = 'orders'::regclass ORDER BY 1;
SET client_min_messages = warning;
DROP SCHEMA retention CASCADE;
CALL strata.maintain_partitions();

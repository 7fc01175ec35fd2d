-- Lookups: what the view shows, by key, planned for what there is to read.
CREATE SCHEMA rollup_lookup;
SET search_path = rollup_lookup, public;
SET timezone = 'UTC';
SET client_min_messages = warning;
CREATE TABLE "E v" (ts timestamptz NOT NULL, "user" int, "sort of" text, amount numeric, f float8);
CREATE INDEX ON "E v" ("user", ts);
SELECT strata.create_event_table('"E v"', 'ts', accept_past => '10 years', premake => 0);
SELECT count(strata.ensure_partitions('"E v"', l, u)) FROM (VALUES ('2026-01-01'::timestamptz, '2026-01-09'::timestamptz), ('2026-02-01', '2026-02-02'), ('2026-03-05', '2026-03-05')) r (l, u);
INSERT INTO "E v" SELECT '2026-01-01'::timestamptz + n * interval '10 minutes', n % 7, nullif(n % 3, 0)::text, n, n / 4.0 FROM generate_series(1, 1250) n;
SELECT strata.create_rollup('"Folds"', '"E v"', '1 day', ARRAY['"user"', '"sort of"'], ARRAY['count(*) AS n', 'avg(amount) AS "Mean"', 'strata.last(amount, ts) AS latest', 'max(ts) AS at'], timezone => 'Europe/Berlin');
SELECT strata.create_rollup('recomputes', '"E v"', '6 hours', ARRAY['"user"'], ARRAY['count(DISTINCT amount) AS d', 'sum(f) AS f', 'array_agg(amount ORDER BY ts) AS all']);
SELECT strata.create_rollup('whole', '"E v"', '1 week', '{}', ARRAY['count(*) AS n']);

-- (floating-point values that add up to the same in any order)
-- every key both ways, rows that only one has
CREATE FUNCTION lookup_differences() RETURNS TABLE (rollup text, line text) LANGUAGE sql STABLE AS $$
    SELECT 'Folds', d::text FROM (
        (SELECT v.* FROM "Folds" v EXCEPT ALL SELECT l.* FROM (SELECT DISTINCT "user", "sort of" FROM "Folds") k, strata.rollup_lookup(NULL::"Folds", jsonb_build_object('user', k."user", 'sort of', k."sort of")) l)
        UNION ALL (SELECT l.* FROM (SELECT DISTINCT "user" FROM "Folds") k, strata.rollup_lookup(NULL::"Folds", jsonb_build_object('user', k."user")) l EXCEPT ALL SELECT v.* FROM "Folds" v)) d
    UNION ALL SELECT 'recomputes', w::text FROM (
        (SELECT v.* FROM recomputes v EXCEPT ALL SELECT l.* FROM (SELECT DISTINCT "user" FROM recomputes) k, strata.rollup_lookup(NULL::recomputes, jsonb_build_object('user', k."user")) l)
        UNION ALL (SELECT l.* FROM (SELECT DISTINCT "user" FROM recomputes) k, strata.rollup_lookup(NULL::recomputes, jsonb_build_object('user', k."user")) l EXCEPT ALL SELECT v.* FROM recomputes v)) w
    UNION ALL SELECT 'whole', d::text FROM (
        (SELECT v.* FROM whole v EXCEPT ALL SELECT * FROM strata.rollup_lookup(NULL::whole, '{}')) UNION ALL (SELECT * FROM strata.rollup_lookup(NULL::whole, '{}') EXCEPT ALL SELECT v.* FROM whole v)) d
$$;
-- nothing pending, nothing marked
SELECT count(*) FROM "Folds";
SELECT * FROM lookup_differences();
-- pending, in groups that are stored and in new ones
INSERT INTO "E v" VALUES ('2026-01-05 12:00', 1, NULL, 1, 1), ('2026-03-05 12:00', 1, 'x', 2, 2), ('2026-03-05 22:59:59.999', NULL, NULL, 'NaN', 'NaN'), ('2026-03-05 23:00', NULL, NULL, 5, '-infinity');
SELECT * FROM lookup_differences();
SELECT * FROM strata.rollup_lookup(NULL::"Folds", '{"user": null}') ORDER BY bucket;
SELECT * FROM strata.rollup_lookup(NULL::"Folds", '{"sort of": "x", "user": 1}');
SELECT * FROM strata.rollup_lookup(NULL::recomputes, '{"user": null}') ORDER BY bucket;
SELECT bucket, n FROM strata.rollup_lookup(NULL::"Folds", '{"user": 1, "sort of": null}', '2026-01-03 23:00', '2026-01-05 23:00') ORDER BY bucket;
-- settings that change how values are written
SET extra_float_digits = -10; SET datestyle = 'German'; SET intervalstyle = 'sql_standard';
SELECT * FROM lookup_differences();
RESET extra_float_digits; RESET datestyle; RESET intervalstyle;
-- marked beside pending
UPDATE "E v" SET amount = amount + 1 WHERE "user" = 2 AND ts < '2026-01-10';
DELETE FROM "E v" WHERE "user" = 3 AND ts < '2026-01-07';
INSERT INTO "E v" VALUES ('2026-01-05 12:00', 2, '2', 1, 1), ('2026-01-05 12:00', 3, '1', 1, 1);
SELECT * FROM lookup_differences();
BEGIN;
INSERT INTO "E v" VALUES ('2026-01-06 12:00', 2, '2', 1, 1);
UPDATE "E v" SET "user" = 77 WHERE "user" = 4 AND ts > '2026-01-08';
SELECT * FROM lookup_differences();
SELECT strata.refresh_rollup('"Folds"') > 0;
INSERT INTO "E v" VALUES ('2026-01-06 12:00', 2, '2', 1, 1);
SELECT * FROM lookup_differences();
ROLLBACK;
SELECT strata.refresh_rollup('"Folds"') > 0, strata.refresh_rollup('recomputes') > 0;
SELECT * FROM lookup_differences();
-- holes in what is folded: batches pending on both sides of one that is not
BEGIN; INSERT INTO "E v" VALUES ('2026-02-01', 5, '1', 1, 1); COMMIT;
SELECT * FROM lookup_differences();
-- filling, renamed, widened, replaced, rebuilt
SELECT strata.create_rollup('later', '"E v"', '1 day', ARRAY['"user"'], ARRAY['count(*) AS n'], with_data => false);
SELECT sum(n) = (SELECT sum(n) FROM later WHERE "user" = 2) AS same FROM strata.rollup_lookup(NULL::later, '{"user": 2}');
SELECT strata.drop_rollup('later');
ALTER TABLE "E v" RENAME COLUMN amount TO price;
ALTER TABLE "E v" RENAME TO events;
CREATE FUNCTION lookup_of_2(OUT n numeric) LANGUAGE sql AS $$ SELECT sum(n) FROM strata.rollup_lookup(NULL::"Folds", '{"user": 2}') $$;
INSERT INTO events VALUES ('2026-02-02', 2, '1', 1, 1);
SELECT * FROM lookup_differences();
SELECT strata.add_rollup_aggregate('"Folds"', 'min(price) AS lowest');
SELECT * FROM lookup_differences();
CALL strata.refresh_rollups('events');
SELECT count(lowest), count(*) FROM strata.rollup_lookup(NULL::"Folds", '{"user": 2}');
SELECT * FROM lookup_differences();
SELECT strata.create_rollup('beside', 'events', '1 day', ARRAY['"user"', '"sort of"'], ARRAY['count(*) AS n', 'sum(price) AS spend']);
DROP FUNCTION lookup_differences; DROP FUNCTION lookup_of_2;
SELECT strata.replace_rollup('"Folds"', 'beside');
SELECT count(spend), count(*) FROM strata.rollup_lookup(NULL::"Folds", '{"user": 2}', '2026-01-01', '2026-01-20');
SELECT proname, pronargs FROM pg_proc WHERE pronamespace = 'rollup_lookup'::regnamespace AND proname LIKE '%reader%' ORDER BY 1, 2;

-- what is planned: storage by its index, no leaf while nothing is pending; and the leaf of what is, by its index, also where
-- the statistics say that the table is tiny and its keys are all the same
CREATE FUNCTION nodes(query text) RETURNS TABLE (node text, relation text, condition text) LANGUAGE plpgsql AS $$
DECLARE plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json, COSTS off) ' || query INTO plan;
    RETURN QUERY SELECT DISTINCT n ->> 'Node Type', regexp_replace(n ->> 'Relation Name', '(storage)_p.*', '\1'), n ->> 'Index Cond' FROM jsonb_path_query(plan, 'lax $.**?(exists(@."Node Type"))') n
        WHERE n ? 'Relation Name' AND (n ->> 'Relation Name') !~ '^_' ORDER BY 2, 1;
END
$$;
CREATE TABLE big (ts timestamptz NOT NULL, k bigint NOT NULL, v int);
CREATE INDEX ON big (k, ts);
SELECT strata.create_event_table('big', 'ts', accept_past => '10 years', premake => 0);
SELECT count(strata.ensure_partitions('big', '2026-01-01', '2026-01-20'));
SELECT strata.create_rollup('big_by_k', 'big', '1 day', ARRAY['k'], ARRAY['count(*) AS n']);
INSERT INTO big SELECT '2026-01-10', 1, n FROM generate_series(1, 200) n;
ANALYZE big;
INSERT INTO big SELECT '2026-01-10'::timestamptz + n * interval '1 second', n % 5000, n FROM generate_series(1, 50000) n;
SELECT * FROM nodes($$SELECT * FROM big_by_k WHERE k = 42$$) WHERE relation ~ 'big_p2026_01_10|storage' AND node = 'Seq Scan';
SET enable_seqscan = off;
SELECT * FROM nodes($$SELECT array_agg(q) FROM big_by_k_reader('-infinity', '{[1,9)}', '2026-01-10', '2026-01-10 23:00', false, 'infinity', '-infinity', '-infinity') q (bucket, k, n) WHERE q.k = 42$$);
RESET enable_seqscan;
SELECT * FROM nodes($$SELECT array_agg(q) FROM big_by_k_reader('-infinity', '{}', 'infinity', '-infinity', false, 'infinity', '-infinity', '-infinity') q (bucket, k, n) WHERE q.k = 42$$);
SELECT * FROM nodes($$SELECT array_agg(q) FROM big_by_k_reader('-infinity') q (bucket, k, n) WHERE q.k = 42$$);
-- what stays locked: storage as a whole, and the table where rows are pending, by the fast path; no partition
BEGIN;
SELECT count(*) FROM strata.rollup_lookup(NULL::big_by_k, '{"k": 42}');
SELECT c.relname, l.mode, l.fastpath FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE l.pid = pg_backend_pid() AND c.relname ~ '^(big|_)' ORDER BY 1;
COMMIT;
SELECT strata.refresh_rollup('big_by_k');
BEGIN;
SELECT count(*) FROM strata.rollup_lookup(NULL::big_by_k, '{"k": 42}');
SELECT c.relname, l.mode, l.fastpath FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE l.pid = pg_backend_pid() AND c.relname ~ '^(big|_)' ORDER BY 1;
COMMIT;
-- storage alone
SELECT regexp_replace(strata.rollup_storage_query('big_by_k'), '\d+\)$', '…)');

-- statements are kept, and made anew when what they name has changed: partitions, schema, types, index, reader
CREATE TYPE shade AS ENUM ('dark', 'light');
CREATE TABLE kept (ts timestamptz NOT NULL, s shade, c char(4), v varchar(30), p numeric(6, 2), b boolean);
SELECT strata.create_event_table('kept', 'ts', accept_past => '10 years', premake => 0);
SELECT count(strata.ensure_partitions('kept', m, m)) FROM generate_series('2026-01-15'::timestamptz, '2026-09-15', '1 month') m;
SELECT strata.create_rollup('kept_sum', 'kept', '1 day', ARRAY['s', 'c', 'v', 'p', 'b'], ARRAY['count(*) AS n', 'max(p) AS top', 'strata.first(c, ts) AS earliest']);
INSERT INTO kept SELECT date_trunc('month', '2026-01-15'::timestamptz + n % 9 * interval '1 month') + interval '14 days', (ARRAY['dark', 'light', NULL])[1 + n % 3]::shade, 'c' || n % 2, repeat('v', n % 4), n % 5, n % 2 = 0 FROM generate_series(1, 200) n;
CREATE FUNCTION kept_differences() RETURNS SETOF text LANGUAGE sql STABLE AS $$
    WITH found AS MATERIALIZED (SELECT l.* FROM (SELECT DISTINCT s, c, v, p, b FROM kept_sum) k,
            strata.rollup_lookup(NULL::kept_sum, jsonb_build_object('s', k.s, 'c', k.c, 'v', k.v, 'p', k.p, 'b', k.b)) l),
        bounded AS MATERIALIZED (SELECT l.* FROM (SELECT DISTINCT b FROM kept_sum) k, (VALUES (NULL::timestamptz, '2026-03-15'::timestamptz), ('2026-03-15', '2026-08-15'), ('2026-08-15', NULL)) r (low, high),
            strata.rollup_lookup(NULL::kept_sum, jsonb_build_object('b', k.b), low, high) l)
    SELECT f::text FROM ((SELECT * FROM found EXCEPT ALL SELECT * FROM kept_sum) UNION ALL (SELECT * FROM kept_sum EXCEPT ALL SELECT * FROM found)) f
    UNION ALL SELECT f::text FROM ((SELECT * FROM bounded EXCEPT ALL SELECT * FROM kept_sum) UNION ALL (SELECT * FROM kept_sum EXCEPT ALL SELECT * FROM bounded)) f
$$;
SELECT count(*) FROM kept_sum;
SELECT * FROM kept_differences();
SELECT strata.refresh_rollup('kept_sum');
SELECT * FROM kept_differences();
-- pending within one month, then rows of another, then marks in a third
INSERT INTO kept SELECT '2026-04-15 01:00', 'light', 'c1', 'v', n, true FROM generate_series(1, 3) n;
SELECT * FROM kept_differences();
INSERT INTO kept VALUES ('2026-06-15', 'dark', 'x', 'new', 7, false);
SELECT * FROM kept_differences();
DELETE FROM kept WHERE ts = '2026-02-15' AND v = 'v';
SELECT * FROM kept_differences();
SELECT count(strata.ensure_partitions('kept', '2026-10-15', '2026-10-15'));
INSERT INTO kept VALUES ('2026-10-15', 'dark', 'x', 'new', 7, false);
SELECT * FROM kept_differences();
ALTER TYPE shade RENAME TO hue; ALTER TYPE hue RENAME VALUE 'dark' TO 'black';
SELECT * FROM kept_differences();
ALTER TABLE kept_sum_storage_p2026_04 RENAME TO renamed; ALTER TABLE kept_sum_dirty RENAME TO kept_marks; ALTER TABLE kept_sum_storage RENAME TO kept_stored;
SELECT * FROM kept_differences();
DROP FUNCTION kept_differences;
SELECT array_agg(DISTINCT s) AS hues, sum(n) AS n FROM strata.rollup_lookup(NULL::kept_sum, '{"c": "x"}');
ALTER SCHEMA rollup_lookup RENAME TO rollup_lookup_2;
SELECT sum(n) AS n FROM strata.rollup_lookup(NULL::rollup_lookup_2.kept_sum, '{"c": "x"}');
ALTER SCHEMA rollup_lookup_2 RENAME TO rollup_lookup;
SELECT sum(n) AS n FROM strata.rollup_lookup(NULL::kept_sum, '{"c": "x"}');
DO $$ BEGIN EXECUTE (SELECT string_agg(format('DROP FUNCTION %s', p), '; ') FROM strata._readers('kept_stored') p); END $$;
SELECT sum(n) AS n FROM strata.rollup_lookup(NULL::kept_sum, '{"c": "x"}');
-- a null that is no value of a key, and values written in other ways
SELECT sum(n) AS n FROM strata.rollup_lookup(NULL::kept_sum, '{"p": 7.0, "b": false}');
SELECT sum(n) AS n FROM strata.rollup_lookup(NULL::kept_sum, '{"p": "7", "b": "f"}');
SELECT count(*) FROM strata.rollup_lookup(NULL::kept_sum, '{"v": "nobody''s"}');
SELECT count(*) FROM strata.rollup_lookup(NULL::kept_sum, '{"v": null}');
DROP TABLE kept CASCADE;

-- time columns without a zone, and UUIDs
CREATE TABLE d (at date NOT NULL, k int); CREATE TABLE t (at timestamp NOT NULL, k int); CREATE TABLE u (at uuid NOT NULL, k int);
SELECT strata.create_event_table(r, 'at', accept_past => '10 years', timezone => CASE r WHEN 'u'::regclass THEN 'UTC' ELSE 'America/New_York' END) FROM unnest(ARRAY['d', 't', 'u']::regclass[]) r;
SELECT count(strata.ensure_partitions(r, '2026-01-01', '2026-01-05')) FROM unnest(ARRAY['d', 't', 'u']::regclass[]) r;
SELECT strata.create_rollup(r || '_by_k', r, '1 day', ARRAY['k'], ARRAY[a]) FROM unnest(ARRAY['d', 't', 'u']::regclass[], ARRAY['count(*) AS n', 'count(*) AS n', 'count(DISTINCT at) AS n']) r (r, a);
INSERT INTO d SELECT '2026-01-01'::date + n % 4, n % 3 FROM generate_series(1, 20) n;
INSERT INTO t SELECT '2026-01-01'::timestamp + n * interval '5 hours', n % 2 FROM generate_series(1, 18) n;
INSERT INTO u SELECT strata.uuid_at('2026-01-01'::timestamptz + n * interval '5 hours'), n % 2 FROM generate_series(1, 20) n;
SELECT strata.refresh_rollup(r) FROM unnest(ARRAY['d_by_k', 't_by_k']::regclass[]) r;
DELETE FROM d WHERE at = '2026-01-02'; DELETE FROM t WHERE at < '2026-01-02'; INSERT INTO t VALUES ('2026-01-03 23:00', 1);
SELECT (SELECT array_agg(l ORDER BY bucket) FROM strata.rollup_lookup(NULL::d_by_k, '{"k": 1}', '2026-01-02 05:00', '2026-01-04 05:00') l) AS d,
       (SELECT array_agg(l ORDER BY bucket) FROM strata.rollup_lookup(NULL::t_by_k, '{"k": 1}', '2026-01-02 05:00', '2026-01-04 05:00') l) AS t,
       (SELECT array_agg(l ORDER BY bucket) FROM strata.rollup_lookup(NULL::u_by_k, '{"k": 1}', '2026-01-02', '2026-01-04') l) AS u;
(SELECT * FROM d_by_k WHERE k = 1 EXCEPT ALL SELECT * FROM strata.rollup_lookup(NULL::d_by_k, '{"k": 1}')) UNION ALL (SELECT * FROM strata.rollup_lookup(NULL::d_by_k, '{"k": 1}') EXCEPT ALL SELECT * FROM d_by_k WHERE k = 1);
(SELECT * FROM t_by_k WHERE k = 1 EXCEPT ALL SELECT * FROM strata.rollup_lookup(NULL::t_by_k, '{"k": 1}')) UNION ALL (SELECT * FROM strata.rollup_lookup(NULL::t_by_k, '{"k": 1}') EXCEPT ALL SELECT * FROM t_by_k WHERE k = 1);
(SELECT * FROM u_by_k WHERE k = 1 EXCEPT ALL SELECT * FROM strata.rollup_lookup(NULL::u_by_k, '{"k": 1}')) UNION ALL (SELECT * FROM strata.rollup_lookup(NULL::u_by_k, '{"k": 1}') EXCEPT ALL SELECT * FROM u_by_k WHERE k = 1);

-- a retention of its own: what has been let go of is in no lookup though storage still has it, what is frozen above is
CREATE TABLE visits (ts timestamptz NOT NULL, page text, n int);
SELECT strata.create_event_table('visits', 'ts', '5 days', premake => 0, accept_past => '200 days');
SELECT strata.ensure_partitions('visits', now() - interval '120 days', now()) > 10 AS made;
INSERT INTO visits SELECT now() - d * interval '1 day', 'p' || d % 3, d FROM generate_series(0, 120) d;
SELECT strata.create_rollup('daily', 'visits', '1 day', ARRAY['page'], ARRAY['sum(n) AS n', 'min(ts) AS first']);
SELECT strata.create_rollup('recomputed', 'visits', '1 day', ARRAY['page'], ARRAY['count(DISTINCT n) AS n']);
SELECT strata.create_rollup('overall', 'daily', '1 day', '{}', ARRAY['sum(n) AS n', 'min(first) AS first']);
DO $$
DECLARE
    n text;
BEGIN
    FOREACH n IN ARRAY ARRAY['daily', 'recomputed', 'overall'] LOOP
        EXECUTE format('CREATE VIEW %s AS %s', n || '_stored', strata.rollup_storage_query(n::regclass));
    END LOOP;
END
$$;
CREATE FUNCTION letting_go() RETURNS TABLE (rollup text, differs text) LANGUAGE sql STABLE AS $$
    SELECT 'daily', d::text FROM ((SELECT * FROM daily EXCEPT ALL SELECT l.* FROM generate_series(0, 3) k, strata.rollup_lookup(NULL::daily, jsonb_build_object('page', 'p' || k)) l)
        UNION ALL (SELECT * FROM strata.rollup_lookup(NULL::daily, '{}') EXCEPT ALL SELECT * FROM daily)) d
    UNION ALL SELECT 'recomputed', d::text FROM ((SELECT * FROM recomputed EXCEPT ALL SELECT l.* FROM generate_series(0, 3) k, strata.rollup_lookup(NULL::recomputed, jsonb_build_object('page', 'p' || k)) l)
        UNION ALL (SELECT * FROM strata.rollup_lookup(NULL::recomputed, '{}') EXCEPT ALL SELECT * FROM recomputed)) d
    UNION ALL SELECT 'overall', d::text FROM ((SELECT * FROM overall EXCEPT ALL SELECT * FROM strata.rollup_lookup(NULL::overall, '{}'))
        UNION ALL (SELECT * FROM strata.rollup_lookup(NULL::overall, '{}') EXCEPT ALL SELECT * FROM overall)) d $$;
CREATE FUNCTION storing_differs() RETURNS SETOF text LANGUAGE sql STABLE AS $$
    SELECT d::text FROM ((SELECT * FROM daily EXCEPT ALL SELECT * FROM daily_stored) UNION ALL (SELECT * FROM daily_stored EXCEPT ALL SELECT * FROM daily)) d
    UNION ALL SELECT d::text FROM ((SELECT * FROM recomputed EXCEPT ALL SELECT * FROM recomputed_stored) UNION ALL (SELECT * FROM recomputed_stored EXCEPT ALL SELECT * FROM recomputed)) d
    UNION ALL SELECT d::text FROM ((SELECT * FROM overall EXCEPT ALL SELECT * FROM overall_stored) UNION ALL (SELECT * FROM overall_stored EXCEPT ALL SELECT * FROM overall)) d $$;
CALL strata.refresh_rollups('visits');
SELECT strata.alter_event_table('visits', retention => '20 days', accept_past => '10 days');
CALL strata.maintain_partitions('visits');
SELECT count(*) < 40 AS rows_gone FROM visits;
SELECT strata.alter_rollup('daily', '50 days'), strata.alter_rollup('recomputed', '50 days'), strata.alter_rollup('overall', '80 days');
-- (the beginnings move, one a call, before anything goes from storage)
SELECT strata._trim_rollups('visits') + strata._trim_rollups('visits') + strata._trim_rollups('visits') AS trimmed;
SELECT (SELECT count(*) FROM daily_storage) AS stored, (SELECT count(*) FROM daily) AS daily, (SELECT count(*) FROM strata.rollup_lookup(NULL::daily, '{}')) AS looked_up, (SELECT count(*) FROM daily_stored) AS queried;
SELECT (SELECT count(*) FROM recomputed_storage) AS stored, (SELECT count(*) FROM recomputed) AS recomputed, (SELECT count(*) FROM strata.rollup_lookup(NULL::recomputed, '{}')) AS looked_up, (SELECT count(*) FROM recomputed_stored) AS queried;
SELECT (SELECT count(*) FROM overall_storage) > (SELECT count(*) FROM overall) AS stored_more;
SELECT * FROM letting_go();
SELECT * FROM storing_differs();
-- with something pending and marked
INSERT INTO visits VALUES (now() - interval '1 day', 'p3', 1), (now(), 'p1', 5);
SELECT * FROM letting_go();
UPDATE visits SET n = n + 1 WHERE page = 'p1';
DELETE FROM visits WHERE page = 'p2';
SELECT * FROM letting_go();
SELECT (SELECT count(*) FROM daily) = count(*) AND count(*) > 40 AS frozen_too FROM strata.rollup_lookup(NULL::daily, '{}');
CALL strata.refresh_rollups('visits');
SELECT * FROM letting_go();
SELECT * FROM storing_differs();
CALL strata.maintain_partitions('visits');
SELECT * FROM letting_go();
SELECT * FROM storing_differs();
-- columns of the view renamed: a key has the names of the definition, what is returned those of the view
ALTER VIEW daily RENAME COLUMN n TO "The n";
ALTER VIEW daily RENAME COLUMN page TO "Page";
SELECT count("The n"), count("Page") FROM strata.rollup_lookup(NULL::daily, '{"page": "p0"}', now() - interval '40 days');
SELECT refused($$SELECT * FROM strata.rollup_lookup(NULL::daily, '{"Page": "p0"}')$$);
INSERT INTO visits VALUES (now(), 'p0', 5);
SELECT (SELECT count(*) FROM daily WHERE "Page" = 'p0') = count("Page") AS same FROM strata.rollup_lookup(NULL::daily, '{"page": "p0"}');
SELECT strata.add_rollup_aggregate('daily', 'max(n) AS top');
SELECT (SELECT sum("The n") FROM daily WHERE "Page" = 'p0') = sum("The n") AS same FROM strata.rollup_lookup(NULL::daily, '{"page": "p0"}');
CALL strata.refresh_rollups('visits');
SELECT (SELECT sum("The n") FROM daily WHERE "Page" = 'p0') = sum("The n") AS same, count(top) > 0 AS has_top FROM strata.rollup_lookup(NULL::daily, '{"page": "p0"}');
-- given to another owner, and read through the readers again after maintenance
CREATE ROLE regress_lookup_heir;
GRANT USAGE, CREATE ON SCHEMA rollup_lookup TO regress_lookup_heir;
ALTER TABLE visits OWNER TO regress_lookup_heir;
SELECT count(*) > 0 AS still FROM strata.rollup_lookup(NULL::daily, '{"page": "p0"}');
CALL strata.maintain_partitions('visits');
SELECT proname, proowner::regrole FROM pg_proc WHERE pronamespace = 'rollup_lookup'::regnamespace AND proname ~ '^(daily|overall|recomputed)_reader' ORDER BY 1, pronargs;
SET ROLE regress_lookup_heir;
SELECT (SELECT count(*) FROM daily WHERE "Page" = 'p0') = count("Page") AS same FROM strata.rollup_lookup(NULL::daily, '{"page": "p0"}');
RESET ROLE;
ALTER TABLE visits OWNER TO CURRENT_USER;
CALL strata.maintain_partitions('visits');
REVOKE ALL ON SCHEMA rollup_lookup FROM regress_lookup_heir;
DROP ROLE regress_lookup_heir;

-- errors
SELECT strata.suspend_rollup('big_by_k');
SELECT refused(format('SELECT * FROM strata.rollup_lookup(%s)', a)) FROM unnest(ARRAY['NULL::big_by_k, ''{"k": 1}''', 'NULL::big, ''{"k": 1}''', '1, ''{"k": 1}''', 'NULL::"Folds", ''{"usr": 1}''', 'NULL::"Folds", ''[1]''',
    'NULL::"Folds", ''{"user": [1]}''', 'NULL::"Folds", ''{"user": "x"}''', 'NULL::"Folds", NULL', 'NULL::"Folds", ''{"n": 1}''', 'NULL::"Folds", ''{"sort of": "'' OR true OR ''''''"}''']) a;
SELECT refused($$SELECT strata.rollup_storage_query('big')$$);
SELECT refused($$SELECT strata._lookup('"Folds"', '{}', NULL, NULL)$$);
-- gone by hand, and cleared away
SELECT strata.resume_rollup('big_by_k');
DROP VIEW big_by_k;
SELECT strata._heal_catalog();
SELECT relname FROM pg_class WHERE relnamespace = 'rollup_lookup'::regnamespace AND relname LIKE 'big\_by%';
SELECT proname FROM pg_proc WHERE pronamespace = 'rollup_lookup'::regnamespace AND proname LIKE 'big\_by%';
SELECT strata.drop_rollup('whole');
SET client_min_messages = error;
DROP SCHEMA rollup_lookup CASCADE;
RESET client_min_messages;

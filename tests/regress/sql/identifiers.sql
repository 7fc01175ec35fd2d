-- The whole life of an event table under names that are hard to quote.
\set VERBOSITY terse
\set SHOW_CONTEXT never
SET client_min_messages = warning;
\set role 'r"o l''e %s'
\set schema 's.c\\h $$ %I "x" ümlaut'
-- 63 bytes, most of them not ASCII, so that suffixes cut it
\set table 'ta"b''le %s $f$ \\ ключ.ключ.ключ ключ selectabcd'
\set ts 'time" %L $1 \\'
\set k 'select'
\set t 'Key "q'' %s $$ \\ .x'
\set v 'val%ue"'
CREATE ROLE :"role";
CREATE ROLE identifiers_stranger;
CREATE SCHEMA :"schema" AUTHORIZATION :"role";
GRANT USAGE ON SCHEMA :"schema" TO identifiers_stranger;
SELECT set_config('search_path', quote_ident(:'schema') || ', public', false) IS NULL AS ignored \gset
CREATE FUNCTION public.identifiers_refused(statement text, OUT code text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    code := 'not refused';
EXCEPTION WHEN OTHERS THEN
    code := CASE WHEN SQLSTATE = '42501' THEN SQLSTATE ELSE SQLSTATE || ': ' || SQLERRM END;
END
$$;
CREATE FUNCTION public.identifiers_differences(view_name regclass, OUT n bigint) LANGUAGE plpgsql AS $$
DECLARE
    query text := rtrim(strata.rollup_query(view_name), '; ');
BEGIN
    EXECUTE format('SELECT (SELECT count(*) FROM (SELECT * FROM %1$s EXCEPT ALL %2$s) a) + (SELECT count(*) FROM (%2$s EXCEPT ALL SELECT * FROM %1$s) b)', view_name, query) INTO n;
END
$$;
SET ROLE :"role";
SELECT octet_length(:'table') AS bytes, quote_ident(:'table') AS rel, quote_ident(:'t') AS qt, quote_ident(:'v') AS qv, quote_ident(:'k') AS qk, quote_ident(:'ts') AS qts \gset
\echo :bytes :rel

-- create, ensure, insert
CREATE TABLE :"table" (:"ts" timestamptz NOT NULL, :"k" int, :"t" text, :"v" numeric, PRIMARY KEY (:"ts", :"k"));
CREATE INDEX "in dex %s $$" ON :"table" (:"t", lower(:"t")) WHERE :"v" > 0;
SELECT strata.create_event_table(:'rel', :'ts', premake => 1, subpartition_by => :'k', subpartitions => 2) IS NOT NULL AS made;
SELECT strata.ensure_partitions(:'rel', now() - interval '9 days', now());
INSERT INTO :"table" SELECT now() - n % 10 * interval '1 day', n, 'k' || n % 3, n FROM generate_series(1, 100) n;
SELECT count(*) FROM :"table" WHERE batch_id = 1;

-- rollups: from parts, from a query, recomputed, with strange columns all of them
SELECT strata.create_rollup(quote_ident(:'schema') || '."Roll.up %s $$ ''1"', :'rel', '1 day', ARRAY[:'qt', format('%s %% 2 AS "odd %%s"" $$"', :'qk')],
    ARRAY[format('sum(%s) AS "s%%um"""', :'qv'), 'count(*) AS "group"', format('max(%s) FILTER (WHERE %s <> ''a%%sb\c'') AS "max $1"', :'qv', :'qt')],
    filter => format('%s IS DISTINCT FROM ''100%%%%''', :'qt')) IS NOT NULL AS made;
SELECT strata.create_rollup('"q %I"', format('SELECT strata.time_bucket(''1 day'', %s) AS bucket, %s, array_agg(%s ORDER BY %s) AS "array%%" FROM %s GROUP BY 1, 2', :'qts', :'qt', :'qk', :'qk', :'rel')) IS NOT NULL AS made;
SELECT strata.create_rollup('"ключ.ключ.ключ ключ ключ select %s"', :'rel', '1 hour', ARRAY[:'qt'], ARRAY['count(*) AS "order"'], with_data => false) IS NOT NULL AS made;
CALL strata.refresh_rollups(:'rel');
SELECT public.identifiers_differences(rollup), cardinality(group_by) AS keys, cardinality(aggregates) AS aggregates FROM strata.rollups ORDER BY rollup::text;
SELECT column_name, maintenance FROM strata.explain_rollup(:'rel', '1 day', ARRAY[:'qt'], ARRAY[format('sum(%s::float8) AS "f%%s"', :'qv')]);
UPDATE :"table" SET :"t" = 'moved %s' WHERE :"k" % 7 = 0;
DELETE FROM :"table" WHERE :"k" % 11 = 0;
MERGE INTO :"table" t USING (SELECT 5 AS k) s ON t.:"k" = s.k WHEN MATCHED THEN UPDATE SET :"v" = 0;
INSERT INTO :"table" VALUES (now(), 500, 'a', 1) ON CONFLICT DO NOTHING;
SELECT sum(public.identifiers_differences(rollup)) AS differences FROM strata.rollups;
SELECT strata.refresh_rollup(rollup) >= 0 AS refreshed, public.identifiers_differences(rollup) FROM strata.rollups ORDER BY rollup::text;
SELECT count(*) FROM strata.rollups r, LATERAL strata.verify_rollup(r.rollup);
SELECT count(*) > 0 AS points, count(DISTINCT key) AS keys FROM strata.rollup_series('"Roll.up %s $$ ''1"', now() - interval '2 days', now(), jsonb_build_object(:'t', 'k1'));

-- change the rollups
SELECT strata.add_rollup_aggregate('"Roll.up %s $$ ''1"', format('min(%s) AS "min ""%%s"', :'qv'));
CALL strata.refresh_rollups(:'rel');
SELECT strata.suspend_rollup('"q %I"');
SELECT public.identifiers_refused('SELECT * FROM "q %I"');
SELECT strata.resume_rollup('"q %I"') > 0 AS resumed;
SELECT strata.rebuild_rollup('"q %I"') > 0 AS rebuilt;
SELECT strata.create_rollup('"new $$ %s"', :'rel', '1 day', ARRAY[:'qt'], ARRAY['count(*) AS n']) IS NOT NULL AS made;
SELECT strata.replace_rollup('"q %I"', '"new $$ %s"') IS NOT NULL AS replaced;
SELECT strata.drop_rollup('"ключ.ключ.ключ ключ ключ select %s"');
SELECT sum(public.identifiers_differences(rollup)) AS differences, count(*) FROM strata.rollups;

-- names change
ALTER TABLE :"table" RENAME COLUMN :"v" TO "new %I"" v";
ALTER VIEW "q %I" RENAME TO "q2 $$ \ %s";
INSERT INTO :"table" VALUES (now(), 501, 'a', 1);
UPDATE :"table" SET "new %I"" v" = 7 WHERE :"k" = 501;
SELECT sum(public.identifiers_differences(rollup)) AS differences FROM strata.rollups;

-- attach, and what others are refused
CREATE TABLE "att%ach ""ed" (:"k" int, "new %I"" v" numeric, :"ts" timestamptz, :"t" text);
INSERT INTO "att%ach ""ed" SELECT n, n, now() + interval '20 days', 'attached' FROM generate_series(1, 4) n;
SELECT strata.attach_partition(:'rel', '"att%ach ""ed"') IS NOT NULL AS attached;
SELECT sum(public.identifiers_differences(rollup)) AS differences FROM strata.rollups;
SELECT strata.grant_ingest(:'rel', quote_ident(:'role')::regrole);
SELECT strata.revoke_ingest(:'rel', quote_ident(:'role')::regrole);
SELECT :'rel'::regclass::text AS relation, '"Roll.up %s $$ ''1"'::regclass::text AS rollup, :'ts' AS at, '"att%ach ""ed"' AS leaf \gset
SET ROLE identifiers_stranger;
SELECT c.call, r.code FROM (VALUES
    ('create_event_table(%1$L, %4$L)'), ('release_event_table(%1$L)'), ('alter_event_table(%1$L, premake => 2)'), ('attach_partition(%1$L, %3$L)'),
    ('cancel_conversion(%1$L)'), ('ensure_partitions(%1$L, now(), now())'), ('grant_ingest(%1$L, ''identifiers_stranger'')'), ('revoke_ingest(%1$L, ''identifiers_stranger'')'),
    ('current_batch(%1$L)'), ('verify_batches(%1$L)'), ('expired_partitions(%1$L)'), ('confirm_archive(%1$L, %3$L)'), ('override_retention(%1$L, %3$L, ''why'')'),
    ('create_rollup(''mine'', %1$L, ''1 day'', ''{}'', ARRAY[''count(*) AS n''])'),
    ('explain_rollup(%1$L, ''1 day'', ''{}'', ARRAY[''count(*) AS n''])'),
    ('create_rollup(''mine'', ''SELECT strata.time_bucket(''''1 day'''', '' || quote_ident(%4$L) || '') AS bucket, count(*) AS n FROM '' || %1$L || '' GROUP BY 1'')'),
    ('drop_rollup(%2$L)'), ('refresh_rollup(%2$L)'), ('rebuild_rollup(%2$L)'), ('verify_rollup(%2$L)'), ('suspend_rollup(%2$L)'), ('resume_rollup(%2$L)'),
    ('replace_rollup(%2$L, %2$L)'), ('add_rollup_aggregate(%2$L, ''count(*) AS x'')'), ('rollup_series(%2$L, now() - interval ''1 day'', now())')) c (call),
    LATERAL public.identifiers_refused(format('SELECT strata.' || c.call, :'relation', :'rollup', :'leaf', :'at')) r;
SELECT public.identifiers_refused(format('CALL strata.%s', c)) FROM unnest(ARRAY[format('maintain_partitions(%L)', :'relation'), format('refresh_rollups(%L)', :'relation'),
    format('convert_to_event_table(%L, %L)', :'relation', :'at')]) c;

-- the hint of a right that is missing can be run, once the role is named
CREATE FUNCTION pg_temp.hint_of(statement text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
END
$$;
SELECT replace(substring(pg_temp.hint_of(format('SELECT strata.current_batch(%L)', :'relation')) FROM 'GRANT .*;'), '<role>', 'identifiers_stranger') AS grant \gset
\echo :grant
SET ROLE :"role";
:grant
SELECT has_table_privilege('identifiers_stranger', :'rel', 'INSERT');

-- what health finds its hints mend
SELECT batch_sequence::text AS sequence FROM (SELECT pg_get_serial_sequence(:'rel', 'batch_id')) x, LATERAL (SELECT c.oid::regclass AS batch_sequence FROM pg_class c WHERE c.relkind = 'S' AND c.relnamespace = quote_ident(:'schema')::regnamespace) s \gset
ALTER SEQUENCE :sequence CACHE 5;
ALTER TABLE :"table" DISABLE TRIGGER strata_mark_update, ENABLE TRIGGER strata_guard, ALTER COLUMN batch_id DROP DEFAULT;
SELECT strata.alter_event_table(:'rel', premake => 12, accept_future => '60 days') IS NOT NULL AS altered;
SELECT strata.suspend_rollup('"q2 $$ \ %s"');
SELECT check_name, status FROM strata.health WHERE status <> 'ok' AND check_name <> 'disk_space' ORDER BY 1;
SELECT hint FROM strata.health WHERE status <> 'ok' AND check_name <> 'disk_space' AND hint LIKE 'CALL%' ORDER BY check_name
\set ECHO none
\o /dev/null
\gexec
SELECT hint FROM strata.health WHERE status <> 'ok' AND check_name <> 'disk_space' ORDER BY check_name
\gexec
SELECT hint FROM strata.health WHERE status <> 'ok' AND check_name = 'batch_defaults'
\gexec
\o
\set ECHO all
SELECT check_name, status, hint FROM strata.health WHERE status <> 'ok' AND check_name <> 'disk_space' ORDER BY 1;
SELECT sum(public.identifiers_differences(rollup)) AS differences FROM strata.rollups;

-- retention, up to the drop
SELECT strata.alter_event_table(:'rel', retention => '3 days', accept_past => '1 day') IS NOT NULL AS altered;
SELECT count(*) > 5 AS some, count(blocked_by) AS blocked FROM strata.expired_partitions(:'rel');
CALL strata.maintain_partitions(:'rel');
SELECT count(*) AS expired FROM strata.expired_partitions(:'rel');
SELECT min(lower) > now() - interval '5 days' AS gone FROM strata.partitions;
SELECT count(DISTINCT partition) > 5 AS dropped FROM strata.retention_log WHERE action = 'dropped';
SELECT count(*) FROM strata.rollups r, LATERAL strata.verify_rollup(r.rollup);

-- a filled table, in chunks
CREATE TABLE "con""vert %s $$ \ 'x" ("t %I ""s" timestamp NOT NULL, "i.d" bigint GENERATED ALWAYS AS IDENTITY, "va$1l" text DEFAULT 'x%s', PRIMARY KEY ("i.d", "t %I ""s"));
INSERT INTO "con""vert %s $$ \ 'x" ("t %I ""s") SELECT timestamp '2026-01-01' + n * interval '4 hours' FROM generate_series(1, 500) n;
CALL strata.convert_to_event_table('"con""vert %s $$ \ ''x"', 't %I "s', '1 month', chunk_rows => 200);
SELECT count(*), count(DISTINCT tableoid), max("i.d") FROM "con""vert %s $$ \ 'x";
CREATE TABLE "at once %s ""$$" ("ts %s" date NOT NULL, "select" int);
INSERT INTO "at once %s ""$$" SELECT date '2026-01-01' + n, n FROM generate_series(1, 40) n;
SELECT strata.create_event_table('"at once %s ""$$"', 'ts %s', '1 month', timezone => 'America/Argentina/Buenos_Aires') IS NOT NULL AS made;
SELECT count(*), count(DISTINCT tableoid) FROM "at once %s ""$$";
CREATE TABLE "pa\rt %s" ("time ""%s" uuid NOT NULL) PARTITION BY RANGE ("time ""%s");
SELECT strata.create_event_table('"pa\rt %s"', 'time "%s', premake => 0) IS NOT NULL AS adopted;
INSERT INTO "pa\rt %s" VALUES (strata.uuid_at(now()));
SELECT count(*) FROM "pa\rt %s" WHERE batch_id > 0;

-- leave, or be dropped, and nothing stays behind
SELECT strata.release_event_table('"at once %s ""$$"') IS NOT NULL AS released;
SELECT strata.drop_rollup(rollup) FROM strata.rollups;
SELECT strata.release_event_table(:'rel') IS NOT NULL AS released;
SELECT relname FROM pg_class WHERE relnamespace = quote_ident(:'schema')::regnamespace AND relkind = 'S' ORDER BY 1;
SELECT strata.create_event_table(:'rel', :'ts') IS NOT NULL AS taken_back;
DROP TABLE "con""vert %s $$ \ 'x", "pa\rt %s";
RESET ROLE;
DROP SCHEMA :"schema" CASCADE;
CALL strata.maintain_partitions();
SELECT (SELECT count(*) FROM strata._event_tables) + (SELECT count(*) FROM strata._rollups) + (SELECT count(*) FROM strata._batches)
    + (SELECT count(*) FROM strata._ingest_grants) + (SELECT count(*) FROM strata._detached_partitions) + (SELECT count(*) FROM strata._conversions) AS left_behind;
DROP FUNCTION pg_temp.hint_of(text);
DROP ROLE :"role", identifiers_stranger;
DROP FUNCTION public.identifiers_refused(text), public.identifiers_differences(regclass);

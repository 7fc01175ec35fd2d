-- A table's owner writes expressions; the extension runs with a superuser's rights. The two must never meet.
\set SHOW_CONTEXT never
CREATE ROLE escalation_mallory;
CREATE ROLE escalation_sidecar;
CREATE SCHEMA lair AUTHORIZATION escalation_mallory;
CREATE TABLE seen (who name, what text);
GRANT INSERT, SELECT ON seen TO PUBLIC;
SET ROLE escalation_mallory;
SET search_path = lair, public;
-- functions that claim to be immutable and write down who runs them
CREATE FUNCTION lair.note(what text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (current_user, what); END $$;
CREATE FUNCTION lair.spy(v int, what text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM lair.note(what); RETURN v; END $$;
GRANT USAGE ON SCHEMA lair TO escalation_sidecar;
CREATE TABLE trap (ts timestamptz NOT NULL, k int CHECK (lair.spy(1, 'check') = 1), v int DEFAULT lair.spy(2, 'default'));
CREATE INDEX ON trap (lair.spy(k, 'index'));
CREATE INDEX ON trap (ts) WHERE lair.spy(1, 'predicate') = 1;
\c -
SET ROLE escalation_mallory;
SET search_path = lair, public;
SELECT strata.create_event_table('trap', 'ts', premake => 1);
SELECT DISTINCT who FROM public.seen WHERE who <> 'escalation_mallory';
SELECT strata.create_rollup('caught', 'trap', '1 day', ARRAY['lair.spy(k, ''key'') AS k'], ARRAY['sum(lair.spy(v, ''argument'')) AS v'], filter => 'lair.spy(1, ''filter'') = 1');
SELECT strata.grant_ingest('trap', 'escalation_sidecar');
RESET ROLE;
TRUNCATE seen;
-- a superuser and the sidecar do what they are there for
INSERT INTO lair.trap (ts, k) VALUES (now(), 1);
SELECT strata.ensure_partitions('lair.trap', now() - interval '3 days', now());
SELECT strata.refresh_rollup('lair.caught');
DELETE FROM lair.trap;
SET ROLE escalation_sidecar;
SELECT strata.ensure_partitions('lair.trap', now() - interval '5 days', now());
SELECT strata.refresh_rollup('lair.caught');
CALL strata.maintain_partitions('lair.trap');
RESET ROLE;
SELECT strata.rebuild_rollup('lair.caught') > 0 AS rebuilt;
SELECT count(*) FROM strata.verify_rollup('lair.caught');
-- PostgreSQL itself runs checks, defaults and index expressions with the rights of whoever inserts; everything of ours
-- runs with the owner's
SELECT DISTINCT who, what FROM seen WHERE what IN ('key', 'argument', 'filter') ORDER BY 1, 2;
TRUNCATE seen;
SELECT strata.ensure_partitions('lair.trap', now() - interval '9 days', now());
SELECT DISTINCT who FROM seen WHERE who <> 'escalation_mallory';
-- and so does a conversion, whoever asks for it
SET ROLE escalation_mallory;
CREATE FUNCTION lair.row_spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.note('trigger'); RETURN NEW; END $$;
CREATE TABLE bait (ts timestamptz NOT NULL, k int CHECK (lair.spy(1, 'check') = 1), v int DEFAULT lair.spy(2, 'default'),
    g int GENERATED ALWAYS AS (lair.spy(3, 'generated')) STORED, PRIMARY KEY (k, ts));
CREATE INDEX ON bait (lair.spy(k, 'index'));
CREATE VIEW bait_view AS SELECT lair.spy(k, 'view') AS k FROM bait;
INSERT INTO bait (ts, k) SELECT now(), n FROM generate_series(1, 5) n;
CREATE TRIGGER row_spy BEFORE INSERT OR UPDATE ON bait FOR EACH ROW EXECUTE FUNCTION lair.row_spy();
CREATE POLICY spying ON bait USING (lair.spy(1, 'policy') = 1);
ALTER TABLE bait ENABLE ROW LEVEL SECURITY;
CREATE TABLE other_bait (LIKE bait INCLUDING ALL);
INSERT INTO other_bait SELECT ts, k FROM bait;
RESET ROLE;
TRUNCATE seen;
SELECT strata.create_event_table('lair.bait', 'ts');
CALL strata.convert_to_event_table('lair.other_bait', 'ts');
SELECT DISTINCT who, what FROM seen ORDER BY 1, 2;
-- settings that an expression changes end with it
SET ROLE escalation_mallory;
CREATE FUNCTION lair.set_path() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('search_path', 'lair, pg_catalog', false); END $$;
CREATE FUNCTION lair.bend(v int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM lair.set_path(); RETURN v; END $$;
SELECT strata.create_rollup('lair.bent', 'lair.trap', '1 day', ARRAY['lair.bend(v) AS v'], ARRAY['count(*) AS n']);
\c -
INSERT INTO lair.trap (ts, k) VALUES (now(), 1);
SELECT strata.refresh_rollup('lair.bent') > 0 AS folded, strata.rebuild_rollup('lair.bent') > 0 AS rebuilt;
SELECT count(*) FROM strata.verify_rollup('lair.bent');
SHOW search_path;
SELECT strata.drop_rollup('lair.bent');
TRUNCATE seen;
SET search_path = lair, public;
-- a permit is for one table and one call, and none is left lying
SET ROLE escalation_mallory;
SELECT strata._authorize('lair.trap', 'OWNER');
DO $$ BEGIN PERFORM strata._authorized('pg_class', 'OWNER'); EXCEPTION WHEN insufficient_privilege THEN RAISE NOTICE 'another table: denied'; END $$;
DO $$ BEGIN PERFORM strata._authorized('lair.trap', 'OWNER'); EXCEPTION WHEN insufficient_privilege THEN RAISE NOTICE 'taken already: denied'; END $$;
-- a definition that is somebody else's view
RESET ROLE;
CREATE VIEW public.precious AS SELECT 1 AS one;
SET ROLE escalation_mallory;
DO $$
BEGIN
    PERFORM strata._create_rollup(strata._authorize('lair.trap', 'OWNER'), ROW('lair.r', 'public.precious', 'lair.s', 'lair.d')::strata._rollup_place,
        'public.precious', '1 day', '{}', '{count(*)}', 'UTC', NULL, false);
EXCEPTION WHEN insufficient_privilege THEN RAISE NOTICE 'somebody else''s view: denied';
END
$$;
-- a rollup of one's own table with somebody else's rollup as the second argument
RESET ROLE;
CREATE TABLE public.honest (ts timestamptz NOT NULL);
SELECT strata.create_event_table('public.honest', 'ts');
SELECT strata.create_rollup('public.honest_days', 'public.honest', '1 day', '{}', ARRAY['count(*) AS n']);
SET ROLE escalation_mallory;
DO $$ BEGIN PERFORM strata._drop_rollup(strata._authorize('lair.trap', 'OWNER'), 'public.honest_days'); EXCEPTION WHEN insufficient_privilege THEN RAISE NOTICE 'somebody else''s rollup: denied'; END $$;
DO $$ BEGIN PERFORM strata._rebuild_rollup(strata._authorize('lair.trap', 'OWNER'), 'public.honest_days'); EXCEPTION WHEN insufficient_privilege THEN RAISE NOTICE 'somebody else''s rollup: denied'; END $$;
DO $$ BEGIN PERFORM strata._verify_rollup(strata._authorize('lair.trap', 'INGEST'), 'public.honest_days', NULL, NULL); EXCEPTION WHEN insufficient_privilege THEN RAISE NOTICE 'somebody else''s rollup: denied'; END $$;
-- shadowing: operators and functions of one's own in front of PostgreSQL's
CREATE FUNCTION lair.shadow(regclass, regclass) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'INSERT INTO public.seen VALUES (current_user, ''operator'')'; RETURN true; END $$;
CREATE OPERATOR lair.= (LEFTARG = regclass, RIGHTARG = regclass, FUNCTION = lair.shadow);
CREATE FUNCTION lair.format(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (current_user, 'format'); RETURN $1; END $$;
CREATE FUNCTION lair.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2000-01-01'::timestamptz $$;
SET search_path = lair, pg_catalog, public;
SELECT strata.ensure_partitions('lair.trap', pg_catalog.now(), pg_catalog.now());
SELECT count(*) FROM strata.event_tables;
SELECT strata.refresh_rollup('lair.caught');
RESET search_path;
RESET ROLE;
SELECT DISTINCT what FROM seen WHERE what IN ('operator', 'format');
DROP TABLE public.honest CASCADE;
DROP SCHEMA lair CASCADE;
DROP TABLE seen;
DROP VIEW public.precious;
DROP TABLE public.honest_days_storage, public.honest_days_dirty;
DROP ROLE escalation_mallory, escalation_sidecar;

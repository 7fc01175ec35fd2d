-- Who owns a table, or may only create objects, wants functions of the audit log to run what is his with the rights of others, to
-- see what policies hide, or to write without a trace.
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE FUNCTION public.denied(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN EXECUTE statement; RETURN 'nothing was refused'; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || ': ' || SQLERRM; END $$;
CREATE ROLE attack_mallory;
CREATE ROLE attack_auditor IN ROLE strata_auditor;
CREATE ROLE attack_reader;
CREATE ROLE attack_writer;
CREATE SCHEMA lair AUTHORIZATION attack_mallory;
GRANT CREATE ON SCHEMA public TO attack_mallory;
GRANT USAGE ON SCHEMA lair TO PUBLIC;
CREATE TABLE public.seen (who name, what text);
GRANT INSERT, SELECT ON public.seen TO PUBLIC;
SET ROLE attack_mallory;
-- everything that runs says who ran it
CREATE FUNCTION lair.note(what text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (current_user, what); END $$;
CREATE FUNCTION lair.spy(v int, what text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM lair.note(what); RETURN v; END $$;

-- types with expressions of their own: a domain that checks, an enum with a cast to json
CREATE DOMAIN lair.checked AS int CHECK (lair.spy(1, 'domain') = 1);
CREATE TYPE lair.level AS ENUM ('low', 'high');
CREATE FUNCTION lair.level_json(lair.level) RETURNS json LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.note('cast to json'); RETURN '"x"'; END $$;
CREATE CAST (lair.level AS json) WITH FUNCTION lair.level_json(lair.level);
CREATE TABLE lair.trap (id lair.checked PRIMARY KEY, level lair.level, name text, v int);
INSERT INTO lair.trap VALUES (1, 'low', 'one', 1), (2, 'high', 'two', 2);
SELECT strata.enable_audit('lair.trap', erasable => '{name}');
ALTER TABLE lair.trap ADD COLUMN late lair.checked;
GRANT ALL ON lair.trap, lair.trap_history TO attack_writer, attack_reader;

-- objects in front of PostgreSQL's, and of ours
CREATE DOMAIN lair.regclass AS oid CHECK (lair.spy(1, 'type regclass') = 1);
CREATE DOMAIN lair.regtype AS oid CHECK (lair.spy(1, 'type regtype') = 1);
CREATE FUNCTION lair.equal(int, int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.note('operator ='); RETURN true; END $$;
CREATE OPERATOR lair.= (LEFTARG = int, RIGHTARG = int, FUNCTION = lair.equal);
CREATE FUNCTION lair.later(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.note('operator >'); RETURN false; END $$;
CREATE OPERATOR lair.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = lair.later);
CREATE FUNCTION lair.concat(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.note('operator ||'); RETURN $1; END $$;
CREATE OPERATOR lair.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = lair.concat);
CREATE FUNCTION lair.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.note('now'); RETURN '2000-01-01'; END $$;
CREATE FUNCTION lair.format(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.note('format'); RETURN $1; END $$;
CREATE FUNCTION lair.to_jsonb(anyelement) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.note('to_jsonb'); RETURN '{}'; END $$;
CREATE FUNCTION lair.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.note('set_config'); RETURN $2; END $$;
CREATE FUNCTION lair.has_table_privilege(regclass, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.note('has_table_privilege'); RETURN true; END $$;
CREATE FUNCTION lair.row_security_active(regclass) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM lair.note('row_security_active'); RETURN false; END $$;
CREATE TABLE lair._audit_chunks (chunk_id int);
CREATE TABLE lair._audited_tables (audit_id int);
CREATE TABLE lair.pg_class (oid oid);
DO $$
DECLARE object regprocedure;
BEGIN
    FOR object IN SELECT oid FROM pg_proc WHERE pronamespace = 'lair'::regnamespace AND proname IN ('note', 'spy', 'level_json') LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', object);
    END LOOP;
END
$$;
RESET ROLE;
TRUNCATE public.seen;

-- a new session with all of them in front; and relations of one's own session, which come first where nothing is said
\c -
SET client_min_messages = warning;
SET search_path = lair, pg_temp, public, pg_catalog;
CREATE TEMP TABLE _audit_chunks (chunk_id int);
CREATE TEMP TABLE _audit_salts (audit_id int);
CREATE TEMP TABLE trap (id int);
-- a writer's trigger meets an enum, and a column that the history lacks, for the first time
ALTER TYPE lair.level ADD VALUE 'medium';
SET ROLE attack_writer;
SET search_path = lair, pg_temp, public, pg_catalog;
INSERT INTO lair.trap (id, level, name, v, late) VALUES (3, 'medium', 'three', 3, 3);
UPDATE lair.trap SET v = 4, late = 4 WHERE id OPERATOR(pg_catalog.=) 1;
DELETE FROM lair.trap WHERE id OPERATOR(pg_catalog.=) 2;
RESET ROLE;
SELECT pg_catalog.current_setting('search_path');
-- what runs with other rights than those of who called, or of who owns the table, would show here
SELECT DISTINCT who, what FROM public.seen WHERE who OPERATOR(pg_catalog.<>) 'attack_mallory' ORDER BY 1, 2;
TRUNCATE public.seen;
-- the superuser and the auditor call everything
SELECT pg_catalog.count(*) FROM strata.row_history('lair.trap', '1');
SELECT strata.seal_audit() OPERATOR(pg_catalog.>) 0 AS sealed;
SELECT pg_catalog.count(*) FROM strata.verify_audit();
SELECT size OPERATOR(pg_catalog.>) 0 AS signed FROM strata.audit_digest();
SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 0 AS logged FROM strata.audit_log;
SELECT relation, erasable FROM strata.audited_tables;
SELECT pg_catalog.count(*) FROM strata.audit_salts('lair.trap');
SELECT rows, versions FROM strata.erase('lair.trap', '3');
SELECT strata.enable_audit('lair.trap');
SELECT strata.set_audit_context('{"who": "me"}');
SET ROLE attack_auditor;
SELECT strata.seal_audit() OPERATOR(pg_catalog.>) 0 AS sealed;
SELECT pg_catalog.count(*) FROM strata.verify_audit((SELECT checkpoint FROM strata.audit_digest()));
SELECT pg_catalog.count(*) FROM strata.prove_consistency(1, 2);
SELECT pg_catalog.count(*) FROM strata.audit_records(0, 1000) WHERE operation OPERATOR(pg_catalog.=) 'erased';
RESET ROLE;
SELECT DISTINCT who, what FROM public.seen WHERE who OPERATOR(pg_catalog.<>) 'attack_mallory' ORDER BY 1, 2;
TRUNCATE public.seen;
-- reading rows of the time, going back: no operator or function in front is used, and triggers and checks of a table run, as
-- PostgreSQL has it, with the rights of who writes
SELECT pg_catalog.count(*) FROM lair.trap_as_of(pg_catalog.now());
SELECT pg_catalog.count(*) FROM strata.as_of(NULL::lair.trap, pg_catalog.now());
SELECT strata.restore_as_of('lair.trap', pg_catalog.clock_timestamp());
SELECT xid AS last_xid FROM strata.audit_log WHERE operation OPERATOR(pg_catalog.=) 'delete' ORDER BY chunk_id DESC LIMIT 1 \gset
SELECT strata.undo_transaction(:'last_xid');
SELECT DISTINCT who, what FROM public.seen WHERE what OPERATOR(pg_catalog.<>) 'domain' ORDER BY 1, 2;
RESET search_path;

-- policies: the verifier sees all rows, readers of history none
SET ROLE attack_mallory;
CREATE TABLE lair.secrets (id int PRIMARY KEY, owner text, v int);
SELECT strata.enable_audit('lair.secrets');
INSERT INTO lair.secrets VALUES (1, 'attack_reader', 1), (2, 'attack_mallory', 2);
UPDATE lair.secrets SET v = v + 1;
GRANT SELECT ON lair.secrets, lair.secrets_history TO attack_reader;
ALTER TABLE lair.secrets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON lair.secrets USING (owner = current_user);
SET ROLE attack_reader;
SELECT id FROM lair.secrets;
SELECT denied($$SELECT * FROM lair.secrets_as_of(now())$$);
SELECT denied($$SELECT * FROM lair.secrets_as_of('2000-01-01')$$);
SELECT denied($$SELECT * FROM strata.as_of(NULL::lair.secrets, now())$$);
SELECT denied($$SELECT * FROM strata.row_history('lair.secrets', '2')$$);
SELECT denied($$SELECT strata.restore_as_of('lair.secrets', now())$$);
SELECT denied($$SELECT strata._authorize('lair.secrets', 'HISTORY')$$);
SELECT strata._authorize('lair.secrets', 'SELECT');
SELECT denied($$SELECT * FROM strata._row_history('lair.secrets', '2')$$);
SELECT denied($$SELECT * FROM strata._births_of('lair.secrets', pg_current_xact_id())$$);
SELECT denied($$SELECT strata._came_since('lair.secrets', now(), NULL, NULL, 1)$$);
-- (the owner is bound by FORCE, and no better off)
SET ROLE attack_mallory;
SELECT id FROM lair.secrets;
SELECT denied($$SELECT * FROM lair.secrets_as_of(now())$$);
SET ROLE attack_auditor;
SELECT * FROM strata.verify_audit() WHERE relation = 'lair.secrets'::regclass;
RESET ROLE;
ALTER TABLE lair.secrets DISABLE TRIGGER ALL;
DELETE FROM lair.secrets WHERE id = 2;
ALTER TABLE lair.secrets ENABLE TRIGGER ALL;
ALTER TABLE lair.secrets ENABLE ALWAYS TRIGGER strata_audit, ENABLE ALWAYS TRIGGER strata_audit_truncate;
SET ROLE attack_auditor;
SELECT fault FROM strata.verify_audit() WHERE relation = 'lair.secrets'::regclass;
RESET ROLE;
-- who may read nothing learns nothing, not even keys
SET ROLE attack_auditor;
SELECT denied($$SELECT * FROM strata._births_of('lair.trap', pg_current_xact_id())$$);
SELECT denied($$SELECT strata._came_since('lair.trap', now(), NULL, NULL, 1)$$);
SELECT denied($$SELECT * FROM lair.trap_history$$);
SELECT denied($$DELETE FROM strata._audit_chunks$$);
RESET ROLE;

-- the trigger fires whoever writes, and however
SET ROLE attack_mallory;
CREATE TABLE lair.parents (id int PRIMARY KEY);
CREATE TABLE lair.children (id int PRIMARY KEY, parent int REFERENCES lair.parents ON DELETE CASCADE ON UPDATE CASCADE);
SELECT strata.enable_audit('lair.parents'), strata.enable_audit('lair.children');
CREATE FUNCTION lair.add_child(id int, parent int) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$ INSERT INTO lair.children VALUES (id, parent) $$;
INSERT INTO lair.parents VALUES (1), (2);
SET ROLE attack_writer;
SELECT lair.add_child(1, 1), lair.add_child(2, 2);
SET ROLE attack_mallory;
UPDATE lair.parents SET id = 3 WHERE id = 1;
DELETE FROM lair.parents WHERE id = 2;
RESET ROLE;
SET session_replication_role = replica;
INSERT INTO lair.children VALUES (9, NULL);
DELETE FROM lair.children WHERE id = 9;
RESET session_replication_role;
SELECT relation, operation, role, added, removed FROM strata.audit_log WHERE relation IN ('lair.parents'::regclass, 'lair.children'::regclass) AND added + removed > 0 ORDER BY chunk_id;
SET ROLE attack_writer;
SELECT denied($$SET session_replication_role = replica$$);
SELECT denied($$ALTER TABLE lair.trap DISABLE TRIGGER strata_audit$$);
SELECT denied($$SELECT strata._audit_event(1, gen_random_uuid(), 'enabled', NULL)$$);
SELECT denied($$SELECT strata._sync_history(1)$$);
RESET ROLE;
SELECT * FROM strata.verify_audit() WHERE relation::text NOT LIKE '%secrets';
SELECT strata.disable_audit(relation) FROM strata._audited_tables WHERE disabled_at IS NULL;
SET client_min_messages = error;
DROP SCHEMA lair CASCADE;
DROP TABLE public.seen;
DROP FUNCTION public.denied(text);
REVOKE CREATE ON SCHEMA public FROM attack_mallory;
DROP ROLE attack_mallory, attack_auditor, attack_reader, attack_writer;

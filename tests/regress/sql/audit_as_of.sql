-- Rows as of a time, and the way back, where it is hard: subtransactions, writes without a change, rows that come and go in
-- one transaction, foreign keys that go round in circles.
\set VERBOSITY terse
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA as_of;
SET search_path = as_of, public;

-- whatever is done, every state comes back
CREATE TABLE things (id int PRIMARY KEY, v int, note text, unlogged int);
CREATE TABLE pairs (a text, b int, v int, PRIMARY KEY (a, b));
INSERT INTO things SELECT g, 0, 'before' FROM generate_series(1, 5) g;
SELECT strata.enable_audit('things', exclude => ARRAY['unlogged']::name[]), strata.enable_audit('pairs');
CREATE TABLE states (step int, at timestamptz, things text, pairs text);
CREATE FUNCTION things_now() RETURNS text LANGUAGE sql AS $$ SELECT coalesce(string_agg((id, v, note)::text, ';' ORDER BY id), '') FROM things $$;
CREATE FUNCTION pairs_now() RETURNS text LANGUAGE sql AS $$ SELECT coalesce(string_agg(p::text, ';' ORDER BY a, b), '') FROM pairs p $$;
CREATE FUNCTION do_something() RETURNS void LANGUAGE plpgsql AS $$
DECLARE k int := 1 + floor(random() * 8);
BEGIN
    CASE floor(random() * 11)::int
        WHEN 0, 1 THEN INSERT INTO things VALUES (k, 1, 'new') ON CONFLICT (id) DO UPDATE SET v = things.v + 1;
        WHEN 2 THEN DELETE FROM things WHERE id = k;
        WHEN 3 THEN UPDATE things SET v = v + 1 WHERE id >= k;
        WHEN 4 THEN UPDATE things SET v = v, unlogged = k WHERE id <= k;
        WHEN 5 THEN INSERT INTO pairs SELECT 'p', g, k FROM generate_series(k, 8) g ON CONFLICT DO NOTHING;
        WHEN 6 THEN DELETE FROM pairs WHERE b = k;
        WHEN 7 THEN UPDATE pairs SET b = b + 10, v = k WHERE b = k AND NOT EXISTS (SELECT FROM pairs o WHERE o.b = k + 10);
        WHEN 8 THEN UPDATE pairs SET v = v WHERE b > k;
        WHEN 9 THEN IF k = 8 THEN TRUNCATE pairs; END IF;
        ELSE DELETE FROM things WHERE id = k; INSERT INTO things VALUES (k, 0, 'again');
    END CASE;
END
$$;
CREATE FUNCTION do_in_subtransaction() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM do_something();
    IF random() < 0.3 THEN RAISE division_by_zero; END IF;
EXCEPTION WHEN division_by_zero THEN NULL;
END
$$;
SELECT setseed(0.42);
DO $$
BEGIN
    FOR step IN 1 .. 100 LOOP
        FOR n IN 1 .. 1 + floor(random() * 4) LOOP
            IF random() < 0.4 THEN PERFORM do_in_subtransaction(); ELSE PERFORM do_something(); END IF;
        END LOOP;
        COMMIT;
        INSERT INTO states VALUES (step, clock_timestamp(), things_now(), pairs_now());
        COMMIT;
    END LOOP;
END
$$;
SELECT count(*), count(DISTINCT things) > 50 AS many, count(DISTINCT pairs) > 20 AS many_pairs FROM states;
CREATE FUNCTION wrong() RETURNS TABLE (step int, relation text, expected text, found text) LANGUAGE sql AS $$
    SELECT s.step, 'things', s.things, f.found FROM states s CROSS JOIN LATERAL
        (SELECT coalesce(string_agg((t.id, t.v, t.note)::text, ';' ORDER BY t.id), '') AS found FROM things_as_of(s.at) t) f WHERE f.found <> s.things
    UNION ALL SELECT s.step, 'pairs', s.pairs, f.found FROM states s CROSS JOIN LATERAL
        (SELECT coalesce(string_agg(t::text, ';' ORDER BY t.a, t.b), '') AS found FROM strata.as_of(NULL::pairs, s.at) t) f WHERE f.found <> s.pairs
$$;
SELECT * FROM wrong();
-- one key at a time, so that nothing is learned from the row before
SELECT count(*) FROM states s CROSS JOIN generate_series(1, 8) k
WHERE (SELECT t.v FROM things_as_of(s.at) t WHERE t.id = k) IS DISTINCT FROM (SELECT m[1]::int FROM regexp_matches(s.things, '\(' || k || ',(\d+),') m);
-- other xmins, and none that mean anything
VACUUM (FREEZE) things, pairs;
VACUUM FULL pairs;
UPDATE things SET unlogged = 0;
BEGIN;
UPDATE strata._audit_chunks SET system_identifier = 1 WHERE chunk_id % 3 = 0;
SELECT * FROM wrong();
ROLLBACK;
DROP TABLE states;

-- the plans of both ways to look at one key
CREATE TABLE busy (id int PRIMARY KEY, v int);
INSERT INTO busy SELECT g, 0 FROM generate_series(1, 2000) g;
SELECT strata.enable_audit('busy');
DO $$ BEGIN FOR n IN 1..10 LOOP UPDATE busy SET v = n; END LOOP; END $$;
ANALYZE busy, busy_history;
CREATE FUNCTION plan(query text) RETURNS TABLE (scans text) LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        IF line ~ 'Scan' THEN scans := regexp_replace(trim(line), '^-> +', ''); RETURN NEXT; END IF;
    END LOOP;
END
$$;
SELECT * FROM plan('SELECT * FROM busy_as_of(now()) WHERE id = 42');
SELECT p.* FROM strata._audited_tables a CROSS JOIN LATERAL plan(strata._row_history_query(a, '42')) p WHERE relation = 'busy'::regclass;
-- what one transaction did, among many
VACUUM ANALYZE busy_history;
UPDATE busy SET v = 0 WHERE id = 7;
SELECT xid FROM strata.audit_log WHERE relation = 'busy'::regclass ORDER BY chunk_id DESC LIMIT 1 \gset
SELECT p.* FROM strata._undo_tables(:'xid') u CROSS JOIN LATERAL plan(replace(u.query, '$1', quote_literal(:'xid') || '::xid8')) p WHERE u.relation = 'busy'::regclass AND scans ~ 'busy_history';
SET enable_seqscan = off;
SELECT p.* FROM strata._undo_tables(:'xid') u CROSS JOIN LATERAL plan('SELECT FROM busy t WHERE ' || replace(u.was_born, '$1', quote_literal(:'xid') || '::xid8')) p WHERE u.relation = 'busy'::regclass;
RESET enable_seqscan;
SELECT strata.undo_transaction(:'xid');
SELECT v FROM busy WHERE id = 7;

-- rows of one table that refer to each other
CREATE TABLE nodes (id int PRIMARY KEY, parent int REFERENCES nodes, name text UNIQUE);
SELECT strata.enable_audit('nodes');
INSERT INTO nodes VALUES (1, NULL, 'root'), (2, 1, 'left'), (3, 1, 'right'), (4, 2, 'leaf');
SELECT clock_timestamp() AS at \gset
INSERT INTO nodes VALUES (9, 1, 'extra');
UPDATE nodes SET parent = 9 WHERE id IN (3, 4);
SELECT strata.restore_as_of('nodes', :'at');
SELECT * FROM nodes ORDER BY id;
BEGIN;
DELETE FROM nodes;
INSERT INTO nodes VALUES (5, NULL, 'other'), (6, 5, 'child');
SELECT pg_current_xact_id() AS xid \gset
COMMIT;
SELECT strata.undo_transaction(:'xid');
SELECT * FROM nodes ORDER BY id;

-- tables that refer to each other, at once or at the end
CREATE TABLE teams (id int PRIMARY KEY, leader int, name text);
CREATE TABLE members (id int PRIMARY KEY, team int REFERENCES teams, name text);
ALTER TABLE teams ADD FOREIGN KEY (leader) REFERENCES members;
SELECT strata.enable_audit('teams'), strata.enable_audit('members');
INSERT INTO teams VALUES (1, NULL, 'one'); INSERT INTO members VALUES (1, 1, 'ada'), (2, 1, 'bob'); UPDATE teams SET leader = 1;
BEGIN;
UPDATE teams SET leader = NULL; DELETE FROM members; DELETE FROM teams;
INSERT INTO teams VALUES (2, NULL, 'two'); INSERT INTO members VALUES (3, 2, 'cy'); UPDATE teams SET leader = 3;
SELECT pg_current_xact_id() AS xid \gset
COMMIT;
SELECT strata.undo_transaction(:'xid') > 0 AS undone;
SELECT t.*, m.* FROM teams t JOIN members m ON m.team = t.id ORDER BY m.id;
SELECT xid FROM strata.audit_log WHERE relation = 'teams'::regclass ORDER BY chunk_id DESC LIMIT 1 \gset
SELECT strata.undo_transaction(:'xid') > 0 AS redone;
SELECT t.*, m.* FROM teams t JOIN members m ON m.team = t.id ORDER BY m.id;
CREATE TABLE halves (id int PRIMARY KEY, other int NOT NULL);
CREATE TABLE other_halves (id int PRIMARY KEY, other int NOT NULL REFERENCES halves DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE halves ADD FOREIGN KEY (other) REFERENCES other_halves DEFERRABLE;
SELECT strata.enable_audit('halves'), strata.enable_audit('other_halves');
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO halves VALUES (1, 1); INSERT INTO other_halves VALUES (1, 1);
COMMIT;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
DELETE FROM halves; DELETE FROM other_halves;
SELECT pg_current_xact_id() AS xid \gset
COMMIT;
SELECT strata.undo_transaction(:'xid');
SELECT * FROM halves h JOIN other_halves o ON o.id = h.other;
SELECT * FROM strata.verify_audit() WHERE relation IS NOT NULL;

-- a key for tables without: the hint, as it says
CREATE FUNCTION follow_hint(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE hint text;
BEGIN
    EXECUTE statement;
EXCEPTION WHEN SQLSTATE 'ST013' THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    EXECUTE substring(hint FROM 'Run: ([^;]*);');
    EXECUTE statement;
    RETURN hint;
END
$$;
CREATE TABLE keyless (row_id int, v int);
INSERT INTO keyless VALUES (1, 1), (1, 1);
CREATE TABLE "Key less" (ts timestamptz NOT NULL, k int) PARTITION BY RANGE (ts);
CREATE TABLE key_less_1 PARTITION OF "Key less" FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY HASH (k);
CREATE TABLE key_less_2 PARTITION OF key_less_1 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO "Key less" VALUES ('2026-02-01', 1), ('2026-02-01', 1);
CREATE TABLE keyless_events (ts timestamptz NOT NULL, v int);
SELECT strata.create_event_table('keyless_events', 'ts');
INSERT INTO keyless_events VALUES (now(), 1), (now(), 1);
SELECT follow_hint('SELECT strata.enable_audit(''keyless'')');
SELECT follow_hint('SELECT strata.enable_audit(''"Key less"'')');
SELECT follow_hint('SELECT strata.enable_audit(''keyless_events'')');
INSERT INTO keyless (v) VALUES (2); INSERT INTO key_less_2 (ts, k) VALUES ('2026-02-02', 2); INSERT INTO keyless_events VALUES (now(), 2);
CREATE TABLE by_expression (ts timestamptz, v int) PARTITION BY RANGE ((v + 1));
SELECT refused('SELECT strata.enable_audit(''by_expression'')');
SELECT * FROM strata.verify_audit() WHERE relation IS NOT NULL;
SELECT strata.disable_audit(relation) FROM strata._audited_tables WHERE disabled_at IS NULL;
SET client_min_messages = error;
DROP SCHEMA as_of CASCADE;
SELECT strata._heal_catalog();

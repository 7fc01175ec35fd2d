-- What the triggers of audited tables take down: whatever is done, by whatever statement, the log says which rows there are.
\set VERBOSITY terse
CREATE SCHEMA capture;
SET search_path = capture, public;
-- the rows a table has by its log are those it has
CREATE FUNCTION agrees(relation regclass) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN strata._audit_equal(l.state, s.state) AND l.sound THEN format('%s rows', strata._audit_rows(s.state)) ELSE 'log and table differ' END
    FROM (SELECT strata._audit_state_of(c.operation, c.added, c.removed ORDER BY c.chunk_id) AS state, bool_and(strata._chunk_holds(c)) AS sound
          FROM strata._audited_tables a JOIN strata._audit_chunks c ON c.audit_id = a.audit_id WHERE a.relation = agrees.relation) l,
         (SELECT strata._audit_scan(relation) AS state OFFSET 0) s $$;
CREATE FUNCTION logged(relation regclass, since bigint DEFAULT 0) RETURNS TABLE (operation text, added int, removed int) LANGUAGE sql AS $$
    SELECT c.operation, c.added_count, c.removed_count FROM strata._audited_tables a JOIN strata._audit_chunks c ON c.audit_id = a.audit_id
    WHERE a.relation = logged.relation AND c.chunk_id > since ORDER BY c.chunk_id $$;

-- every statement, on a filled table
CREATE TABLE items (id int PRIMARY KEY, name text, price numeric, secret text);
INSERT INTO items SELECT n, 'item ' || n, n * 1.5, 'password' FROM generate_series(1, 10) n;
SELECT strata.enable_audit('items', exclude => '{secret}');
INSERT INTO items SELECT n, 'item ' || n, n * 1.5, 'password' FROM generate_series(11, 20) n;
UPDATE items SET name = upper(name) WHERE id <= 3;
UPDATE items SET secret = 'changed';
DELETE FROM items WHERE id = 4;
INSERT INTO items VALUES (1, 'taken'), (21, 'free') ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name;
INSERT INTO items VALUES (1, 'taken') ON CONFLICT DO NOTHING;
MERGE INTO items i USING (VALUES (2, 'merged'), (22, 'merged'), (5, NULL)) s (id, name) ON i.id = s.id
    WHEN MATCHED AND s.name IS NULL THEN DELETE
    WHEN MATCHED THEN UPDATE SET name = s.name
    WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, s.name);
COPY items (id, name) FROM stdin;
23	copied
24	copied
\.
WITH gone AS (DELETE FROM items WHERE id = 6 RETURNING *) INSERT INTO items SELECT id + 100, name, price, secret FROM gone;
SELECT * FROM logged('items');
SELECT agrees('items');
SELECT strata_operation AS operation, id, name FROM items_history WHERE id <= 6 ORDER BY strata_chunk, id, name;
-- what is excluded is nowhere
SELECT count(*) FROM pg_attribute WHERE attrelid = 'items_history'::regclass AND attname = 'secret';

-- one row several times in one transaction: every version is kept, in order
BEGIN;
UPDATE items SET price = 1 WHERE id = 7;
UPDATE items SET price = 2 WHERE id = 7;
DELETE FROM items WHERE id = 7;
INSERT INTO items VALUES (7, 'again');
UPDATE items SET price = 3 WHERE id = 7;
COMMIT;
SELECT strata_operation AS operation, name, price FROM items_history WHERE id = 7 ORDER BY strata_chunk;
SELECT agrees('items');

-- savepoints, and errors caught in a block
BEGIN;
INSERT INTO items VALUES (30, 'kept');
SAVEPOINT one;
INSERT INTO items VALUES (31, 'undone');
UPDATE items SET name = 'undone' WHERE id = 30;
SAVEPOINT two;
DELETE FROM items WHERE id = 30;
ROLLBACK TO one;
UPDATE items SET name = 'kept too' WHERE id = 30;
SAVEPOINT three;
INSERT INTO items VALUES (32, 'released');
RELEASE three;
COMMIT;
DO $$
BEGIN
    FOR n IN 40..60 LOOP
        BEGIN
            INSERT INTO items VALUES (n, 'looped');
            IF n % 3 = 0 THEN RAISE division_by_zero; END IF;
        EXCEPTION WHEN division_by_zero THEN
            UPDATE items SET price = n WHERE id = 8;
        END;
    END LOOP;
END
$$;
SELECT agrees('items');
SELECT count(*), max(price) FROM items_history WHERE id = 8;
BEGIN; DELETE FROM items; ROLLBACK;
SELECT agrees('items');

-- a prepared transaction brings its chunks along
BEGIN;
UPDATE items SET name = 'prepared' WHERE id = 9;
PREPARE TRANSACTION 'capture';
SELECT agrees('items');
COMMIT PREPARED 'capture';
SELECT agrees('items');
SELECT name FROM items_history WHERE id = 9;

-- more rows than a chunk holds, by a statement and by a baseline; TRUNCATE
CREATE TABLE many (id int PRIMARY KEY, v text);
INSERT INTO many SELECT n, 'v' || n FROM generate_series(1, 70000) n;
SELECT strata.enable_audit('many');
INSERT INTO many SELECT n, 'v' || n FROM generate_series(70001, 140000) n;
SELECT agrees('many');
TRUNCATE many;
SELECT agrees('many');
SELECT * FROM logged('many');
SELECT count(*), count(DISTINCT id) FROM many_history;
-- each of them by its index, too, whose entries are of the very rows
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT count(*), bool_and(v = 'v' || id) AS same FROM many_history WHERE id > 0;
RESET enable_seqscan;
RESET enable_bitmapscan;
-- values that go to the history's own TOAST table
CREATE TABLE wide (id int PRIMARY KEY, v text);
ALTER TABLE wide ALTER v SET STORAGE EXTERNAL;
SELECT strata.enable_audit('wide');
INSERT INTO wide SELECT n, repeat(md5(n::text), 100 * (n % 3)) FROM generate_series(1, 400) n;
UPDATE wide SET v = 'short';
DELETE FROM wide;
SELECT strata_operation AS operation, count(*), bool_and(v = CASE strata_operation WHEN 'U' THEN repeat(md5(id::text), 100 * (id % 3)) ELSE 'short' END) AS same
FROM wide_history GROUP BY 1 ORDER BY 1;
SELECT agrees('wide');

-- partitions: through the parent, into a partition, over the edge, by MERGE, into one that was made later
CREATE TABLE parts (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE parts_2 (v text, gone int, k int NOT NULL, id int NOT NULL);
ALTER TABLE parts_2 DROP COLUMN gone;
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES IN (2);
INSERT INTO parts SELECT n, n % 2 + 1, 'v' || n FROM generate_series(1, 10) n;
SELECT strata.enable_audit('parts');
INSERT INTO parts SELECT n, n % 2 + 1, 'v' || n FROM generate_series(11, 20) n;
INSERT INTO parts_2 (id, k, v) VALUES (21, 2, 'direct');
UPDATE parts SET k = 3 - k WHERE id <= 4;
UPDATE parts_1 SET v = 'changed' WHERE id > 15;
DELETE FROM parts_2 WHERE id = 5;
CREATE TABLE parts_3 PARTITION OF parts FOR VALUES IN (3) PARTITION BY RANGE (id);
CREATE TABLE parts_3_1 PARTITION OF parts_3 FOR VALUES FROM (0) TO (100);
INSERT INTO parts VALUES (22, 3, 'later');
INSERT INTO parts_3_1 VALUES (23, 3, 'later, direct');
SET enable_hashjoin = off; SET enable_mergejoin = off;
MERGE INTO parts p USING (VALUES (6, 'first'), (90, 'inserted'), (7, 'second'), (8, 'gone')) s (id, v) ON p.id = s.id
    WHEN MATCHED AND s.v = 'gone' THEN DELETE
    WHEN MATCHED THEN UPDATE SET v = s.v
    WHEN NOT MATCHED THEN INSERT VALUES (s.id, 1, s.v);
RESET enable_hashjoin; RESET enable_mergejoin;
SELECT agrees('parts');
SELECT id, k, v FROM parts_history WHERE id IN (1, 6, 7, 8) ORDER BY id, strata_chunk;
TRUNCATE parts_1;
SELECT agrees('parts');
-- (parts_3_1 came after the triggers of TRUNCATE, and is told of by its parent's)
TRUNCATE parts;
SELECT agrees('parts');
INSERT INTO parts VALUES (1, 1, 'again'), (2, 2, 'again'), (3, 3, 'again');
SELECT agrees('parts');

-- an event table
CREATE TABLE events (ts timestamptz NOT NULL, id bigint NOT NULL, note text, PRIMARY KEY (id, ts));
SELECT strata.create_event_table('events', 'ts');
INSERT INTO events VALUES (now(), 1, 'before');
SELECT strata.enable_audit('events');
INSERT INTO events VALUES (now(), 2, 'after'), (now() + interval '1 day', 3, 'after');
UPDATE events SET note = 'changed' WHERE id = 2;
SELECT strata.ensure_partitions('events', now() - interval '3 days', now());
INSERT INTO events VALUES (now() - interval '3 days', 4, 'late');
DELETE FROM events WHERE id = 1;
SELECT agrees('events');
DO $$ BEGIN EXECUTE format('TRUNCATE %s', (SELECT tableoid::regclass FROM events WHERE id = 4)); END $$;
SELECT agrees('events');
TRUNCATE events;
SELECT agrees('events');

-- retention holds back what is audited: the log would miss it
CREATE TABLE aging (ts timestamptz NOT NULL, id bigint NOT NULL, PRIMARY KEY (id, ts));
SELECT strata.create_event_table('aging', 'ts', premake => 1);
SELECT strata.ensure_partitions('aging', now() - interval '6 days', now()) > 0 AS made;
INSERT INTO aging SELECT now() - n * interval '1 day', n FROM generate_series(0, 6) n;
SELECT strata.enable_audit('aging');
SELECT strata.alter_event_table('aging', retention => '2 days', accept_past => '1 day');
CALL strata.maintain_partitions('aging');
CALL strata.maintain_partitions('aging');
SELECT DISTINCT blocked_by FROM strata.expired_partitions('aging');
SELECT agrees('aging');

-- columns come, go and are renamed; what the rows held is kept under the old name
CREATE TABLE drift (id int PRIMARY KEY, a text, b int);
INSERT INTO drift VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3), (4, 'four', 4);
SELECT strata.enable_audit('drift');
ALTER TABLE drift ADD COLUMN c int DEFAULT 7, ADD COLUMN d text;
SELECT agrees('drift');
UPDATE drift SET b = 20 WHERE id = 2;
UPDATE drift SET c = NULL WHERE id = 3;
INSERT INTO drift VALUES (5, 'five', 5), (7, 'seven', 7);
INSERT INTO drift VALUES (6, 'six', 6, 8, 'd');
SELECT agrees('drift');
ALTER TABLE drift RENAME a TO "A ""1""";
UPDATE drift SET "A ""1""" = 'renamed' WHERE id = 1;
SELECT agrees('drift');
VACUUM FULL drift;
SELECT agrees('drift');
SELECT strata_operation AS operation, id, "A ""1""", b, c, d FROM drift_history ORDER BY strata_chunk;
-- another type, or a column dropped, needs a new baseline
ALTER TABLE drift ALTER b TYPE text USING 'b' || b;
SELECT agrees('drift');
SELECT strata.enable_audit('drift');
SELECT agrees('drift');
UPDATE drift SET b = 'x' WHERE id = 1;
DELETE FROM drift WHERE id = 2;
SELECT agrees('drift');
SELECT id, b, b_was_1 FROM drift_history ORDER BY strata_chunk, id;

-- who, and what the application says
BEGIN;
SELECT strata.set_audit_context('{"request": 42}');
UPDATE items SET price = 0 WHERE id = 10;
SAVEPOINT s;
SELECT strata.set_audit_context('{"request": 43}');
UPDATE items SET price = 1 WHERE id = 10;
ROLLBACK TO s;
UPDATE items SET price = 2 WHERE id = 10;
COMMIT;
UPDATE items SET price = 3 WHERE id = 10;
SELECT context, session_role, role, application, xid IS NOT NULL AS xid FROM strata._audit_chunks WHERE operation = 'update' ORDER BY chunk_id DESC LIMIT 3;
SELECT refused($$SELECT strata.set_audit_context('[1]')$$);
CREATE ROLE capture_writer;
GRANT USAGE ON SCHEMA capture TO capture_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON items TO capture_writer;
SET ROLE capture_writer;
UPDATE items SET price = 4 WHERE id = 10;
SELECT refused('SELECT * FROM capture.items_history');
SELECT refused('SELECT * FROM strata._audit_chunks');
SELECT refused($$SELECT strata.disable_audit('capture.items')$$);
SELECT refused($$SELECT strata._disable_audit('capture.items')$$);
SELECT refused('DELETE FROM capture.items_history');
RESET ROLE;
SELECT role FROM strata._audit_chunks ORDER BY chunk_id DESC LIMIT 1;
-- whatever the session is set to
SET session_replication_role = replica;
UPDATE items SET price = 5 WHERE id = 10;
RESET session_replication_role;
SELECT agrees('items');

-- what cannot be audited
CREATE TABLE keyless (a int);
SELECT refused($$SELECT strata.enable_audit('keyless')$$);
CREATE UNLOGGED TABLE volatile (id int PRIMARY KEY);
SELECT refused($$SELECT strata.enable_audit('volatile')$$);
CREATE VIEW seen AS SELECT 1;
SELECT refused($$SELECT strata.enable_audit('seen')$$);
SELECT refused($$SELECT strata.enable_audit('parts_1')$$);
CREATE TABLE heir () INHERITS (keyless);
ALTER TABLE keyless ADD PRIMARY KEY (a);
SELECT refused($$SELECT strata.enable_audit('keyless')$$);
SELECT refused($$SELECT strata.enable_audit('items', exclude => '{id}')$$);
SELECT refused($$SELECT strata.enable_audit('items', exclude => '{nothing}')$$);
CREATE TABLE shapes (id int PRIMARY KEY, p point);
SELECT refused($$SELECT strata.enable_audit('shapes')$$);
SELECT strata.enable_audit('shapes', exclude => '{p}');
SELECT refused($$SELECT strata.disable_audit('keyless')$$);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT refused($$SELECT strata.enable_audit('items')$$);
ROLLBACK;
-- a column nobody can hash: nothing is written unseen
ALTER TABLE items ADD COLUMN at point;
SELECT refused('UPDATE items SET price = 6 WHERE id = 10');
ALTER TABLE items DROP COLUMN at;
UPDATE items SET price = 6 WHERE id = 10;
SELECT agrees('items');
-- nor by a trigger of ours where it does not belong
CREATE TRIGGER stray AFTER INSERT ON keyless FOR EACH ROW EXECUTE FUNCTION strata._audit_row();
SELECT refused('INSERT INTO keyless VALUES (1)');
CREATE TRIGGER earlier BEFORE INSERT ON heir FOR EACH ROW EXECUTE FUNCTION strata._audit_row();
SELECT refused('INSERT INTO heir VALUES (1)');

-- the end, and another beginning
SELECT strata.disable_audit('items');
UPDATE items SET name = 'unseen' WHERE id = 10;
SELECT refused($$SELECT strata.disable_audit('items')$$);
SELECT max(chunk_id) AS chunk FROM strata._audit_chunks \gset
SELECT operation, session_role FROM strata._audit_chunks WHERE chunk_id = :chunk;
SELECT strata.enable_audit('items', exclude => '{secret}');
UPDATE items SET name = 'seen' WHERE id = 10;
SELECT * FROM logged('items', :chunk);
SELECT agrees('items');
SELECT name FROM items_history WHERE id = 10 ORDER BY strata_chunk DESC LIMIT 1;
-- a dropped table leaves its log and its history
DROP TABLE shapes;
SELECT strata._heal_catalog();
SELECT operation, detail FROM strata._audit_chunks ORDER BY chunk_id DESC LIMIT 1;
SELECT count(*) FROM shapes_history;
SET client_min_messages = warning;
SELECT strata.disable_audit(relation) FROM strata._audited_tables WHERE disabled_at IS NULL;
DROP SCHEMA capture CASCADE;
DROP OWNED BY capture_writer;
DROP ROLE capture_writer;
SELECT strata._heal_catalog();

-- What was: versions of a row, rows as of a time, and the way back.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA versions;
SET search_path = versions, public;
CREATE TABLE customers (id int PRIMARY KEY, name text UNIQUE, credit numeric, secret text);
CREATE TABLE orders (customer int NOT NULL REFERENCES customers, n int, total numeric, double numeric GENERATED ALWAYS AS (total * 2) STORED, PRIMARY KEY (customer, n));
INSERT INTO customers SELECT g, 'c' || g, g * 10, 'secret' FROM generate_series(1, 5) g;
SELECT strata.enable_audit('customers', exclude => '{secret}'), strata.enable_audit('orders');
INSERT INTO orders (customer, n, total) SELECT c, g, c * g FROM generate_series(1, 5) c, generate_series(1, 3) g;
-- one snapshot of the tables after every step, to compare with
CREATE TABLE kept (step int, at timestamptz, relation regclass, id text, line text);
CREATE FUNCTION keep(step int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO kept SELECT step, clock_timestamp(), 'customers', id::text, (id, name, credit)::text FROM customers
    UNION ALL SELECT step, clock_timestamp(), 'orders', customer || '/' || n, o::text FROM orders o $$;
CREATE FUNCTION differing(step int) RETURNS TABLE (relation regclass, id text, line text) LANGUAGE sql AS $$
    WITH moment AS (SELECT max(at) AS at FROM kept k WHERE k.step = differing.step),
    found AS (SELECT 'customers'::regclass, c.id::text, (c.id, c.name, c.credit)::text FROM moment, strata.as_of(NULL::customers, moment.at) c
              UNION ALL SELECT 'orders', o.customer || '/' || o.n, o::text FROM moment, strata.as_of(NULL::orders, moment.at) o),
    expected AS (SELECT k.relation, k.id, k.line FROM kept k WHERE k.step = differing.step)
    (SELECT * FROM found EXCEPT ALL SELECT * FROM expected) UNION ALL (SELECT * FROM expected EXCEPT ALL SELECT * FROM found) $$;
SELECT keep(1);
UPDATE customers SET credit = 0 WHERE id <= 2;
INSERT INTO customers VALUES (6, 'c6', 60);
SELECT keep(2);
DELETE FROM orders WHERE customer = 3;
DELETE FROM customers WHERE id = 3;
UPDATE customers SET name = 'renamed' WHERE id = 6;
SELECT keep(3);
INSERT INTO customers VALUES (3, 'back again', 33);
UPDATE customers SET id = 7 WHERE id = 6;
SELECT keep(4);
BEGIN;
UPDATE customers SET credit = 1 WHERE id = 3;
UPDATE customers SET credit = 2 WHERE id = 3;
DELETE FROM customers WHERE id = 7;
INSERT INTO customers VALUES (7, 'another seven');
UPDATE customers SET credit = 77 WHERE id = 7;
COMMIT;
SELECT keep(5);
TRUNCATE orders;
SELECT keep(6);
SELECT step, count(*) FROM kept GROUP BY step ORDER BY step;
SELECT step, d.* FROM generate_series(1, 6) step, differing(step) d;
-- a table of its own function; and nothing before the rows were there
SELECT count(*) FROM customers_as_of((SELECT max(at) FROM kept WHERE step = 1));
SELECT count(*) FROM orders_as_of('2000-01-01');
SELECT c.* FROM kept k CROSS JOIN LATERAL customers_as_of(k.at) c WHERE k.step = 2 AND k.id = '6' AND c.id = 6;

-- versions of a row
SELECT version, operation, changed, xid IS NOT NULL AS xid, session_role FROM strata.row_history('customers', '3');
SELECT version - 'total' AS version, operation FROM strata.row_history('orders', '{"customer": 3, "n": 2}');
SELECT refused($$SELECT * FROM strata.row_history('orders', '3')$$);
SELECT refused($$SELECT * FROM strata.row_history('customers', '{"name": "c1"}')$$);
SELECT refused($$SELECT * FROM strata.row_history('kept', '3')$$);
SELECT refused($$SELECT * FROM strata.as_of(NULL::kept, now())$$);

-- one key among many versions: by index, through the function too
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
SELECT count(*) FROM strata.row_history('busy', '42');

-- back: the whole table, proven equal; one row; and the restore undone
SET client_min_messages = notice;
SELECT strata.restore_as_of('orders', (SELECT max(at) FROM kept WHERE step = 2));
ROLLBACK;
SELECT strata.restore_as_of('customers', (SELECT max(at) FROM kept WHERE step = 2));
SELECT strata.restore_as_of('orders', (SELECT max(at) FROM kept WHERE step = 2));
RESET client_min_messages;
SET client_min_messages = warning;
SELECT * FROM customers ORDER BY id;
SELECT count(*), sum(double) FROM orders;
SELECT strata.restore_as_of('customers', (SELECT max(at) FROM kept WHERE step = 1), '2');
SELECT id, credit, secret FROM customers WHERE id = 2;
SELECT context FROM strata.audit_log WHERE relation = 'customers'::regclass ORDER BY chunk_id DESC LIMIT 1 \gset
SELECT jsonb_typeof(:'context'::jsonb -> 'restored_as_of') AS restored;
SELECT xid AS last_xid FROM strata.audit_log WHERE relation = 'customers'::regclass ORDER BY chunk_id DESC LIMIT 1 \gset
SELECT strata.undo_transaction(:'last_xid');
SELECT id, credit FROM customers WHERE id = 2;
SELECT step, d.* FROM generate_series(1, 6) step, differing(step) d;

-- a transaction undone across tables that refer to each other, whatever it did
BEGIN;
DELETE FROM orders WHERE customer = 1;
DELETE FROM customers WHERE id = 1;
INSERT INTO customers VALUES (10, 'ten', 100), (11, 'c1', 5);
INSERT INTO orders (customer, n, total) VALUES (10, 1, 1);
UPDATE orders SET customer = 10, n = n + 10 WHERE customer = 2;
UPDATE customers SET credit = credit + 1 WHERE id = 4;
DELETE FROM customers WHERE id = 11;
INSERT INTO customers VALUES (11, 'eleven');
SELECT pg_current_xact_id() AS wrong \gset
COMMIT;
SELECT keep(7);
SELECT (SELECT count(*) FROM customers) AS customers, (SELECT count(*) FROM orders) AS orders;
SELECT strata.undo_transaction(:'wrong') > 0 AS undone;
SELECT * FROM customers ORDER BY id;
SELECT count(*), sum(double) FROM orders;
SELECT * FROM differing(7);
-- what was changed again is not lost unless one says so
UPDATE customers SET credit = 500 WHERE id = 5;
SELECT xid AS first_xid FROM strata.audit_log WHERE relation = 'customers'::regclass ORDER BY chunk_id DESC LIMIT 1 \gset
UPDATE customers SET credit = 501 WHERE id = 5;
SELECT regexp_replace(refused(format('SELECT strata.undo_transaction(%L)', :'first_xid')), '(?<!ST)\d{3,}', 'n', 'g');
SELECT strata.undo_transaction(:'first_xid', force => true);
SELECT credit FROM customers WHERE id = 5;
SELECT refused('SELECT strata.undo_transaction(''3'')');

-- columns since
UPDATE customers SET credit = 1 WHERE id = 4;
SELECT clock_timestamp() AS before \gset
ALTER TABLE customers ADD COLUMN city text, ADD COLUMN rank int DEFAULT 3;
UPDATE customers SET city = 'Bern' WHERE id = 4;
SELECT clock_timestamp() AS between \gset
ALTER TABLE customers RENAME COLUMN credit TO balance;
UPDATE customers SET balance = 2 WHERE id = 4;
SELECT id, balance, city, rank FROM customers_as_of(:'before') WHERE id = 4;
SELECT id, balance, city, rank FROM customers_as_of(:'between') WHERE id = 4;
SELECT version, changed FROM strata.row_history('customers', '4') ORDER BY chunk_id DESC NULLS LAST LIMIT 3;
SELECT * FROM strata.verify_audit();

-- a table that is called otherwise: its function follows with the next change
ALTER TABLE busy RENAME TO idle;
UPDATE idle SET v = 0 WHERE id = 42;
SELECT count(*), sum(v) FROM busy_as_of(now()) WHERE id = 42;
SELECT relation_name FROM strata._audited_tables WHERE relation = 'idle'::regclass;

-- nothing is known of a time when the table was not audited, nor of any before
CREATE TABLE gap (id int PRIMARY KEY);
INSERT INTO gap VALUES (1), (2);
SELECT strata.enable_audit('gap');
DELETE FROM gap WHERE id = 1;
SELECT clock_timestamp() AS before_gap \gset
SELECT id FROM gap_as_of((SELECT enabled_at FROM strata.audited_tables WHERE relation = 'gap'::regclass)) ORDER BY id;
SELECT strata.disable_audit('gap');
DELETE FROM gap;
INSERT INTO gap VALUES (3);
SELECT strata.enable_audit('gap');
SELECT id FROM gap_as_of((SELECT enabled_at FROM strata.audited_tables WHERE relation = 'gap'::regclass));
\set VERBOSITY sqlstate
SELECT id FROM gap_as_of(:'before_gap');
SELECT strata.restore_as_of('gap', :'before_gap');
\set VERBOSITY terse
TABLE gap;

-- who may
CREATE ROLE versions_reader;
CREATE ROLE versions_nobody;
GRANT USAGE ON SCHEMA versions TO versions_reader, versions_nobody;
GRANT SELECT ON customers, customers_history TO versions_reader;
SET ROLE versions_reader;
SELECT count(*) FROM strata.row_history('customers', '4');
SELECT count(*) FROM customers_as_of(now());
SELECT count(*) FROM strata.as_of(NULL::customers, now());
SELECT relation, excluded FROM strata.audited_tables;
SELECT DISTINCT relation FROM strata.audit_log;
SELECT refused(format('SELECT strata.restore_as_of(''customers'', %L)', :'before'));
SET ROLE versions_nobody;
SELECT refused($$SELECT * FROM strata.row_history('versions.customers', '4')$$);
SELECT refused($$SELECT * FROM strata._row_history('versions.customers', '4')$$);
SELECT refused($$SELECT * FROM strata.as_of(NULL::versions.customers, now())$$);
SELECT count(*) FROM strata.audit_log;
RESET ROLE;
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON customers FOR SELECT TO versions_reader USING (id = 1);
SET ROLE versions_reader;
SELECT refused($$SELECT * FROM strata.row_history('versions.customers', '4')$$);
SELECT refused($$SELECT * FROM strata.as_of(NULL::versions.customers, now())$$);
RESET ROLE;
SELECT strata.disable_audit(relation) FROM strata._audited_tables WHERE disabled_at IS NULL;
DROP SCHEMA versions CASCADE;
DROP ROLE versions_reader;
DROP ROLE versions_nobody;
SELECT strata._heal_catalog();

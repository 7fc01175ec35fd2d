-- The log: sealed without gaps, proven by RFC 9162 (checked here in SQL), and verified.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA log;
SET search_path = log, public;
CREATE FUNCTION node(one bytea, other bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT sha256('\x01'::bytea || one || other) $$;
CREATE FUNCTION holds(leaf bytea, log_index bigint, size bigint, proof bytea[], root bytea) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    fn bigint := log_index; sn bigint := size - 1; hash bytea := leaf; sibling bytea;
BEGIN
    FOREACH sibling IN ARRAY proof LOOP
        IF sn = 0 THEN RETURN false; END IF;
        IF fn % 2 = 1 OR fn = sn THEN
            hash := node(sibling, hash);
            WHILE fn % 2 = 0 AND fn <> 0 LOOP fn := fn / 2; sn := sn / 2; END LOOP;
        ELSE
            hash := node(hash, sibling);
        END IF;
        fn := fn / 2; sn := sn / 2;
    END LOOP;
    RETURN sn = 0 AND hash = root;
END
$$;
CREATE FUNCTION consistent(size1 bigint, size2 bigint, proof bytea[], root1 bytea, root2 bytea) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    fn bigint := size1 - 1; sn bigint := size2 - 1; one bytea; two bytea; sibling bytea;
BEGIN
    IF size1 = size2 THEN RETURN proof = '{}' AND root1 = root2; END IF;
    IF size1 & (size1 - 1) = 0 THEN proof := root1 || proof; END IF;
    WHILE fn % 2 = 1 LOOP fn := fn / 2; sn := sn / 2; END LOOP;
    one := proof[1]; two := proof[1];
    FOREACH sibling IN ARRAY proof[2:] LOOP
        IF sn = 0 THEN RETURN false; END IF;
        IF fn % 2 = 1 OR fn = sn THEN
            one := node(sibling, one); two := node(sibling, two);
            WHILE fn % 2 = 0 AND fn <> 0 LOOP fn := fn / 2; sn := sn / 2; END LOOP;
        ELSE
            two := node(two, sibling);
        END IF;
        fn := fn / 2; sn := sn / 2;
    END LOOP;
    RETURN sn = 0 AND one = root1 AND two = root2;
END
$$;
CREATE TABLE digests (size bigint PRIMARY KEY, root bytea, checkpoint text);
CREATE FUNCTION keep_digest() RETURNS void LANGUAGE sql AS $$ INSERT INTO digests SELECT size, root, checkpoint FROM strata.audit_digest() ON CONFLICT DO NOTHING $$;

CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT strata.enable_audit('t');
SELECT strata.seal_audit() > 0 AS sealed;
SELECT keep_digest();
SELECT strata.seal_audit();
-- sizes through a whole tile and more
CREATE PROCEDURE grow(until int) LANGUAGE plpgsql AS $$
BEGIN
    WHILE (SELECT max(size) FROM digests) < until LOOP
        FOR n IN 1..1 + (random() * 70)::int LOOP
            INSERT INTO t SELECT coalesce(max(id), 0) + 1, 'v' FROM t;
        END LOOP;
        PERFORM strata.seal_audit();
        PERFORM keep_digest();
    END LOOP;
END
$$;
SELECT (SELECT size FROM strata.audit_digest()) AS before \gset
CALL grow(:before + 600);
-- every root is that of the chunks' leaves, every leaf is proven, every digest follows on every earlier one
SELECT count(*) > 5 AS digests, bool_and(d.root = (
    SELECT strata._tree_root_of(array_agg(strata._chunk_leaf(c) ORDER BY e.log_index)) FROM strata._audit_entries e JOIN strata._audit_chunks c USING (chunk_id) WHERE e.log_index < d.size)) AS roots
FROM digests d;
SELECT count(*) > 600 AS leaves, bool_and(holds(p.leaf, p.log_index, p.size, p.proof, p.root)) AS proven,
       bool_or(holds(p.leaf, p.log_index + 1, p.size, p.proof, p.root)) AS proven_elsewhere
FROM strata._audit_entries e CROSS JOIN LATERAL strata.prove_inclusion(e.chunk_id) p;
SELECT count(*) > 15 AS pairs, bool_and(consistent(a.size, b.size, strata.prove_consistency(a.size, b.size), a.root, b.root)) AS consistent,
       bool_or(consistent(a.size, b.size, strata.prove_consistency(a.size, b.size), b.root, b.root)) FILTER (WHERE a.size < b.size) AS otherwise
FROM digests a JOIN digests b ON a.size <= b.size;
SELECT split_part(checkpoint, E'\n', 1) ~ '^pg_strata/[-0-9a-f]{36}$' AS origin, split_part(checkpoint, E'\n', 2)::bigint = size AS size,
       decode(split_part(checkpoint, E'\n', 3), 'base64') = root AS root FROM digests ORDER BY size DESC LIMIT 1;
SELECT refused('SELECT strata.prove_inclusion(0)');
SELECT regexp_replace(refused('SELECT strata.prove_consistency(2, 1)'), '\d+ leaves', 'n leaves');
SELECT regexp_replace(refused('SELECT strata.prove_consistency(1, 1000000000)'), '\d+ leaves', 'n leaves');
SELECT refused($$SELECT strata.verify_audit('nonsense')$$);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT refused('SELECT strata.seal_audit()');
ROLLBACK;

-- sound: against every digest, with and without unsealed chunks, in the middle of a transaction
SELECT count(*) FROM digests d CROSS JOIN LATERAL strata.verify_audit(d.checkpoint) v;
INSERT INTO t VALUES (-1, 'unsealed');
BEGIN;
UPDATE t SET v = 'open' WHERE id = -1;
SELECT * FROM strata.verify_audit();
COMMIT;
SELECT * FROM strata.verify_audit();
SELECT strata.seal_audit();

-- each mutation is found, and found to be what it is; then it is undone
CREATE FUNCTION tampered(VARIADIC statements text[]) RETURNS TABLE (fault text, place text, detail text) LANGUAGE plpgsql AS $$
DECLARE
    statement text;
BEGIN
    BEGIN
        FOREACH statement IN ARRAY statements LOOP EXECUTE statement; END LOOP;
        RETURN QUERY SELECT f.fault, regexp_replace((f.place - 'chunk_id' - 'log_index' - 'table' - 'size' - 'key_hash')::text, '_p\d{4}\w+', '_p'), regexp_replace(f.detail, ' \(.*| \d.*|log pg_strata.*', '')
            FROM strata.verify_audit((SELECT d.checkpoint FROM digests d ORDER BY d.size DESC LIMIT 1)) f ORDER BY 1, 2, 3;
        RAISE EXCEPTION USING ERRCODE = 'UE001';
    EXCEPTION WHEN SQLSTATE 'UE001' THEN
        NULL;
    END;
END
$$;
CREATE TABLE u (LIKE t INCLUDING ALL);
SELECT strata.enable_audit('u');
CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM (10) TO (20);
INSERT INTO p SELECT n, 'v' FROM generate_series(1, 15) n;
SELECT strata.enable_audit('p');
UPDATE p SET v = 'w' WHERE id = 5;
SELECT strata.seal_audit() > 0 AS sealed;
SELECT keep_digest();
-- a sealed chunk of t that is followed by another
CREATE TABLE chosen AS SELECT c.chunk_id AS chunk, e.log_index AS index FROM strata._audit_chunks c JOIN strata._audit_entries e USING (chunk_id)
    WHERE c.audit_id = (SELECT audit_id FROM strata._audited_tables WHERE relation = 't'::regclass) AND c.operation = 'insert' ORDER BY 1 LIMIT 1;
SELECT * FROM tampered('SELECT 1');
-- rows, with the triggers out of the way
SELECT * FROM tampered('ALTER TABLE t DISABLE TRIGGER strata_audit', 'UPDATE t SET v = ''forged'' WHERE id = 3', 'ALTER TABLE t ENABLE ALWAYS TRIGGER strata_audit');
SELECT * FROM tampered('ALTER TABLE t DISABLE TRIGGER strata_audit', 'DELETE FROM t WHERE id = 3', 'ALTER TABLE t ENABLE ALWAYS TRIGGER strata_audit');
SELECT * FROM tampered('ALTER TABLE t DISABLE TRIGGER strata_audit', 'INSERT INTO t VALUES (-2, ''forged'')', 'ALTER TABLE t ENABLE ALWAYS TRIGGER strata_audit');
-- edits that make up for each other, row by row and in sum
SELECT * FROM tampered('ALTER TABLE t DISABLE TRIGGER strata_audit', 'UPDATE t SET v = CASE id WHEN 3 THEN ''b'' ELSE ''a'' END WHERE id IN (3, 4)', 'ALTER TABLE t ENABLE ALWAYS TRIGGER strata_audit');
SELECT * FROM tampered('ALTER TABLE t DISABLE TRIGGER strata_audit', 'ALTER TABLE u DISABLE TRIGGER strata_audit',
    'WITH gone AS (DELETE FROM t WHERE id = 3 RETURNING *) INSERT INTO u SELECT * FROM gone', 'ALTER TABLE t ENABLE ALWAYS TRIGGER strata_audit', 'ALTER TABLE u ENABLE ALWAYS TRIGGER strata_audit');
-- under replica the triggers fire; downgraded by ENABLE TRIGGER ALL they would not
SELECT * FROM tampered('ALTER TABLE t DISABLE TRIGGER strata_audit');
SELECT * FROM tampered('ALTER TABLE t ENABLE TRIGGER ALL');
SELECT * FROM tampered('ALTER TABLE t ENABLE TRIGGER ALL', 'SET LOCAL session_replication_role = replica', 'UPDATE t SET v = ''forged'' WHERE id = 3');
SELECT * FROM tampered('ALTER TABLE t ENABLE TRIGGER ALL', 'SET LOCAL session_replication_role = replica', 'DELETE FROM t WHERE id = 3', 'INSERT INTO t VALUES (-2, ''forged'')');
SELECT * FROM tampered('SET LOCAL session_replication_role = replica', 'UPDATE t SET v = ''logged'' WHERE id = 3', 'DELETE FROM t WHERE id = 4', 'INSERT INTO t VALUES (-2, ''logged'')');
-- disabled and enabled again: nothing happened, and there is nothing to find
SELECT * FROM tampered('ALTER TABLE t DISABLE TRIGGER strata_audit', 'ALTER TABLE t ENABLE ALWAYS TRIGGER strata_audit');
SELECT * FROM tampered('DROP TRIGGER strata_audit ON t');
SELECT * FROM tampered('ALTER TABLE p_1 DISABLE TRIGGER strata_audit_truncate', 'TRUNCATE p_1');
SELECT * FROM tampered('ALTER TABLE p DETACH PARTITION p_1', 'UPDATE p_1 SET v = ''forged'' WHERE id = 2', 'ALTER TABLE p ATTACH PARTITION p_1 FOR VALUES FROM (0) TO (10)');
SELECT * FROM tampered('ALTER TABLE p DETACH PARTITION p_2');
SELECT * FROM tampered('ALTER TABLE p_2 DISABLE TRIGGER strata_audit', 'INSERT INTO p_2 VALUES (16, ''forged'')');
SELECT * FROM tampered('ALTER TABLE t ALTER v TYPE text USING CASE id WHEN 3 THEN ''forged'' ELSE v END');
SELECT * FROM tampered('ALTER TABLE t ALTER v TYPE varchar(100)');
SELECT * FROM tampered('ALTER TABLE t DROP COLUMN v');
-- the log
SELECT * FROM tampered('UPDATE strata._audit_chunks SET session_role = ''somebody'' WHERE chunk_id = (SELECT chunk FROM chosen)');
SELECT * FROM tampered('UPDATE strata._audit_chunks SET added = set_byte(added, 3, 255 - get_byte(added, 3)) WHERE chunk_id = (SELECT chunk FROM chosen)');
SELECT * FROM tampered('DELETE FROM strata._audit_chunks WHERE chunk_id = (SELECT chunk FROM chosen)');
SELECT * FROM tampered('DELETE FROM strata._audit_entries WHERE log_index = (SELECT index FROM chosen)');
-- two chunks in each other's place, by their ids, and by all but their ids
SELECT * FROM tampered('UPDATE strata._audit_chunks SET chunk_id = -1 WHERE chunk_id = (SELECT chunk FROM chosen)', 'UPDATE strata._audit_chunks SET chunk_id = (SELECT chunk FROM chosen) WHERE chunk_id = (SELECT chunk + 1 FROM chosen)',
    'UPDATE strata._audit_chunks SET chunk_id = (SELECT chunk + 1 FROM chosen) WHERE chunk_id = -1');
SELECT * FROM tampered('UPDATE strata._audit_chunks c SET added = o.added, added_root = o.added_root, added_keys = o.added_keys FROM strata._audit_chunks o, chosen h
    WHERE c.chunk_id IN (h.chunk, h.chunk + 1) AND o.chunk_id IN (h.chunk, h.chunk + 1) AND o.chunk_id <> c.chunk_id');
SELECT * FROM tampered('ALTER TABLE strata._audit_entries DROP CONSTRAINT _audit_entries_pkey',
    'UPDATE strata._audit_entries SET log_index = CASE log_index WHEN h.index THEN h.index + 1 ELSE h.index END FROM chosen h WHERE log_index IN (h.index, h.index + 1)');
SELECT * FROM tampered('INSERT INTO strata._audit_chunks SELECT (c).* FROM (SELECT jsonb_populate_record(c, jsonb_build_object(''chunk_id'', nextval(''strata._audit_chunk_id_seq''))) AS c
    FROM strata._audit_chunks c WHERE chunk_id = (SELECT chunk FROM chosen)) d');
SELECT * FROM tampered('UPDATE strata._audit_tiles SET hashes = set_byte(hashes, 40, 255 - get_byte(hashes, 40)) WHERE level = 0 AND tile_index = 0');
SELECT * FROM tampered('UPDATE strata._audit_tiles SET hashes = set_byte(hashes, 3, 255 - get_byte(hashes, 3)) WHERE level = 1');
SELECT * FROM tampered('UPDATE strata._audit_log SET root = sha256(root)');
SELECT * FROM tampered('UPDATE strata._audit_states SET state = set_byte(state, 100, 255 - get_byte(state, 100)) WHERE audit_id = (SELECT audit_id FROM strata._audited_tables WHERE relation = ''log.t''::regclass)');
SELECT * FROM tampered('DELETE FROM strata._audited_tables WHERE relation = ''log.u''::regclass');
-- the end cut off, everything in step
SELECT * FROM tampered('DELETE FROM strata._audit_chunks c USING strata._audit_entries e, strata._audit_log l WHERE e.chunk_id = c.chunk_id AND e.log_index = l.size - 1',
    'DELETE FROM strata._audit_entries e USING strata._audit_log l WHERE e.log_index = l.size - 1', 'UPDATE strata._audit_log SET size = size - 1, root = strata._tree_root(size - 1)');
-- the whole of it rewritten, everything in step: only the digest knows
SELECT * FROM tampered('UPDATE strata._audit_chunks SET session_role = ''somebody'' WHERE operation = ''insert''', 'DELETE FROM strata._audit_tiles', 'DELETE FROM strata._audit_entries',
    'DELETE FROM strata._audit_states', 'UPDATE strata._audit_log SET size = 0, root = NULL, horizon = 0', 'SELECT strata.seal_audit()');
SELECT * FROM tampered('UPDATE strata._audit_log SET origin = ''pg_strata/other''');
-- two digests of one size
SELECT fault, regexp_replace(detail, '\d+', 'n') AS detail FROM strata.verify_audit((SELECT split_part(checkpoint, E'\n', 1) || E'\n' || size || E'\n' || encode(sha256(root), 'base64') || E'\n' FROM digests ORDER BY size DESC LIMIT 1));
SELECT count(*) FROM strata.verify_audit((SELECT checkpoint FROM digests ORDER BY size DESC LIMIT 1));

-- health says so too
BEGIN;
CREATE TABLE p_3 PARTITION OF p FOR VALUES FROM (20) TO (30);
ALTER TABLE t DISABLE TRIGGER strata_audit;
UPDATE u SET v = v;
SELECT check_name, CASE WHEN check_name NOT IN ('audit_seal', 'audit_size') THEN object END AS object, status, hint FROM strata.health WHERE check_name LIKE 'audit%' ORDER BY 1, 2;
ROLLBACK;
-- whoever is no auditor does none of it
CREATE ROLE log_stranger;
CREATE ROLE log_auditor IN ROLE strata_auditor;
SET ROLE log_stranger;
SELECT refused('SELECT strata.seal_audit()');
SELECT refused('SELECT * FROM strata.verify_audit()');
SELECT refused('SELECT * FROM strata._verify_audit(NULL)');
SELECT refused('SELECT strata.audit_digest()');
SELECT refused('SELECT strata._audit_scan(''pg_class'')');
SET ROLE log_auditor;
SELECT strata.seal_audit();
SELECT * FROM strata.verify_audit();
SELECT refused('DELETE FROM strata._audit_chunks');
RESET ROLE;
SELECT strata.disable_audit(relation) FROM strata._audited_tables WHERE disabled_at IS NULL;
DROP SCHEMA log CASCADE;
DROP ROLE log_stranger;
DROP ROLE log_auditor;
SELECT * FROM strata.verify_audit();

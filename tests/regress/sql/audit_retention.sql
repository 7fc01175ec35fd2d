-- What retention does with audited tables: rows of partitions leave the log before they leave the table, and nothing hides in that.
\set VERBOSITY terse
CREATE SCHEMA kept;
SET search_path = kept, public;
SET client_min_messages = warning;
CREATE FUNCTION days_ago(days int) RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT date_trunc('day', now(), 'UTC') - days * interval '1 day' + interval '1 hour' $$;
CREATE FUNCTION faults() RETURNS TABLE (fault text, relation regclass, key text, detail text) LANGUAGE sql AS $$
    SELECT v.fault, v.relation, v.place ->> 'key', regexp_replace(v.detail, ' \(.*', '') FROM strata.verify_audit() v ORDER BY 1, 2, 3, 4 $$;
CREATE FUNCTION refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || regexp_replace(SQLERRM, '_p[0-9_]+', '_p…', 'g');
END
$$;
CREATE FUNCTION make_aging(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I (ts timestamptz NOT NULL, id int, v text, PRIMARY KEY (id, ts))', name);
    PERFORM strata.create_event_table(name::regclass, 'ts', premake => 1);
    PERFORM strata.ensure_partitions(name::regclass, days_ago(6), now());
    EXECUTE format('INSERT INTO %I SELECT days_ago(d), 10 * d + n, ''row '' || n FROM generate_series(0, 6) d, generate_series(1, 3) n', name);
    PERFORM strata.enable_audit(name::regclass);
END
$$;

SELECT make_aging('aging');
UPDATE aging SET v = 'changed' WHERE id IN (61, 51);
DELETE FROM aging WHERE id = 62;
SELECT strata.alter_event_table('aging', retention => '2 days', accept_past => '1 day');
CALL strata.maintain_partitions('aging');
SELECT count(*) FROM strata.expired_partitions('aging');
SELECT count(*), min(id) FROM aging;
SELECT operation, sum(added) AS added, sum(removed) AS removed FROM strata.audit_log WHERE relation = 'aging'::regclass GROUP BY operation ORDER BY operation;
SELECT detail::jsonb ->> 'partition' ~ '^kept.aging_p' AS named, (detail::jsonb ->> 'upper')::timestamptz - (detail::jsonb ->> 'lower')::timestamptz AS width
FROM strata.audit_log WHERE relation = 'aging'::regclass AND operation = 'expired' LIMIT 1;
SELECT action, count(*) FROM strata.retention_log WHERE relation = 'kept.aging' AND action IN ('expired', 'dropped') GROUP BY action ORDER BY action;
-- old versions stay, rows that went with their partition leave none
SELECT id, v, strata_operation AS operation FROM aging_history ORDER BY id;
SELECT * FROM faults();
SELECT count(*) FROM strata._audit_expired;

-- what was done to rows before they expired is found afterwards, too
SELECT make_aging('tampered');
SET session_replication_role = replica;
ALTER TABLE tampered DISABLE TRIGGER strata_audit;
UPDATE tampered SET v = 'forged' WHERE id = 61;
DELETE FROM tampered WHERE id = 52;
INSERT INTO tampered VALUES (days_ago(4), 49, 'from nowhere');
ALTER TABLE tampered ENABLE ALWAYS TRIGGER strata_audit;
RESET session_replication_role;
SELECT fault, count(*) FROM faults() GROUP BY fault ORDER BY fault;
SELECT strata.alter_event_table('tampered', retention => '2 days', accept_past => '1 day');
CALL strata.maintain_partitions('tampered');
SELECT count(*), min(id) FROM tampered;
SELECT fault, relation, key IS NOT NULL AS with_key, detail FROM faults();
SELECT strata.enable_audit('tampered');
SELECT * FROM faults();

-- between the steps
SELECT make_aging('steps');
SELECT strata.alter_event_table('steps', retention => '5 days', accept_past => '1 day');
SELECT strata._seal_expired('steps'), strata._seal_expired('steps');
SELECT strata._freeze_expired('steps') IS NOT NULL AS frozen;
SELECT count(*) FROM strata._detachable('steps');
SELECT strata._expire_audited('steps') AS going;
SELECT refused('DELETE FROM steps WHERE id = 61');
SELECT refused('UPDATE steps SET v = NULL');
SELECT refused('TRUNCATE steps');
SELECT refused($$DELETE FROM steps WHERE ts > days_ago(5) AND id = 43$$);
SELECT * FROM faults();
SELECT count(*) FROM strata._detachable('steps');
SELECT strata._expire_audited('steps') AS gone;
SELECT strata._expire_audited('steps') AS nothing_left;
-- its rows are there still, and not the log's affair
SELECT refused('DELETE FROM steps WHERE id = 61');
SELECT count(*) FROM steps WHERE ts < days_ago(5);
SELECT * FROM faults();
DO $$ BEGIN EXECUTE format('ALTER TABLE %s DROP CONSTRAINT strata_expired', (SELECT partition FROM strata._audit_expired)); END $$;
SELECT refused($$INSERT INTO steps VALUES (days_ago(6), 66)$$);
DO $$ BEGIN EXECUTE format('ALTER TABLE %s ADD CONSTRAINT strata_expired CHECK (false) NOT VALID', (SELECT partition FROM strata._audit_expired)); END $$;
-- a new baseline begins without them
SELECT strata.enable_audit('steps');
SELECT * FROM faults();
-- longer retention brings nothing back that has left the log
SELECT strata.alter_event_table('steps', retention => '30 days');
CALL strata.maintain_partitions('steps');
SELECT count(*) FROM steps WHERE ts < days_ago(5);
SELECT * FROM faults();

-- a table that is released keeps what was to go, and logs it
SELECT strata.alter_event_table('steps', retention => '4 days');
SELECT strata._seal_expired('steps');
SELECT strata._freeze_expired('steps') IS NOT NULL AS frozen;
SELECT strata._expire_audited('steps'), strata._expire_audited('steps');
SELECT strata.release_event_table('steps');
SELECT count(*) FROM steps WHERE ts < days_ago(4);
SELECT * FROM faults();
DELETE FROM steps WHERE ts < days_ago(4);
SELECT * FROM faults();

-- rows that come with a partition are logged
SELECT make_aging('joined');
CREATE TABLE older (ts timestamptz NOT NULL, id int, v text, PRIMARY KEY (id, ts));
INSERT INTO older SELECT days_ago(9), n, 'older' FROM generate_series(1, 4) n;
SELECT strata.attach_partition('joined', 'older');
SELECT operation, added FROM strata.audit_log WHERE relation = 'joined'::regclass AND operation = 'attached';
SELECT * FROM faults();

-- an archive that is asked for comes first
SELECT strata.alter_event_table('joined', retention => '5 days', accept_past => '1 day', archive_required => true);
CALL strata.maintain_partitions('joined');
SELECT DISTINCT blocked_by FROM strata.expired_partitions('joined');
SELECT count(*) FROM strata._audit_expired;
SELECT strata.confirm_archive('joined', partition) FROM strata.expired_partitions('joined') ORDER BY upper LIMIT 1;
CALL strata.maintain_partitions('joined');
SELECT DISTINCT blocked_by FROM strata.expired_partitions('joined');
SELECT count(*) FROM joined WHERE v = 'older';
SELECT * FROM faults();

-- a partition that is detached by hand is told of once, one that is dropped row by row; whoever looked into it says so in the log
SELECT make_aging('handled');
DO $$ BEGIN
    EXECUTE format('ALTER TABLE handled DETACH PARTITION %s', (SELECT tableoid::regclass FROM handled WHERE id = 41));
    EXECUTE format('ALTER TABLE handled DETACH PARTITION %s', (SELECT tableoid::regclass FROM handled WHERE id = 51));
    EXECUTE format('DROP TABLE %s', (SELECT tableoid::regclass FROM handled WHERE id = 31));
END $$;
SET session_replication_role = replica;
ALTER TABLE handled DISABLE TRIGGER strata_audit;
UPDATE handled SET v = 'forged' WHERE id = 21;
INSERT INTO handled VALUES (days_ago(1), 19, 'from nowhere');
ALTER TABLE handled ENABLE ALWAYS TRIGGER strata_audit;
RESET session_replication_role;
SELECT fault, place ->> 'rows' AS rows, place ->> 'partition' ~ 'handled_p' AS named, regexp_replace(detail, ' \(.*|_p[0-9_]+', '…', 'g') AS detail FROM strata.verify_audit() ORDER BY 1, 2, 4;
SELECT refused($$SELECT strata.acknowledge_audit('handled', ' ')$$);
SELECT refused($$SELECT strata.acknowledge_audit('pg_class', 'why')$$);
CREATE ROLE kept_nobody;
GRANT USAGE ON SCHEMA kept TO kept_nobody;
SET ROLE kept_nobody;
SELECT refused($$SELECT strata.acknowledge_audit('kept.handled', 'why')$$);
RESET ROLE;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT refused($$SELECT strata.acknowledge_audit('handled', 'why')$$);
ROLLBACK;
SELECT * FROM strata.acknowledge_audit('handled', 'partitions went to the archive');
SELECT operation, added, removed, detail FROM strata.audit_log WHERE relation = 'handled'::regclass AND operation = 'acknowledged' ORDER BY chunk_id;
SELECT * FROM faults();
UPDATE handled SET v = 'lawful' WHERE id IN (21, 19);
DELETE FROM handled WHERE id = 22;
SELECT * FROM faults();
SELECT * FROM strata.acknowledge_audit('handled', 'nothing to say');
-- what expired otherwise than the log had it, too
SELECT make_aging('mended');
ALTER TABLE mended DISABLE TRIGGER strata_audit;
UPDATE mended SET v = 'forged' WHERE id = 61;
ALTER TABLE mended ENABLE ALWAYS TRIGGER strata_audit;
SELECT strata.alter_event_table('mended', retention => '5 days', accept_past => '1 day');
CALL strata.maintain_partitions('mended');
SELECT * FROM faults();
SELECT * FROM strata.acknowledge_audit('mended', 'it was us');
SELECT * FROM faults();

SET client_min_messages = error;
DROP SCHEMA kept CASCADE;
DROP ROLE kept_nobody;
SELECT strata._heal_catalog();

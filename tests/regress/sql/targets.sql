-- Ordinary tables as targets of changes.
CREATE SCHEMA targets;
SET search_path = targets, public;
CREATE TABLE users (id bigint PRIMARY KEY, name varchar(20) NOT NULL DEFAULT 'x', n numeric(5, 2) CHECK (n > 0));
CREATE TABLE keyless (id bigint);
CREATE TABLE events (ts timestamptz NOT NULL);
SELECT strata.create_event_table('events', 'ts');
SELECT strata.create_target_table('users');
SELECT relation, key FROM strata.target_tables;

SELECT public.refused($$SELECT strata.create_target_table('users')$$);
SELECT public.refused($$SELECT strata.create_target_table('events')$$);
SELECT public.refused($$SELECT strata.create_target_table('keyless')$$);
SELECT public.refused($$SELECT strata.create_target_table('pg_catalog.pg_tables')$$);
SELECT public.refused($$SELECT strata.release_target_table('keyless')$$);

-- who is granted ingestion may change rows, and keep its progress beside them
CREATE ROLE targets_sidecar;
GRANT USAGE ON SCHEMA targets TO targets_sidecar;
SET ROLE targets_sidecar;
SELECT relation FROM strata.target_tables;
SELECT public.refused($$SELECT strata._claim_shard('users', 's', 'shard-1', 'w', 10000, 'TRIM_HORIZON')$$);
RESET ROLE;
SELECT strata.grant_ingest('users', 'targets_sidecar');
SET ROLE targets_sidecar;
SELECT relation, key FROM strata.target_tables;
SELECT claimed, epoch FROM strata._claim_shard('users', 's', 'shard-1', 'w', 10000, 'TRIM_HORIZON');
SELECT strata._make_stage('users', '{id,name,n}') = format('pg_temp.strata_stage_%s', 'users'::regclass::oid) AS made;
SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
WHERE attrelid = format('pg_temp.strata_stage_%s', 'users'::regclass::oid)::regclass AND attnum > 0 ORDER BY attnum;
BEGIN;
INSERT INTO users VALUES (1, 'a', 1);
SELECT strata._add_dead_letters('users', 0, '{s}', '{shard-1}', '{7}', '{0}', '{k}', '{now}', '{because}', '{22P02}', '{n}', '{"\\x00"}', '{1}');
SELECT * FROM strata._advance_checkpoints('users', 0, '{s}', '{shard-1}', '{1}', '{NULL}', '{5}', '{7}', '{now}', '{1}', '{false}');
COMMIT;
-- the fence
SELECT * FROM strata._advance_checkpoints('users', 0, '{s}', '{shard-1}', '{9}', '{7}', '{8}', '{9}', '{now}', '{1}', '{false}');
SELECT relation, shard, sequence_number, rows, worker FROM strata.shards WHERE relation = 'users'::regclass;
SELECT relation, reason, sqlstate, column_name FROM strata.dead_letters WHERE relation = 'users'::regclass;
SELECT check_name, object, status, value FROM strata.health WHERE object = 'users';
SELECT strata._release_leases('w') >= 1 AS released;
RESET ROLE;
SELECT strata.purge_dead_letters('users') AS purged;
SELECT strata.revoke_ingest('users', 'targets_sidecar');
SELECT has_table_privilege('targets_sidecar', 'users', 'SELECT, INSERT, UPDATE, DELETE') AS may;

-- released, nothing is left but the table; dropped, the catalog heals
SELECT strata.release_target_table('users');
SELECT count(*) FROM strata._checkpoints WHERE table_id NOT IN (SELECT table_id FROM strata._ingested_tables);
SELECT * FROM users;
SELECT strata.create_target_table('users');
DROP TABLE users;
SELECT strata._heal_catalog();
SELECT count(*) FROM strata._target_tables;
-- made an event table, it is one
CREATE TABLE both_kinds (id bigint, ts timestamptz, PRIMARY KEY (id, ts));
SELECT strata.create_target_table('both_kinds');
SELECT strata.create_event_table('both_kinds', 'ts');
SELECT relation FROM strata.target_tables;
DROP TABLE both_kinds;
DROP TABLE events;
SELECT strata._heal_catalog();
DROP OWNED BY targets_sidecar;
DROP ROLE targets_sidecar;

-- Small promises of upkeep: what is taken back, what is asked for, and tables that are gone meanwhile.
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE SCHEMA upkeep;
SET search_path = upkeep, public;
CREATE ROLE upkeep_owner;
GRANT ALL ON SCHEMA upkeep TO upkeep_owner;
SET ROLE upkeep_owner;
CREATE TABLE kept (ts timestamptz NOT NULL, v int);
SELECT strata.create_event_table('kept', 'ts', premake => 1);

-- what grant_ingest gave an owner was his before
SELECT strata.grant_ingest('kept', 'upkeep_owner');
SELECT strata.revoke_ingest('kept', 'upkeep_owner');
INSERT INTO kept VALUES (now(), 1);
SELECT has_table_privilege('upkeep_owner', 'kept', 'INSERT') AS may_insert;
RESET ROLE;
SELECT count(*) AS grants FROM strata._ingest_grants;

-- premake is judged by how far partitions reach, as maintenance makes them
CREATE VIEW ahead AS SELECT status, hint FROM strata.health WHERE check_name = 'partitions_ahead' AND object = 'kept';
SELECT * FROM ahead;
SELECT strata.alter_event_table('kept', partition_interval => '1 hour', premake => 30);
CALL strata.maintain_partitions('kept');
SELECT * FROM ahead;
SELECT strata.alter_event_table('kept', partition_interval => '1 day', premake => 3);
SELECT * FROM ahead;
DO $$
DECLARE
    leaf regclass;
BEGIN
    FOR leaf IN SELECT partition FROM strata.partitions WHERE relation = 'kept'::regclass AND state = 'ahead' LOOP
        EXECUTE format('ALTER TABLE kept DETACH PARTITION %s', leaf);
        EXECUTE format('DROP TABLE %s', leaf);
    END LOOP;
END
$$;
SELECT * FROM ahead;
CALL strata.maintain_partitions('kept');
SELECT * FROM ahead;
-- without premake the partition of this moment is what there must be
SELECT strata.alter_event_table('kept', premake => 0);
SELECT * FROM ahead;
-- a partition far ahead does not stand for those that are missing before it
SELECT strata.alter_event_table('kept', premake => 9, accept_future => '30 days');
SELECT strata.ensure_partitions('kept', now() + interval '20 days', now() + interval '20 days');
SELECT * FROM ahead;
CALL strata.maintain_partitions('kept');
SELECT * FROM ahead;
-- sizes are PostgreSQL's own, with indexes, TOAST and sub-partitions, though no lock is taken for them
CREATE TABLE sized (ts timestamptz NOT NULL, k int, long text, PRIMARY KEY (k, ts));
SELECT strata.create_event_table('sized', 'ts', premake => 1, subpartition_by => 'k', subpartitions => 3);
INSERT INTO sized SELECT now(), n, (SELECT string_agg(md5(n || '-' || i), '') FROM generate_series(1, 200) i) FROM generate_series(1, 50) n;
SELECT count(*), bool_and(p.bytes = t.bytes) AS the_same, max(p.bytes) > 250000 AS all_of_it FROM strata.partitions p,
    LATERAL (SELECT sum(pg_total_relation_size(r.relid)) AS bytes FROM pg_partition_tree(p.partition) r) t WHERE p.relation = 'sized'::regclass;

-- dropped between the steps of its maintenance: nothing is left to do, and only who named it hears of it
CREATE TABLE gone (ts timestamptz NOT NULL, v int);
SELECT strata.create_event_table('gone', 'ts', premake => 1, retention => '30 days');
SELECT strata.create_rollup('gone_by_day', 'gone', '1 day', '{}', ARRAY['count(*) AS n']);
SELECT 'gone'::regclass::oid AS gone, strata._maintenance_steps('gone') AS steps \gset
DROP TABLE gone CASCADE;
SELECT step, strata._try_step(:gone, step, true) FROM unnest(:'steps'::text[]) AS step;
SELECT strata._try_steps(:gone, true);
CREATE FUNCTION named(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ': ' || SQLERRM;
END
$$;
SELECT step, named(format('SELECT strata._try_step(%s, %L, false)', :gone, step)) FROM unnest(:'steps'::text[]) AS step;
SELECT named(format('SELECT strata._try_steps(%s, false)', :gone));
-- errors of tables that are there are errors still
SELECT named(format('SELECT strata._try_steps(%L, true)', 'ahead'));
CALL strata.maintain_partitions();

\set VERBOSITY default
DROP SCHEMA upkeep CASCADE;
CALL strata.maintain_partitions();
SELECT count(*) FROM strata.event_tables;
DROP ROLE upkeep_owner;

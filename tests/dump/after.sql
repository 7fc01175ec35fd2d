-- In the restored database: equal at once, and equal still when work goes on.
\set ON_ERROR_STOP 1
CREATE FUNCTION pg_temp.compare(rollup regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    -- below, groups are frozen and rows may be gone
    exact text := (SELECT format('bucket >= %L', coalesce(max(e.retained_from), '-infinity')) FROM strata.rollups r JOIN strata.event_tables e ON e.relation = r.source
                   WHERE r.rollup = compare.rollup AND isfinite(e.retained_from));
    wrong bigint;
    compared bigint;
BEGIN
    EXECUTE format('WITH expected AS MATERIALIZED (SELECT * FROM (%s) q WHERE %s), found AS MATERIALIZED (SELECT * FROM %s q WHERE %2$s) '
        'SELECT (SELECT count(*) FROM (SELECT * FROM expected EXCEPT ALL SELECT * FROM found) d) '
        '+ (SELECT count(*) FROM (SELECT * FROM found EXCEPT ALL SELECT * FROM expected) d), (SELECT count(*) FROM expected)',
        rtrim(strata.rollup_query(rollup), ';'), exact, rollup) INTO wrong, compared;
    IF wrong > 0 OR compared = 0 THEN
        RAISE EXCEPTION '% of % groups of % differ', wrong, compared, rollup;
    END IF;
    EXECUTE format('SELECT count(*) FROM ((SELECT * FROM %1$s EXCEPT ALL SELECT * FROM strata.rollup_lookup(NULL::%1$s, ''{}'')) '
        'UNION ALL (SELECT * FROM strata.rollup_lookup(NULL::%1$s, ''{}'') EXCEPT ALL SELECT * FROM %1$s)) d', rollup) INTO wrong;
    IF wrong > 0 THEN
        RAISE EXCEPTION '% groups of % differ when looked up', wrong, rollup;
    END IF;
END
$$;
CREATE PROCEDURE pg_temp.work_on(n int) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.compare(r.rollup) FROM strata.rollups r WHERE r.suspended_at IS NULL;
    INSERT INTO work.events (ts, k, v) VALUES (now(), 1, 1), (now(), 6, 2);
    UPDATE work.events SET k = 2 WHERE k = 5;
    INSERT INTO work.wall VALUES (now() AT TIME ZONE 'America/New_York', n, 1);
    DELETE FROM work.wall WHERE v = n;
    INSERT INTO work."Days ""of"" Wörk" VALUES ((now() AT TIME ZONE 'UTC')::date, -n, 1);
    UPDATE work."Days ""of"" Wörk" SET k = k - 500 WHERE k = 100 * n;
    INSERT INTO work.ids VALUES (work.id_at(now(), 1000 + n), n, -1);
    DELETE FROM work.ids WHERE k % 11 = n;
    INSERT INTO work.pruned VALUES (now(), n);
    INSERT INTO work.going VALUES (now(), n);
    PERFORM pg_temp.compare(r.rollup) FROM strata.rollups r WHERE r.suspended_at IS NULL;
    COMMIT;
    PERFORM strata.refresh_rollup(r.rollup) FROM strata.rollups r WHERE r.rollup <> 'work.empty'::regclass OR n > 1;
    PERFORM pg_temp.compare(r.rollup) FROM strata.rollups r WHERE r.suspended_at IS NULL;
    COMMIT;
END
$$;
CREATE FUNCTION pg_temp.expect(what text, holds boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF holds IS NOT TRUE THEN
        RAISE EXCEPTION 'after the restore: not %', what;
    END IF;
END
$$;
CREATE FUNCTION pg_temp.critical() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    row record;
BEGIN
    FOR row IN SELECT * FROM strata.health WHERE status = 'critical' LOOP
        RAISE EXCEPTION 'health after the restore: %', row;
    END LOOP;
END
$$;

-- what was there is there, before anything has healed it
SELECT pg_temp.critical();
SELECT pg_temp.expect('every event table', (SELECT array_agg(time_type ORDER BY relation::text) FROM strata.event_tables)
    = '{date,timestamptz,timestamptz,timestamptz,uuid,timestamptz,timestamp}'::text[]::regtype[]);
SELECT pg_temp.expect('sub-partitions', (SELECT subpartition_by = 'id' AND subpartitions = 3 FROM strata.event_tables WHERE relation = 'work.ids'::regclass));
SELECT pg_temp.expect('every batch verified', (SELECT count(*) = 0 FROM strata.verify_batches('work.events')));
SELECT pg_temp.expect('checksums and checkpoints', (SELECT count(*) = 1 FROM strata._batch_checksums) AND (SELECT count(*) = 2 FROM strata.shards));
SELECT pg_temp.expect('the grants to the sidecar', (SELECT count(*) = 2 FROM strata._ingest_grants WHERE role = 'work_sidecar'::regrole));
SELECT pg_temp.expect('the target of changes with its key', (SELECT key = '{region,id}' FROM strata.target_tables WHERE relation = 'work.profiles'::regclass));
SELECT pg_temp.expect('how far its source was read', (SELECT sequence_number = '7' AND rows = 2 FROM strata.shards WHERE relation = 'work.profiles'::regclass));
SELECT pg_temp.expect('merged batches', (SELECT sum(batches) = 3 FROM strata.merged_batches WHERE relation = 'work.pruned'::regclass));
SELECT pg_temp.expect('announcements', (SELECT count(*) = 2 FROM strata._detached_partitions
    WHERE table_id IN (SELECT table_id FROM strata._event_tables JOIN pg_class ON oid = relation) AND EXISTS (SELECT FROM pg_class WHERE oid = partition)));
SELECT pg_temp.expect('seals', (SELECT count(*) = 6 FROM strata.partitions WHERE state = 'sealed'));
SELECT pg_temp.expect('the override', (SELECT count(*) = 1 FROM strata._retention_overrides) AND (SELECT count(*) = 1 FROM strata._archived_partitions));
SELECT pg_temp.expect('a log of retention', (SELECT bool_or(action = 'overridden' AND reason = 'the bucket is full') FROM strata.retention_log));
SELECT pg_temp.expect('readers of every rollup', (SELECT bool_and((SELECT count(*) FROM strata._readers(r.storage)) = 2) FROM strata._rollups r));
SELECT pg_temp.expect('one suspended rollup', (SELECT array_agg(rollup::text) = '{work.asleep}' FROM strata.rollups WHERE suspended_at IS NOT NULL));
SELECT pg_temp.expect('a backfill half done', (SELECT isfinite(filled_from) FROM strata._rollup_progress JOIN strata._rollups USING (rollup_id) WHERE rollup = 'work.half'::regclass));
SELECT pg_temp.expect('frozen buckets', (SELECT count(*) FILTER (WHERE bucket IS NOT NULL) > 0 FROM work.frozen)
    AND NOT EXISTS (SELECT * FROM work.frozen EXCEPT SELECT * FROM work.going_by_k));

-- the audit log is the same, and goes on
CREATE FUNCTION pg_temp.faults() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM strata.verify_audit((SELECT checkpoint FROM work.digest)) $$;
SELECT pg_temp.expect('a sound audit log', pg_temp.faults() = 0);
SELECT pg_temp.expect('old versions', (SELECT count(*) = 12 FROM work.accounts_history));
SELECT pg_temp.expect('a pruned log', (SELECT kept_from IS NOT NULL FROM strata.audited_tables WHERE relation = 'work.kept'::regclass)
    AND (SELECT count(*) = 1 FROM work.kept_history));
DO $$ BEGIN
    PERFORM FROM work.kept_as_of('2020-01-01');
    RAISE 'rows of before a log was pruned';
EXCEPTION WHEN SQLSTATE 'ST016' THEN NULL;
END $$;
SELECT pg_temp.expect('an erased row', (SELECT name IS NULL AND mail IS NULL FROM work.people WHERE id = 'a')
    AND (SELECT bool_and(erased IS NOT NULL) FROM strata.row_history('work.people', 'a') WHERE operation IS NOT NULL)
    AND (SELECT count(*) = 1 FROM strata.audit_salts('work.people')));
SELECT pg_temp.expect('another row erased', (SELECT rows = 1 AND versions = 2 FROM strata.erase('work.people', 'b')) AND pg_temp.faults() = 0);
UPDATE work.accounts SET level = 'lowest' WHERE id = 101;
INSERT INTO work.accounts (id, name, level) VALUES (102, 'new', 'high');
SELECT pg_temp.expect('an audit log that goes on', pg_temp.faults() = 0 AND (SELECT count(*) = 13 FROM work.accounts_history));
SELECT pg_temp.expect('a seal of what is new', strata.seal_audit() = 5 AND pg_temp.faults() = 0);
UPDATE strata._audit_chunks SET session_role = 'forged' WHERE chunk_id = (SELECT max(chunk_id) FROM strata._audit_chunks);
SELECT pg_temp.expect('a log that alarms', pg_temp.faults() = 1);
UPDATE strata._audit_chunks SET session_role = 'postgres' WHERE chunk_id = (SELECT max(chunk_id) FROM strata._audit_chunks);

-- work goes on: ingestion, changes, refresh, and what was half done is done
CALL pg_temp.work_on(1);
CALL pg_temp.work_on(2);
SELECT strata.resume_rollup('work.asleep');
CALL strata.refresh_rollups('work.events');
CALL pg_temp.work_on(3);
CALL strata.maintain_partitions();
CALL pg_temp.work_on(4);
-- (a record is made behind the horizon, and has to be sealed)
SELECT strata.seal_audit();
SELECT strata.seal_audit();
CALL strata.maintain_partitions();
SELECT strata.seal_audit();
CALL strata.maintain_partitions();
SELECT pg_temp.expect('a log that is pruned on', pg_temp.faults() = 0 AND (SELECT count(*) = 0 FROM work.kept_history));
SELECT pg_temp.expect('the backfill done', (SELECT bool_and(filled_from = '-infinity') FROM strata._rollup_progress));
SELECT pg_temp.expect('retention done', (SELECT count(*) = 0 FROM strata._detached_partitions)
    AND (SELECT count(*) = 0 FROM strata.partitions WHERE relation = 'work.going'::regclass AND state = 'sealed')
    AND (SELECT count(*) = 3 FROM pg_tables WHERE schemaname = 'work' AND tablename LIKE 'archived_p%' AND tablename IN
         (SELECT split_part(partition::text, '.', 2) FROM strata.partitions WHERE state = 'sealed')));
SELECT pg_temp.expect('frozen buckets', NOT EXISTS (SELECT * FROM work.frozen EXCEPT SELECT * FROM work.going_by_k));
CALL strata.maintain_partitions();
CALL pg_temp.work_on(5);
CALL strata.maintain_partitions();
SELECT pg_temp.expect('a ledger that is pruned further', (SELECT sum(batches) > 3 FROM strata.merged_batches WHERE relation = 'work.pruned'::regclass));
SELECT strata.ensure_partitions('work.events', now() - interval '6 days', now());
SELECT pg_temp.critical();

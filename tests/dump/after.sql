-- In the restored database: equal at once, and equal still when work goes on.
\set ON_ERROR_STOP 1
CREATE FUNCTION pg_temp.compare(rollup regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wrong bigint;
    compared bigint;
BEGIN
    EXECUTE format('WITH expected AS MATERIALIZED (%s), found AS MATERIALIZED (SELECT * FROM %s) '
        'SELECT (SELECT count(*) FROM (SELECT * FROM expected EXCEPT ALL SELECT * FROM found) d) '
        '+ (SELECT count(*) FROM (SELECT * FROM found EXCEPT ALL SELECT * FROM expected) d), (SELECT count(*) FROM expected)',
        rtrim(strata.rollup_query(rollup), ';'), rollup) INTO wrong, compared;
    IF wrong > 0 OR compared = 0 THEN
        RAISE EXCEPTION '% of % groups of % differ', wrong, compared, rollup;
    END IF;
END
$$;
CREATE PROCEDURE pg_temp.work_on() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.compare('work.by_k'), pg_temp.compare('work.by_hour');
    INSERT INTO work.events (ts, k, v) VALUES (now(), 1, 1), (now(), 6, 2);
    UPDATE work.events SET k = 2 WHERE k = 5;
    PERFORM pg_temp.compare('work.by_k'), pg_temp.compare('work.by_hour');
    COMMIT;
    PERFORM strata.refresh_rollup('work.by_k'), strata.refresh_rollup('work.by_hour');
    PERFORM pg_temp.compare('work.by_k'), pg_temp.compare('work.by_hour');
    COMMIT;
END
$$;
DO $$
BEGIN
    IF (SELECT count(*) FROM strata.verify_batches('work.events')) > 0 THEN
        RAISE EXCEPTION 'a streamed batch does not verify after the restore';
    ELSIF (SELECT count(*) FROM strata._batch_checksums) <> 1 OR (SELECT count(*) FROM strata.shards) <> 1 THEN
        RAISE EXCEPTION 'checksums or checkpoints were lost';
    END IF;
END
$$;
CALL pg_temp.work_on();
CALL pg_temp.work_on();
CALL pg_temp.work_on();
CALL strata.maintain_partitions('work.events');
SELECT strata.ensure_partitions('work.events', now() - interval '6 days', now());
SELECT count(*) FROM strata.health WHERE status = 'critical' \gset critical_
SELECT 1 / (CASE WHEN :critical_count = 0 THEN 1 ELSE 0 END) AS healthy;

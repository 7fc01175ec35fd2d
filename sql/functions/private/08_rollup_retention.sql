-- Retention of rollups themselves. kept_from, a bucket boundary that only moves forward, is where a rollup begins: what lies
-- below is not shown from the moment it has moved on, and goes from storage when a whole partition lies below. Rows that
-- are still there below it do not count any more (exact_from moves along); groups above it whose rows are gone stay.

CREATE FUNCTION strata._check_rollup_retention(retention interval) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF retention <= interval '0' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('retention must be positive, not %s', retention),
            HINT = 'Write for instance ''2 years''; without one a rollup keeps its groups for ever.';
    END IF;
END
$$;
COMMENT ON FUNCTION strata._check_rollup_retention(interval) IS 'Raises 22023 for a retention that would keep nothing.';

CREATE FUNCTION strata._trim_target(event_table strata._event_tables, rollup strata._rollups) RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._bucket_lower(rollup, strata._axis_shift(event_table, strata._axis_now(event_table), - (rollup).retention)) $$;
REVOKE ALL ON FUNCTION strata._trim_target(strata._event_tables, strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._trim_target(strata._event_tables, strata._rollups) IS
'Where a rollup may begin by its own retention: the start of the oldest bucket with something to keep; NULL without retention.';

CREATE FUNCTION strata._trim_rollups(relation regclass) RETURNS int
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._trim_next(strata._authorize(relation, 'INGEST')) $$;
COMMENT ON FUNCTION strata._trim_rollups(regclass) IS
'Moves the beginning of the next rollup of an event table that its own retention asks it of, or drops the next storage partition that lies below; returns 1, or 0 if there is nothing of the kind. Call it until it returns 0.';

CREATE FUNCTION strata._trim_next(relation regclass) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    rollup strata._rollups;
    gone record;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    IF NOT EXISTS (SELECT FROM strata._to_trim(event_table) t) AND NOT EXISTS (SELECT FROM strata._trimmed_partitions(event_table)) THEN
        RETURN 0;
    END IF;
    event_table := strata._lock_event_table(relation);
    SELECT t.* INTO rollup FROM strata._to_trim(event_table) t ORDER BY t.rollup_id LIMIT 1;
    IF FOUND THEN
        PERFORM strata._trim_rollup(event_table, rollup);
        RETURN 1;
    END IF;
    SELECT p.* INTO gone FROM strata._trimmed_partitions(event_table) p ORDER BY p.rollup_id, p.lower LIMIT 1;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    -- A refresh that has begun may be about to write there; the next one sees that nothing below counts.
    PERFORM FROM strata._rollup_progress p WHERE p.rollup_id = gone.rollup_id FOR NO KEY UPDATE;
    INSERT INTO strata._retention_log (relation, action, partition, lower_time, upper_time, bytes, rows_estimated)
    SELECT gone.rollup::text, 'dropped', gone.partition::text,
           strata._from_axis(event_table.time_type, event_table.timezone, gone.lower), strata._from_axis(event_table.time_type, event_table.timezone, gone.upper),
           strata._partition_bytes(gone.partition), (SELECT nullif(c.reltuples::bigint, -1) FROM pg_class c WHERE c.oid = gone.partition);
    PERFORM strata._execute_as(strata._owner(relation), format('DROP TABLE %s', gone.partition));
    RETURN 1;
END
$$;
COMMENT ON FUNCTION strata._trim_next(regclass) IS 'The writing half of _trim_rollups.';

CREATE FUNCTION strata._trim_rollup(event_table strata._event_tables, rollup strata._rollups) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target timestamptz := strata._trim_target(event_table, rollup);
BEGIN
    UPDATE strata._rollups r SET kept_from = target, exact_from = greatest(r.exact_from, target) WHERE r.rollup_id = rollup.rollup_id;
    INSERT INTO strata._retention_log (relation, action, lower_time, upper_time)
    VALUES (rollup.rollup::text, 'trimmed',
        CASE WHEN isfinite(rollup.kept_from) THEN strata._from_axis(event_table.time_type, event_table.timezone, rollup.kept_from) END, strata._from_axis(event_table.time_type, event_table.timezone, target));
END
$$;
REVOKE ALL ON FUNCTION strata._trim_rollup(strata._event_tables, strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._trim_rollup(strata._event_tables, strata._rollups) IS
'Lets a rollup begin where its retention says. The event table''s catalog row is locked.';

CREATE FUNCTION strata._to_trim(event_table strata._event_tables) RETURNS SETOF strata._rollups
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.* FROM strata._rollups r JOIN pg_class c ON c.oid = r.rollup
    WHERE r.table_id = (event_table).table_id AND r.retention IS NOT NULL AND strata._trim_target(event_table, r) > r.kept_from
$$;
REVOKE ALL ON FUNCTION strata._to_trim(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._to_trim(strata._event_tables) IS 'The rollups of an event table with groups past their own retention.';

CREATE FUNCTION strata._trimmed_partitions(event_table strata._event_tables, OUT rollup_id int, OUT rollup regclass, OUT partition regclass, OUT lower timestamptz, OUT upper timestamptz)
    RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.rollup_id, r.rollup, l.partition, l.lower, l.upper
    FROM strata._rollups r JOIN pg_class c ON c.oid = r.rollup CROSS JOIN LATERAL strata._leaves_between(r.storage, '-infinity', r.kept_from) l
    WHERE r.table_id = (event_table).table_id AND r.kept_from > '-infinity' AND l.upper <= r.kept_from
$$;
REVOKE ALL ON FUNCTION strata._trimmed_partitions(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._trimmed_partitions(strata._event_tables) IS
'The storage partitions of rollups of an event table in which nothing is shown any more.';

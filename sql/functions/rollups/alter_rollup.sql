-- Promise: the new setting holds from the next maintenance on; what is gone stays gone.
CREATE FUNCTION strata.alter_rollup(rollup regclass, retention interval DEFAULT NULL) RETURNS regclass
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._alter_rollup(strata._authorize(strata._source(rollup), 'OWNER'), rollup, retention) $$;
COMMENT ON FUNCTION strata.alter_rollup(regclass, interval) IS
'Changes the retention of a rollup: groups older than that are let go of by the next strata.maintain_partitions, whether their rows are still there or not. NULL leaves it as it is; ''0'' takes it away, so that groups are kept for ever. The rollup''s beginning (retained_from in strata.rollups) never moves back. Noted in strata.retention_log. Waits for readers where a rollup gets its first retention. Takes ownership of the source. Returns the rollup. Errors: ST004 not a rollup, 22023 a negative retention.';

CREATE FUNCTION strata._alter_rollup(source regclass, rollup regclass, retention interval) RETURNS regclass
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before strata._rollups;
    entry strata._rollups;
BEGIN
    PERFORM strata._authorized(source, 'OWNER');
    PERFORM strata._rollup_of(source, rollup);
    IF retention IS NULL THEN
        RETURN rollup;
    ELSIF retention <> interval '0' THEN
        PERFORM strata._check_rollup_retention(retention);
    END IF;
    PERFORM strata._lock_event_table(source);
    -- a refresh may be about to give the rollup its final view
    before := strata._rollup_of(source, rollup);
    PERFORM FROM strata._rollup_progress p WHERE p.rollup_id = before.rollup_id FOR NO KEY UPDATE;
    UPDATE strata._rollups r SET retention = nullif(_alter_rollup.retention, interval '0') WHERE r.rollup_id = before.rollup_id RETURNING r.* INTO entry;
    INSERT INTO strata._retention_log (relation, action, reason)
    VALUES (rollup::text, 'altered', format('retention %s, before %s', coalesce(entry.retention::text, 'none'), coalesce(before.retention::text, 'none')));
    -- a suspended rollup gets its view when it is resumed
    IF before.suspended_at IS NULL AND strata._begins(before) <> strata._begins(entry) THEN
        PERFORM strata._execute_as(strata._owner(source), format('CREATE OR REPLACE VIEW %s AS %s', strata._view_name(entry), strata._view_sql(entry)));
    END IF;
    RETURN rollup;
END
$$;
COMMENT ON FUNCTION strata._alter_rollup(regclass, regclass, interval) IS 'The writing half of alter_rollup.';

-- A view that looks for where its rollup begins would cost those who keep everything.
CREATE FUNCTION strata._begins(rollup strata._rollups) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT (rollup).retention IS NOT NULL OR (rollup).kept_from > '-infinity' $$;
REVOKE ALL ON FUNCTION strata._begins(strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._begins(strata._rollups) IS 'Whether groups of a rollup may be stored that are not to be shown.';

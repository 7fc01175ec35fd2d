-- Promise: the rollup is out of everybody's way, and nobody reads it by mistake.
CREATE FUNCTION strata.suspend_rollup(rollup regclass) RETURNS void
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._suspend_rollup(strata._authorize(strata._source(rollup), 'OWNER'), rollup) $$;
COMMENT ON FUNCTION strata.suspend_rollup(regclass) IS
'Takes a rollup out of the way, for instance one whose expression fails for a row: changes of rows no longer mark its groups, refreshes pass it over, retention does not wait for it. Reading it is an error (ST010) until strata.resume_rollup; what it has folded is kept. Waits for writers of the source. Takes ownership of the source. ST004 not a rollup.';

CREATE FUNCTION strata._suspend_rollup(source regclass, rollup regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry strata._rollups;
BEGIN
    PERFORM strata._authorized(source, 'OWNER');
    PERFORM strata._rollup_of(source, rollup);
    PERFORM strata._require_read_committed('suspend a rollup');
    -- no writer may be about to mark a group of it
    PERFORM strata._lock_event_table(source);
    -- somebody may have been before us
    PERFORM strata._rollup_of(source, rollup);
    PERFORM strata._lock_views(source, ARRAY[rollup]);
    -- somebody may have been before us here too, and a refresh may be about to give the rollup its final view
    entry := strata._rollup_of(source, rollup);
    PERFORM FROM strata._rollup_progress p WHERE p.rollup_id = entry.rollup_id FOR NO KEY UPDATE;
    IF entry.suspended_at IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM strata._execute_as(strata._owner(source), format('CREATE OR REPLACE VIEW %s AS SELECT * FROM (%s) v WHERE (SELECT strata._refuse_suspended(%L))',
        strata._view_name(entry), strata._view_sql(entry), rollup::text));
    UPDATE strata._rollups r SET suspended_at = clock_timestamp() WHERE r.rollup_id = entry.rollup_id;
END
$$;
COMMENT ON FUNCTION strata._suspend_rollup(regclass, regclass) IS 'The writing half of suspend_rollup.';

-- Called by the view of a suspended rollup, once a query, before anything is read.
CREATE FUNCTION strata._refuse_suspended(rollup text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'ST010', MESSAGE = format('rollup %s is suspended', rollup),
        DETAIL = 'It is not kept up, so that it would show old values.',
        HINT = format('Run: SELECT strata.resume_rollup(%L); strata.rollup_query() shows the query, which reads the rows themselves.', rollup);
END
$$;
COMMENT ON FUNCTION strata._refuse_suspended(text) IS 'Raises ST010, the error of reading a suspended rollup.';

-- Promise: storage is computed anew from the rows, from retained_from on.
CREATE FUNCTION strata.rebuild_rollup(rollup regclass) RETURNS bigint
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._rebuild_rollup(strata._authorize(strata._source(rollup), 'OWNER'), rollup) $$;
COMMENT ON FUNCTION strata.rebuild_rollup(regclass) IS
'Computes a rollup anew from all rows of its source at or after retained_from; older buckets stay as they are. For after DDL that no trigger sees (DETACH, DROP, ALTER … USING by hand). Returns how many batches it covers. Blocks writers of the source meanwhile. Resumes a suspended rollup. Takes ownership. ST004 not a rollup.';

CREATE FUNCTION strata._rebuild_rollup(source regclass, rollup regclass) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry strata._rollups;
    folded bigint;
BEGIN
    PERFORM strata._authorized(source, 'OWNER');
    PERFORM strata._rollup_of(source, rollup);
    PERFORM strata._require_read_committed('rebuild a rollup');
    PERFORM strata._close_batch(source);
    PERFORM strata._lock_event_table(source);
    PERFORM strata._lock_views(source, '{}');
    -- somebody may have been before us
    entry := strata._rollup_of(source, rollup);
    IF entry.suspended_at IS NOT NULL THEN
        RETURN strata._resume_rollup(strata._authorize(source, 'OWNER'), rollup);
    END IF;
    PERFORM strata._cover_leaves(source, entry);
    folded := strata._fill_rollup(entry);
    -- the view is right as it is: no reader is waited for who may be waiting to write
    PERFORM strata._finish_view(entry);
    RETURN folded;
END
$$;
COMMENT ON FUNCTION strata._rebuild_rollup(regclass, regclass) IS 'The writing half of rebuild_rollup.';

CREATE FUNCTION strata._fill_rollup(rollup strata._rollups, from_groups boolean DEFAULT false) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
DECLARE
    owner regrole := strata._owner(rollup.storage);
    event_table strata._event_tables := strata._event_table(strata._relation(rollup.table_id));
    retained_from timestamptz := greatest(event_table.retained_from, rollup.exact_from);
    progress strata._rollup_progress;
    outcome jsonb;
BEGIN
    PERFORM FROM strata._rollup_progress p WHERE p.rollup_id = rollup.rollup_id FOR NO KEY UPDATE;
    UPDATE strata._rollup_progress p SET folded = '{}' WHERE p.rollup_id = rollup.rollup_id;
    progress := strata._decide_horizon(rollup);
    -- with no horizon every batch of the ledger is pending, and nothing counts as filled
    PERFORM strata._mark_undecided(rollup);
    UPDATE strata._rollup_progress p SET horizon = 0, filled_from = 'infinity', fills_from = CASE WHEN from_groups THEN p.fills_from END WHERE p.rollup_id = rollup.rollup_id;
    PERFORM strata._execute_as(owner, format('DELETE FROM %s WHERE bucket >= %s', rollup.storage,
        strata._time_at(strata._bucket_type(event_table.time_type), quote_literal(retained_from) || '::timestamptz', false)));
    outcome := strata._fold(rollup, owner, progress.horizon, true, '-infinity');
    PERFORM strata._record_progress(rollup, progress, outcome, '-infinity');
    RETURN (outcome ->> 'batches')::bigint;
END
$$;
REVOKE ALL ON FUNCTION strata._fill_rollup(strata._rollups, boolean) FROM PUBLIC;
COMMENT ON FUNCTION strata._fill_rollup(strata._rollups, boolean) IS 'Computes storage from nothing; writers of the source are held back by the caller. from_groups: from those of the rollup it was made from, where that can be.';

CREATE FUNCTION strata._set_final_view(rollup strata._rollups) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM strata._execute_as(strata._owner(rollup.rollup), format('CREATE OR REPLACE VIEW %s AS %s', strata._view_name(rollup), strata._view_sql(rollup)));
    UPDATE strata._rollup_progress p SET view_fills = false WHERE p.rollup_id = rollup.rollup_id;
END
$$;
REVOKE ALL ON FUNCTION strata._set_final_view(strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._set_final_view(strata._rollups) IS 'Gives a rollup that is filled its final view; waits for readers.';

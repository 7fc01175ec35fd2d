-- Promise: the rollup is exact again, from the rows that are left.
CREATE FUNCTION strata.resume_rollup(rollup regclass) RETURNS bigint
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._resume_rollup(strata._authorize(strata._source(rollup), 'OWNER'), rollup) $$;
COMMENT ON FUNCTION strata.resume_rollup(regclass) IS
'Puts a suspended rollup to work again: computes it anew from the rows at or after retained_from; older buckets stay as they were when it was suspended, and a bucket that retention cut through meanwhile is not exact (a NOTICE says from where on it is). Returns how many batches it covers. Blocks writers of the source meanwhile. Takes ownership of the source. ST004 not a rollup.';

CREATE FUNCTION strata._resume_rollup(source regclass, rollup regclass) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry strata._rollups;
    retained timestamptz;
    folded bigint;
BEGIN
    PERFORM strata._authorized(source, 'OWNER');
    PERFORM strata._rollup_of(source, rollup);
    PERFORM strata._require_read_committed('resume a rollup');
    PERFORM strata._close_batch(source);
    PERFORM strata._lock_event_table(source);
    PERFORM strata._lock_views(source, '{}');
    -- somebody may have been before us
    entry := strata._rollup_of(source, rollup);
    IF entry.suspended_at IS NULL THEN
        RETURN 0;
    END IF;
    -- (retention, which did not wait for it, cannot move while the catalog row is locked)
    SELECT t.retained_from INTO retained FROM strata._event_tables t WHERE t.table_id = entry.table_id;
    UPDATE strata._rollups r
    SET suspended_at = NULL,
        exact_from = CASE WHEN strata._bucket_lower(r, retained) < retained THEN greatest(r.exact_from, strata._bucket_upper(r, retained)) ELSE r.exact_from END
    WHERE r.rollup_id = entry.rollup_id
    RETURNING r.* INTO entry;
    PERFORM strata._cover_leaves(source, entry);
    folded := strata._fill_rollup(entry);
    PERFORM strata._set_final_view(entry);
    IF entry.exact_from > retained THEN
        RAISE NOTICE 'rollup % is exact for buckets from % on', rollup, entry.exact_from;
    END IF;
    RETURN folded;
END
$$;
COMMENT ON FUNCTION strata._resume_rollup(regclass, regclass) IS 'The writing half of resume_rollup.';

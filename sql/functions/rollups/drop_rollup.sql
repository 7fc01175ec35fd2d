-- Promise: nothing of the rollup is left.
CREATE FUNCTION strata.drop_rollup(rollup regclass) RETURNS void
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._drop_rollup(strata._authorize(strata._source(rollup), 'OWNER'), rollup) $$;
COMMENT ON FUNCTION strata.drop_rollup(regclass) IS
'Drops a rollup: its view, storage, dirty marks and definition. Refuses with 2BP01 while views depend on it. Takes ownership of the source. ST004 not a rollup.';

CREATE FUNCTION strata._drop_rollup(source regclass, rollup regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry strata._rollups;
BEGIN
    PERFORM strata._authorized(source, 'OWNER');
    PERFORM strata._rollup_of(source, rollup);
    -- no writer may be about to mark a group of it
    PERFORM strata._lock_event_table(source);
    -- somebody may have been before us
    PERFORM strata._rollup_of(source, rollup);
    PERFORM strata._lock_views(source, ARRAY[rollup]);
    entry := strata._rollup_of(source, rollup);
    PERFORM strata._drop_readers(entry);
    PERFORM strata._execute_as(strata._owner(source), format('DROP VIEW %s', entry.rollup));
    PERFORM strata._execute_as(strata._owner(source), format('DROP VIEW %s', entry.definition));
    PERFORM strata._execute_as(strata._owner(source), format('DROP TABLE %s, %s', entry.storage, entry.dirty));
    PERFORM strata._forget_rollups(ARRAY[entry.rollup_id]);
END
$$;
COMMENT ON FUNCTION strata._drop_rollup(regclass, regclass) IS 'The writing half of drop_rollup.';

-- Promise: nothing of ours is left at the table; its rows stay.
CREATE FUNCTION strata.release_target_table(relation regclass) RETURNS void
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._release_target_table(strata._authorize(relation, 'OWNER')) $$;
COMMENT ON FUNCTION strata.release_target_table(regclass) IS
'Ends create_target_table: checkpoints, leases, dead letters and grants kept for the table go, the table and its rows stay. Takes ownership. ST001 if it is no target.';

CREATE FUNCTION strata._release_target_table(relation regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target_id int := (SELECT t.table_id FROM strata._target_tables t WHERE t.relation = _release_target_table.relation FOR UPDATE);
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    IF target_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'ST001', MESSAGE = format('%s is no target of changes', relation),
            DETAIL = 'The catalog of pg_strata has no entry for it.',
            HINT = 'SELECT relation FROM strata.target_tables; lists those there are.';
    END IF;
    PERFORM strata._forget_event_tables(ARRAY[target_id]);
END
$$;
COMMENT ON FUNCTION strata._release_target_table(regclass) IS 'The writing half of release_target_table.';

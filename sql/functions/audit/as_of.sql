-- Promise: the rows a table had, typed as it is now.
CREATE FUNCTION strata.as_of(row_type anyelement, at timestamptz) RETURNS SETOF anyelement
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relation regclass := (SELECT t.typrelid::regclass FROM pg_type t WHERE t.oid = pg_typeof(row_type));
BEGIN
    PERFORM strata._check_history_reader(relation);
    PERFORM strata._flush_audit();
    RETURN QUERY EXECUTE strata._as_of_query(relation) USING at;
END
$$;
COMMENT ON FUNCTION strata.as_of(anyelement, timestamptz) IS
'The rows an audited table had at a time: SELECT * FROM strata.as_of(NULL::accounts, ''2026-11-01''). Columns that are not logged, or were not there yet, are NULL. enable_audit makes a function of the table''s own, <table>_as_of(at), into which conditions reach: use that for single keys. Takes SELECT on table and history. Errors: ST012 if the table is not audited, ST016 for a time before it was audited or before which its log has been pruned, 42501 also where row security applies to the reader.';

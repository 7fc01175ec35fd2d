-- The names of the four relations of a rollup, quoted.
CREATE TYPE strata._rollup_place AS (rollup text, definition text, storage text, dirty text);

CREATE FUNCTION strata._managed(relation regclass) RETURNS regclass
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    RETURN (strata._event_table(relation)).relation;
END
$$;
COMMENT ON FUNCTION strata._managed(regclass) IS 'The relation itself, if it is an event table of the caller; ST001 or 42501 otherwise.';

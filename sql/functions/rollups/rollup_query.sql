-- Promise: the query a rollup must equal, as text that runs as it stands.
CREATE FUNCTION strata.rollup_query(rollup regclass) RETURNS text
    LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM strata._source(rollup);
    RETURN (SELECT pg_get_viewdef(r.definition) FROM strata._rollups r WHERE r.rollup = rollup_query.rollup);
END
$$;
COMMENT ON FUNCTION strata.rollup_query(regclass) IS
'The query that defines a rollup, with its current names, columns as the view''s: what to compare the rollup with. ST004 not a rollup.';

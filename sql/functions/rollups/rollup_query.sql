-- Promise: the query a rollup must equal, as text that runs as it stands.
CREATE FUNCTION strata.rollup_query(rollup regclass) RETURNS text
    LANGUAGE sql STABLE STRICT SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_get_viewdef(r.definition)
    FROM strata._rollups r
    WHERE strata._source(rollup) IS NOT NULL AND r.rollup = rollup_query.rollup
$$;
COMMENT ON FUNCTION strata.rollup_query(regclass) IS
'The query that defines a rollup, with its current names, columns as the view''s: what to compare the rollup with. ST004 not a rollup.';

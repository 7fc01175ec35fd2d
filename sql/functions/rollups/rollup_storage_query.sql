-- Promise: what the rollup has stored, as of its last refresh, at the cost of reading one table.
CREATE FUNCTION strata.rollup_storage_query(rollup regclass) RETURNS text
    LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM strata._source(rollup);
    RETURN (SELECT strata._stored_sql(r, format('(SELECT kept_from FROM strata._rollup_state WHERE rollup_id = %s)', r.rollup_id)) FROM strata._rollups r WHERE r.rollup = rollup_storage_query.rollup);
END
$$;
COMMENT ON FUNCTION strata.rollup_storage_query(regclass) IS
'The query of what a rollup has stored, without the groups that its own retention has let go of, columns as the view''s, for whoever wants constant cost and can do with values of the last refresh: make a view of it, as owner, and grant SELECT on that. It lacks pending batches (strata.rollups: pending_batches, staleness, refreshed_at), groups changed since keep their old values, and while the rollup is filled or suspended it has what is there. strata.drop_rollup and strata.replace_rollup refuse (2BP01) while such a view exists. ST004 not a rollup.';

-- Promise: one row per group in which the rollup differs from its query, under one snapshot; no row means equal.
CREATE FUNCTION strata.verify_rollup(
    rollup regclass, lower timestamptz DEFAULT NULL, upper timestamptz DEFAULT NULL,
    OUT bucket timestamptz, OUT key jsonb, OUT expected jsonb, OUT found jsonb
) RETURNS SETOF record
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM strata._verify_rollup(strata._authorize(strata._source(rollup), 'INGEST'), rollup, lower, upper) $$;
COMMENT ON FUNCTION strata.verify_rollup(regclass, timestamptz, timestamptz) IS
'Compares a rollup with its recomputation from the rows, for buckets from lower (inclusive) to upper (exclusive), by default all at or after retained_from. Returns the groups that differ: what the query gives (expected) and what the rollup shows (found), NULL where it has no such group. No row means equal; a NOTICE says how many groups were compared. Takes ownership of the source or grant_ingest on it. ST004 not a rollup.';

CREATE FUNCTION strata._verify_rollup(
    source regclass, rollup regclass, lower timestamptz, upper timestamptz,
    OUT bucket timestamptz, OUT key jsonb, OUT expected jsonb, OUT found jsonb
) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
DECLARE
    entry strata._rollups;
    event_table strata._event_tables;
    bucket_type regtype;
    keys text;
    key_names text[];
    statement text;
    outcome jsonb;
BEGIN
    PERFORM strata._authorized(source, 'INGEST');
    entry := strata._rollup_of(source, rollup);
    event_table := strata._event_table(source);
    bucket_type := strata._bucket_type(event_table.time_type);
    lower := greatest(strata._to_axis(event_table, lower), event_table.retained_from, entry.exact_from);
    upper := strata._to_axis(event_table, upper);
    SELECT coalesce(string_agg(format('%L, d.%I', d.column_name, d.column_name), ', ' ORDER BY d.ordinal), ''), array_agg(d.column_name)
    INTO keys, key_names
    FROM strata._definition_columns(entry.definition) d WHERE d.aggregate IS NULL AND d.ordinal > 1;
    statement := format(
        'WITH expected AS MATERIALIZED (SELECT * FROM %1$s q WHERE %2$s), found AS MATERIALIZED (SELECT * FROM %3$s WHERE %2$s), '
        'difference AS ('
        'SELECT d.bucket, jsonb_build_object(%4$s) AS key, to_jsonb(d) - %5$L::text[] AS expected, NULL::jsonb AS found '
        'FROM (SELECT * FROM expected EXCEPT ALL SELECT * FROM found) d '
        'UNION ALL SELECT d.bucket, jsonb_build_object(%4$s), NULL, to_jsonb(d) - %5$L::text[] '
        'FROM (SELECT * FROM found EXCEPT ALL SELECT * FROM expected) d) '
        'SELECT jsonb_build_object(''groups'', (SELECT count(*) FROM expected), ''difference'', coalesce((SELECT jsonb_agg(to_jsonb(g) ORDER BY g.bucket, g.key) FROM ('
        'SELECT bucket, key, (array_agg(expected) FILTER (WHERE expected IS NOT NULL))[1] AS expected, '
        '(array_agg(found) FILTER (WHERE found IS NOT NULL))[1] AS found FROM difference GROUP BY bucket, key) g), ''[]''))',
        entry.definition,
        'bucket >= ' || strata._time_at(bucket_type, quote_literal(coalesce(lower, '-infinity')) || '::timestamptz', false)
            || coalesce(' AND bucket < ' || strata._time_at(bucket_type, quote_literal(upper) || '::timestamptz', false), ''),
        strata._named_as_defined(entry.rollup), keys, 'bucket'::text || coalesce(key_names, '{}'));
    outcome := strata._execute_as(strata._owner(source), statement)::jsonb;
    RAISE NOTICE 'compared % groups of % with their rows', outcome ->> 'groups', rollup;
    RETURN QUERY SELECT strata._from_axis(event_table.time_type, event_table.timezone, d.bucket), d.key, d.expected, d.found
    FROM jsonb_to_recordset(outcome -> 'difference') AS d (bucket timestamptz, key jsonb, expected jsonb, found jsonb);
END
$$;
COMMENT ON FUNCTION strata._verify_rollup(regclass, regclass, timestamptz, timestamptz) IS 'The reading half of verify_rollup.';

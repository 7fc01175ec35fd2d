-- Promise: what create_rollup would make of these arguments, and what each column would cost, without making it.
CREATE FUNCTION strata.explain_rollup(
    source regclass, bucket interval, group_by text[], aggregates text[], filter text DEFAULT NULL, timezone text DEFAULT 'UTC',
    OUT column_name text, OUT type text, OUT expression text, OUT maintenance text, OUT note text
) RETURNS SETOF record
    LANGUAGE plpgsql VOLATILE
    -- no search_path: the caller's expressions are parsed in the caller's
AS $$
DECLARE
    event_table pg_catalog.regclass := strata._managed(strata._authorize(strata._event_source(source), 'OWNER'));
    place strata._rollup_place := ROW('strata_explained', 'pg_temp.strata_explained', '', '')::strata._rollup_place;
BEGIN
    IF source OPERATOR(pg_catalog.<>) event_table THEN
        PERFORM strata._parse_definition(pg_catalog.replace(strata._nested_statement(place, source, bucket, group_by, aggregates, filter, timezone), 'CREATE VIEW pg_temp.', 'CREATE TEMPORARY VIEW '), source);
        PERFORM strata._compose('pg_temp.strata_explained'::pg_catalog.regclass, source, group_by, aggregates);
    ELSE
        PERFORM strata._parse_definition(pg_catalog.replace(strata._definition_statement(place, source, bucket, group_by, aggregates, filter, timezone), 'CREATE VIEW pg_temp.', 'CREATE TEMPORARY VIEW '), source);
    END IF;
    RETURN QUERY SELECT e.* FROM strata._explain_definition(strata._authorize(event_table, 'OWNER'), 'pg_temp.strata_explained'::pg_catalog.regclass, group_by, aggregates) e;
    DROP VIEW pg_temp.strata_explained;
END
$$;
COMMENT ON FUNCTION strata.explain_rollup(regclass, interval, text[], text[], text, text) IS
'The columns that create_rollup of the same arguments would make: type, expression, and maintenance: key, fold (kept up from new rows alone), or recompute (the groups that new rows touch are computed anew from all their rows), with a note on how to write what would fold. Takes ownership of source. Errors as for create_rollup.';

CREATE FUNCTION strata._explain_definition(
    source regclass, definition regclass, group_by text[], aggregates text[],
    OUT column_name text, OUT type text, OUT expression text, OUT maintenance text, OUT note text
) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM strata._authorized(source, 'OWNER');
    PERFORM strata._check_definition(definition, group_by, aggregates);
    RETURN QUERY
    SELECT d.column_name, format_type(d.type_oid, d.type_modifier), regexp_replace(d.expression, '(?<![[:alnum:]_"$.])e\.', '', 'g'),
           CASE WHEN d.aggregate IS NULL THEN 'key' WHEN strata._merge_of(d.aggregate, d.argument_types, d.arguments, d.is_ordered) IS NULL THEN 'recompute' ELSE 'fold' END,
           strata._recompute_note(d.aggregate, d.argument_types, d.arguments, d.is_ordered)
    FROM strata._definition_columns(definition) d ORDER BY d.ordinal;
END
$$;
COMMENT ON FUNCTION strata._explain_definition(regclass, regclass, text[], text[]) IS 'The reading half of explain_rollup.';

CREATE FUNCTION strata._recompute_note(aggregate oid, argument_types oid[], arguments text[], is_ordered boolean) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN strata._merge_of(aggregate, argument_types, arguments, is_ordered) IS NOT NULL THEN NULL
        WHEN f.pronamespace = 'pg_catalog'::regnamespace AND f.proname IN ('sum', 'avg', 'var_pop', 'var_samp', 'variance', 'stddev_pop', 'stddev_samp', 'stddev') AND NOT is_ordered AND argument_types[1] IN ('float4'::regtype, 'float8'::regtype)
            THEN format('sums of floating-point numbers depend on the order of rows; %s((%s)::numeric) would fold', f.proname, regexp_replace(arguments[1], '(?<![[:alnum:]_"$.])e\.', '', 'g'))
        WHEN f.pronamespace = 'strata'::regnamespace AND f.proname = 'histogram' AND NOT is_ordered
            THEN 'its bounds depend on the row; with constants it would fold'
        WHEN is_ordered THEN 'DISTINCT and ORDER BY need all rows of a group'
        ELSE 'its parts do not make up the whole'
    END
    FROM pg_proc f WHERE f.oid = aggregate
$$;
COMMENT ON FUNCTION strata._recompute_note(oid, oid[], text[], boolean) IS 'Why an aggregate is recomputed; NULL if it is not.';

CREATE FUNCTION strata._tell_recomputed(rollup strata._rollups) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    recomputed text := (SELECT string_agg(quote_ident(d.column_name), ', ' ORDER BY d.ordinal) FROM strata._definition_columns(rollup.definition) d
                        WHERE d.aggregate IS NOT NULL AND strata._merge_of(d.aggregate, d.argument_types, d.arguments, d.is_ordered) IS NULL);
BEGIN
    IF recomputed IS NOT NULL THEN
        RAISE NOTICE USING MESSAGE = format('rollup %s is recomputed for the groups that new rows touch', rollup.rollup),
            DETAIL = format('What cannot be kept up from new rows alone: %s.', recomputed),
            HINT = 'SELECT * FROM strata.explain_rollup(…) says why, and how to write what would fold. In a rollup of its own it would cost the others nothing.';
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._tell_recomputed(strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._tell_recomputed(strata._rollups) IS 'A NOTICE about the aggregates of a new rollup that are recomputed.';

-- What storage keeps of each aggregate, and how two states of one group become one. An aggregate of which that is not
-- known is recomputed for the groups that new rows touch.

-- Those of PostgreSQL and of ours that merge exactly: what comes of parts is what comes of the whole, in whatever order.
-- Sums of floating-point numbers depend on it; variances keep their scale only when computed in one go. Histograms add up
-- where their bounds are the same for all rows, which mention none of their columns then.
CREATE FUNCTION strata._merge_of(aggregate oid, argument_types oid[], arguments text[], is_ordered boolean) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN is_ordered THEN NULL
        WHEN f.pronamespace = 'strata'::regnamespace AND f.proname IN ('first', 'last') THEN f.proname::text
        WHEN f.pronamespace = 'strata'::regnamespace AND f.proname = 'histogram' AND NOT strata._mentions_row(array_to_string(arguments[2:4], ', '))
            THEN 'strata._sum_elements'
        WHEN f.pronamespace <> 'pg_catalog'::regnamespace THEN NULL
        WHEN f.proname = 'count' THEN 'sum'
        WHEN f.proname IN ('sum', 'avg') AND argument_types[1] IN ('float4'::regtype, 'float8'::regtype) THEN NULL
        WHEN f.proname IN ('sum', 'avg', 'min', 'max', 'bool_and', 'bool_or', 'bit_and', 'bit_or', 'bit_xor') THEN f.proname::text
        WHEN f.proname = 'every' THEN 'bool_and'
    END
    FROM pg_proc f WHERE f.oid = aggregate
$$;
COMMENT ON FUNCTION strata._merge_of(oid, oid[], text[], boolean) IS
'The aggregate that merges states of an aggregate (first and last merge by values and keys); NULL if it must be recomputed. is_ordered: called with DISTINCT or ORDER BY.';

CREATE FUNCTION strata._mentions_row(expression text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT expression ~ '(?<![[:alnum:]_"$.])e\.' $$;
COMMENT ON FUNCTION strata._mentions_row(text) IS
'Whether a deparsed expression may name a column of the source, which is called e there: never false where it does.';

CREATE FUNCTION strata._rollup_states(
    definition regclass,
    OUT ordinal int, OUT output text, OUT state text, OUT partial text, OUT merge text, OUT state_type text
) RETURNS SETOF record
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.ordinal, d.column_name, s.state, s.partial, s.merge, s.state_type
    FROM strata._definition_columns(definition) d
    CROSS JOIN LATERAL (
        SELECT strata._merge_of(d.aggregate, d.argument_types, d.arguments, d.is_ordered) AS merge,
               CASE WHEN d.filter IS NULL THEN '' ELSE format(' FILTER (WHERE %s)', d.filter) END AS clause
    ) m
    CROSS JOIN LATERAL (
        SELECT d.column_name, d.expression, m.merge, format_type(d.type_oid, d.type_modifier)
        WHERE m.merge IS DISTINCT FROM 'avg'
        UNION ALL
        SELECT format('_avg_%s_sum', d.ordinal), format('sum(%s)%s', d.arguments[1], m.clause), 'sum',
               CASE WHEN d.argument_types[1] IN ('int2'::regtype, 'int4'::regtype) THEN 'bigint'
                    WHEN d.argument_types[1] = 'interval'::regtype THEN 'interval' ELSE 'numeric' END
        WHERE m.merge = 'avg'
        UNION ALL
        SELECT format('_avg_%s_count', d.ordinal), format('count(%s)%s', d.arguments[1], m.clause), 'sum', 'bigint'
        WHERE m.merge = 'avg'
        UNION ALL
        SELECT format('_%s_%s_at', m.merge, d.ordinal), format('strata.%1$s(%2$s, %2$s)%3$s', m.merge, d.arguments[2], m.clause), m.merge,
               format_type(d.argument_types[2], NULL)
        WHERE m.merge IN ('first', 'last')
    ) s (state, partial, merge, state_type)
    WHERE d.aggregate IS NOT NULL
$$;
COMMENT ON FUNCTION strata._rollup_states(regclass) IS
'The state columns of a rollup: avg keeps a sum and a count, first and last keep what the value was taken by beside it, every other aggregate its own value. merge: the aggregate that merges two states, NULL where the group is recomputed.';

CREATE FUNCTION strata._recomputes(definition regclass) RETURNS boolean
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT bool_or(s.merge IS NULL) FROM strata._rollup_states(definition) s $$;
COMMENT ON FUNCTION strata._recomputes(regclass) IS 'Whether a rollup has an aggregate that is recomputed, so that new rows make their groups dirty.';

CREATE FUNCTION strata._rollup_outputs(definition regclass, merged boolean) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(format('%s AS %I', o.final, o.output), ', ' ORDER BY o.ordinal)
    FROM (
        SELECT m.ordinal, m.output,
               CASE WHEN count(*) = 1 THEN min(m.value || CASE WHEN m.merge = 'sum' AND merged THEN '::' || m.state_type ELSE '' END)
                    WHEN bool_or(m.merge IN ('first', 'last')) THEN min(m.value) FILTER (WHERE m.state = m.output)
                    WHEN bool_or(m.state_type = 'interval')
                        THEN format('%s / nullif(%s, 0)::double precision', min(m.value) FILTER (WHERE m.is_sum), min(m.value) FILTER (WHERE NOT m.is_sum))
                    ELSE format('%s::numeric / nullif(%s, 0)', min(m.value) FILTER (WHERE m.is_sum), min(m.value) FILTER (WHERE NOT m.is_sum))
               END AS final
        FROM (SELECT s.*, s.state = format('_avg_%s_sum', s.ordinal) AS is_sum,
                     CASE WHEN NOT merged THEN format('u.%I', s.state)
                          WHEN s.merge IN ('first', 'last') THEN format('strata.%s(u.%I, u.%I)', s.merge, s.state, format('_%s_%s_at', s.merge, s.ordinal))
                          ELSE format('%s(u.%I)', s.merge, s.state) END AS value
              FROM strata._rollup_states(definition) s) m
        GROUP BY m.ordinal, m.output
    ) o
$$;
COMMENT ON FUNCTION strata._rollup_outputs(regclass, boolean) IS
'The aggregate columns of a rollup''s view, computed from its states, named u. merged: several states of a group may have to become one.';

-- A state is NULL while no row has counted.
CREATE FUNCTION strata._rollup_merges(definition regclass) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(format(CASE s.merge
            WHEN 'min' THEN '%1$I = least(s.%1$I, EXCLUDED.%1$I)'
            WHEN 'max' THEN '%1$I = greatest(s.%1$I, EXCLUDED.%1$I)'
            WHEN 'first' THEN '%1$I = strata._first_of(s.%1$I, s.%3$I, EXCLUDED.%1$I, EXCLUDED.%3$I)'
            WHEN 'last' THEN '%1$I = strata._last_of(s.%1$I, s.%3$I, EXCLUDED.%1$I, EXCLUDED.%3$I)'
            WHEN 'strata._sum_elements' THEN '%1$I = coalesce(strata._add_elements(s.%1$I, EXCLUDED.%1$I), s.%1$I, EXCLUDED.%1$I)'
            ELSE '%1$I = coalesce(s.%1$I %2$s EXCLUDED.%1$I, s.%1$I, EXCLUDED.%1$I)' END, s.state,
        CASE s.merge WHEN 'sum' THEN '+' WHEN 'bool_and' THEN 'AND' WHEN 'bool_or' THEN 'OR' WHEN 'bit_and' THEN '&' WHEN 'bit_or' THEN '|' WHEN 'bit_xor' THEN '#' END,
        format('_%s_%s_at', s.merge, s.ordinal)), ', ')
    FROM strata._rollup_states(definition) s
$$;
COMMENT ON FUNCTION strata._rollup_merges(regclass) IS 'The SET list that folds states of new rows into storage s.';

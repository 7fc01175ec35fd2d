-- What storage keeps of each aggregate, and how two states of one group become one. An aggregate of which that is not
-- known is recomputed for the groups that new rows touch.

-- Those of PostgreSQL and of ours that merge exactly: what comes of parts is what comes of the whole, in whatever order.
-- Sums of floating-point numbers depend on it, and so do variances of them; those of whole numbers and of numeric are made of
-- three sums by PostgreSQL too. Histograms add up where their bounds are the same for all rows, which mention none of their
-- columns then.
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
        WHEN f.proname IN ('var_pop', 'var_samp', 'variance', 'stddev_pop', 'stddev_samp', 'stddev')
            AND argument_types[1] IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype) THEN 'variance'
    END
    FROM pg_proc f WHERE f.oid = aggregate
$$;
COMMENT ON FUNCTION strata._merge_of(oid, oid[], text[], boolean) IS
'The aggregate that merges states of an aggregate (first and last merge by values and keys, avg and variance, which stands for its whole family, from sums); NULL if it must be recomputed. is_ordered: called with DISTINCT or ORDER BY.';

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
        WHERE m.merge IS NULL OR m.merge NOT IN ('avg', 'variance')
        UNION ALL
        SELECT format('_%s_%s_sum', m.merge, d.ordinal), format('sum(%s)%s', d.arguments[1], m.clause), 'sum',
               CASE WHEN d.argument_types[1] IN ('int2'::regtype, 'int4'::regtype) THEN 'bigint'
                    WHEN d.argument_types[1] = 'interval'::regtype THEN 'interval' ELSE 'numeric' END
        WHERE m.merge IN ('avg', 'variance')
        UNION ALL
        SELECT format('_%s_%s_count', m.merge, d.ordinal), format('count(%s)%s', d.arguments[1], m.clause), 'sum', 'bigint'
        WHERE m.merge IN ('avg', 'variance')
        UNION ALL
        -- (the square of an integer is a bigint, and their sum is numeric)
        SELECT format('_variance_%s_squares', d.ordinal),
               format(CASE WHEN d.argument_types[1] IN ('int2'::regtype, 'int4'::regtype) THEN 'sum((%1$s)::bigint * (%1$s)::bigint)%2$s'
                           ELSE 'sum((%1$s)::numeric * (%1$s)::numeric)%2$s' END, d.arguments[1], m.clause), 'sum', 'numeric'
        WHERE m.merge = 'variance'
        UNION ALL
        SELECT format('_%s_%s_at', m.merge, d.ordinal), format('strata.%1$s(%2$s, %2$s)%3$s', m.merge, d.arguments[2], m.clause), m.merge,
               format_type(d.argument_types[2], NULL)
        WHERE m.merge IN ('first', 'last')
    ) s (state, partial, merge, state_type)
    WHERE d.aggregate IS NOT NULL
$$;
COMMENT ON FUNCTION strata._rollup_states(regclass) IS
'The state columns of a rollup: avg keeps a sum and a count, variances and standard deviations the sum of squares too, first and last keep what the value was taken by beside it, every other aggregate its own value. merge: the aggregate that merges two states, NULL where the group is recomputed.';

CREATE FUNCTION strata._recomputes(definition regclass) RETURNS boolean
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT bool_or(s.merge IS NULL) FROM strata._rollup_states(definition) s $$;
COMMENT ON FUNCTION strata._recomputes(regclass) IS 'Whether a rollup has an aggregate that is recomputed, so that new rows make their groups dirty.';

-- numeric_stddev_internal of PostgreSQL's numeric.c in SQL: the same sums, the same division, and so the same digits.
CREATE FUNCTION strata._variance(rows bigint, total numeric, squares numeric, spared int) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    -- no search_path: to be inlined into views; every name in it is whole
AS $$
    SELECT CASE WHEN rows OPERATOR(pg_catalog.<=) spared THEN NULL
                WHEN ((rows OPERATOR(pg_catalog.*) squares) OPERATOR(pg_catalog.-) (total OPERATOR(pg_catalog.*) total)) OPERATOR(pg_catalog.<=) 0 THEN 0
                ELSE ((rows OPERATOR(pg_catalog.*) squares) OPERATOR(pg_catalog.-) (total OPERATOR(pg_catalog.*) total))
                    OPERATOR(pg_catalog./) (rows::pg_catalog.numeric OPERATOR(pg_catalog.*) (rows OPERATOR(pg_catalog.-) spared)) END
$$;
COMMENT ON FUNCTION strata._variance(bigint, numeric, numeric, int) IS
'The variance of so many values by their sum and the sum of their squares, digit for digit what PostgreSQL computes: of the population (spared 0) or of a sample (spared 1).';

-- PostgreSQL takes the root to as many digits as the quotient has. sqrt of a numeric has a scale of its own: it is taken to so
-- many digits that rounding twice is rounding once. (A root that is no tie with s digits is 10^-(2s+2) / 2 root away from one.)
CREATE FUNCTION strata._deviation(variance numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    -- no search_path: to be inlined into views; every name in it is whole
AS $$
    SELECT CASE WHEN pg_catalog.scale(variance) IS NULL THEN variance
                ELSE pg_catalog.round(pg_catalog.sqrt(pg_catalog.round(variance,
                    (2 OPERATOR(pg_catalog.*) pg_catalog.scale(variance)) OPERATOR(pg_catalog.+) pg_catalog.length(pg_catalog.trunc(variance)::pg_catalog.text)
                    OPERATOR(pg_catalog.+) 3)), pg_catalog.scale(variance)) END
$$;
COMMENT ON FUNCTION strata._deviation(numeric) IS 'The standard deviation of a variance, digit for digit what PostgreSQL computes.';

CREATE FUNCTION strata._variance_final(aggregate oid) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format(CASE WHEN f.proname ~ '^stddev' THEN 'strata._deviation(strata._variance((%%1$s)::bigint, %%2$s, %%3$s, %s))'
                       ELSE 'strata._variance((%%1$s)::bigint, %%2$s, %%3$s, %s)' END, CASE WHEN f.proname ~ '_pop$' THEN 0 ELSE 1 END)
    FROM pg_proc f WHERE f.oid = aggregate
$$;
COMMENT ON FUNCTION strata._variance_final(oid) IS
'How a variance or standard deviation comes of its states: a format of the count, the sum and the sum of squares.';

CREATE FUNCTION strata._rollup_outputs(definition regclass, merged boolean) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(format('%s AS %I', o.final, o.output), ', ' ORDER BY o.ordinal)
    FROM (
        SELECT m.ordinal, m.output,
               CASE WHEN count(*) = 1 THEN min(m.value || CASE WHEN m.merge = 'sum' AND merged THEN '::' || m.state_type ELSE '' END)
                    WHEN bool_or(m.merge IN ('first', 'last')) THEN min(m.value) FILTER (WHERE m.state = m.output)
                    WHEN count(*) = 3 THEN format(strata._variance_final(min(m.aggregate)),
                        min(m.value) FILTER (WHERE m.part = 'count'), min(m.value) FILTER (WHERE m.part = 'sum'), min(m.value) FILTER (WHERE m.part = 'squares'))
                    WHEN bool_or(m.state_type = 'interval')
                        THEN format('%s / nullif(%s, 0)::double precision', min(m.value) FILTER (WHERE m.part = 'sum'), min(m.value) FILTER (WHERE m.part = 'count'))
                    ELSE format('%s::numeric / nullif(%s, 0)', min(m.value) FILTER (WHERE m.part = 'sum'), min(m.value) FILTER (WHERE m.part = 'count'))
               END AS final
        FROM (SELECT s.*, substring(s.state, format('^_(?:avg|variance)_%s_(sum|count|squares)$', s.ordinal)) AS part, d.aggregate,
                     CASE WHEN NOT merged THEN format('u.%I', s.state)
                          WHEN s.merge IN ('first', 'last') THEN format('strata.%s(u.%I, u.%I)', s.merge, s.state, format('_%s_%s_at', s.merge, s.ordinal))
                          ELSE format('%s(u.%I)', s.merge, s.state) END AS value
              FROM strata._rollup_states(definition) s JOIN strata._definition_columns(definition) d ON d.ordinal = s.ordinal) m
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

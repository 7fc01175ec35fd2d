-- Filling a rollup that was made from another: from the other's groups, under one snapshot exact like itself, where they
-- say as much as the rows do and are smaller. Only a new rollup is filled so: what is rebuilt is rebuilt because something
-- went by no trigger, and the other would have missed it too.

-- Whether a rollup is exact is decided under the fold's snapshot, which is younger than the fold's text: until the end of the
-- transaction nobody may suspend, rebuild or drop it. Nothing is waited for, or a circle of locks could close: then it is the
-- rows.
CREATE FUNCTION strata._hold_rollup(held strata._rollups) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '1ms'
AS $$
BEGIN
    PERFORM FROM strata._rollup_progress p WHERE p.rollup_id = held.rollup_id AND p.filled_from = '-infinity' FOR SHARE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM strata._execute_as(strata._owner(held.storage), format('LOCK TABLE %s, %s IN ACCESS SHARE MODE', held.storage, held.dirty));
    RETURN EXISTS (SELECT FROM strata._rollups r WHERE r.rollup_id = held.rollup_id AND r.suspended_at IS NULL);
EXCEPTION WHEN lock_not_available OR undefined_table OR undefined_object THEN
    RETURN false;
END
$$;
REVOKE ALL ON FUNCTION strata._hold_rollup(strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._hold_rollup(strata._rollups) IS
'Keeps a rollup as it is until the transaction ends; false if it is not filled, or somebody is about to change it.';

CREATE FUNCTION strata._filled_from_groups(rollup strata._rollups, parts strata._rollup_parts, fill_from timestamptz) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
DECLARE
    parent strata._rollups;
    source regclass := strata._relation(rollup.table_id);
    bucket_type regtype := (SELECT strata._bucket_type(t.time_type) FROM strata._event_tables t WHERE t.table_id = rollup.table_id);
    keys text;
    states text;
    condition text;
BEGIN
    SELECT r.* INTO parent
    FROM strata._rollup_progress p JOIN strata._rollups r ON r.rollup_id = p.fills_from AND r.table_id = rollup.table_id
    WHERE p.rollup_id = rollup.rollup_id AND r.rollup_id <> rollup.rollup_id AND r.exact_from <= rollup.exact_from;
    IF NOT FOUND OR current_setting('transaction_isolation') <> 'read committed' OR NOT strata._hold_rollup(parent)
        OR strata._partition_bytes(parent.storage) >= strata._partition_bytes(source)
    THEN
        RETURN NULL;
    END IF;
    condition := strata._group_condition(rollup, parent);
    keys := strata._group_keys(rollup, parent);
    states := strata._group_states(rollup, parent);
    RETURN format('SELECT %s, %s FROM (%s) u WHERE u.bucket >= %s AND u.bucket < %s AND u.bucket >= %s AND %s GROUP BY %s', keys, states,
        array_to_string(strata._view_arms(parent, strata._rollup_parts(parent)), ' UNION ALL '), parts.frozen_bucket, parts.filled_bucket,
        strata._time_at(bucket_type, quote_literal(fill_from) || '::timestamptz', false), condition, parts.ordinals);
EXCEPTION WHEN SQLSTATE 'ST005' THEN
    -- something is in it that the groups do not say
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION strata._filled_from_groups(strata._rollups, strata._rollup_parts, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION strata._filled_from_groups(strata._rollups, strata._rollup_parts, timestamptz) IS
'The query that gives the groups of a rollup from fill_from up to where it is filled, from the groups of the one it was made from; NULL if the rows are to be read.';

-- Keys of the other that are columns may stand in any expression, others only as they are.
CREATE FUNCTION strata._over_groups(expression text, parent regclass) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(min('u.' || quote_ident(d.column_name)) FILTER (WHERE d.expression = _over_groups.expression),
        strata._rewritten(_over_groups.expression,
            array_agg(CASE WHEN d.expression ~ '^e\.".*"$' THEN replace(substr(d.expression, 4, length(d.expression) - 4), '""', '"') ELSE substr(d.expression, 3) END)
                FILTER (WHERE d.expression ~ '^e\.("([^"]|"")*"|[[:alpha:]_][[:alnum:]_$]*)$'),
            array_agg('u.' || quote_ident(d.column_name)) FILTER (WHERE d.expression ~ '^e\.("([^"]|"")*"|[[:alpha:]_][[:alnum:]_$]*)$'), _over_groups.expression))
    FROM strata._definition_columns(parent) d WHERE d.aggregate IS NULL AND d.ordinal > 1
$$;
COMMENT ON FUNCTION strata._over_groups(text, regclass) IS
'An expression over rows as one over groups u of a rollup, given by its definition; ST005 if it takes more than its keys.';

CREATE FUNCTION strata._group_condition(rollup strata._rollups, parent strata._rollups) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    own text := strata._definition_filter(rollup.definition);
    others text := strata._definition_filter(parent.definition);
BEGIN
    IF rollup.timezone <> parent.timezone OR rollup.origin IS DISTINCT FROM parent.origin
        OR NOT strata._nests(parent.bucket, rollup.bucket, parent.origin IS NOT NULL) OR others IS NOT NULL AND own IS DISTINCT FROM others
    THEN
        PERFORM strata._refuse_expression(coalesce(own, 'bucket'), 'It is not made up of the groups of the other.', 'Read the rows.');
    END IF;
    RETURN CASE WHEN own IS NULL OR own = others THEN 'true' ELSE '(' || strata._over_groups(own, parent.definition) || ')' END;
END
$$;
REVOKE ALL ON FUNCTION strata._group_condition(strata._rollups, strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._group_condition(strata._rollups, strata._rollups) IS
'The condition on groups u of another rollup that make up those of a rollup; ST005 if no condition on them does.';

CREATE FUNCTION strata._group_keys(rollup strata._rollups, parent strata._rollups) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(format('%s AS %I', CASE
        WHEN d.ordinal = 1 THEN format('strata.time_bucket(%s)', array_to_string(ARRAY[s.bucket_arguments[1], 'u.bucket'] || s.bucket_arguments[3:], ', '))
        ELSE strata._over_groups(d.expression, (parent).definition) END, d.column_name), ', ' ORDER BY d.ordinal)
    FROM strata._definition_columns((rollup).definition) d, strata._definition_shape((rollup).definition) s
    WHERE d.aggregate IS NULL
$$;
REVOKE ALL ON FUNCTION strata._group_keys(strata._rollups, strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._group_keys(strata._rollups, strata._rollups) IS 'The keys of a rollup over groups u of another; ST005 if they take more than those.';

CREATE FUNCTION strata._group_states(rollup strata._rollups, parent strata._rollups) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result text;
    missing text;
BEGIN
    SELECT string_agg(format('%s AS %I', CASE
               WHEN p.state IS NULL THEN 'NULL'
               WHEN p.merge IN ('first', 'last') THEN format('strata.%s(u.%I, u.%I)', p.merge, p.state, format('_%s_%s_at', p.merge, p.ordinal))
               WHEN p.merge = 'sum' THEN format('sum(u.%I)::%s', p.state, s.state_type)
               ELSE format('%s(u.%I)', p.merge, p.state) END, s.state), ', ' ORDER BY s.ordinal, s.state),
           min(s.partial) FILTER (WHERE p.state IS NULL)
    INTO result, missing
    FROM strata._rollup_states(rollup.definition) s
    LEFT JOIN LATERAL (
        SELECT q.* FROM strata._rollup_states(parent.definition) q WHERE q.partial = s.partial AND q.merge = s.merge AND q.state_type = s.state_type
        ORDER BY q.ordinal LIMIT 1
    ) p ON true;
    IF missing IS NOT NULL THEN
        PERFORM strata._refuse_expression(missing, 'The other does not keep it.', 'Read the rows.');
    END IF;
    RETURN result;
END
$$;
REVOKE ALL ON FUNCTION strata._group_states(strata._rollups, strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._group_states(strata._rollups, strata._rollups) IS
'The states of a rollup merged from those of groups u of another; ST005 if it does not keep them all.';

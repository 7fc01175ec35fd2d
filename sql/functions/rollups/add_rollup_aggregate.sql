-- Promise: the rollup has one column more, exact like the others.
CREATE FUNCTION strata.add_rollup_aggregate(rollup regclass, aggregate text) RETURNS void
    LANGUAGE plpgsql VOLATILE STRICT
    -- no search_path: the caller's expression is parsed in the caller's
AS $$
DECLARE
    source pg_catalog.regclass := strata._source(rollup);
    place strata._rollup_place := strata._place_of(strata._authorize(source, 'OWNER'), rollup);
BEGIN
    EXECUTE strata._widened_definition((place).definition::pg_catalog.regclass, aggregate);
    PERFORM strata._add_rollup_aggregate(strata._authorize(source, 'OWNER'), rollup, aggregate);
END
$$;
COMMENT ON FUNCTION strata.add_rollup_aggregate(regclass, text) IS
'Adds a column to a rollup: aggregate is a call written "call AS name", as in create_rollup. The rollup is exact at once; what it had stored is filled again by the next refreshes (strata.refresh_rollups does it partition by partition), until when reading computes it from the rows. Buckets below retained_from, whose rows may be gone, have NULL in the new column. Takes ownership of the source. Errors: ST004 not a rollup, ST005 an expression it does not take, 55000 a suspended rollup.';

CREATE FUNCTION strata._place_of(source regclass, rollup regclass) RETURNS strata._rollup_place
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry strata._rollups;
BEGIN
    PERFORM strata._authorized(source, 'OWNER');
    PERFORM strata._lock_event_table(source);
    entry := strata._rollup_of(source, rollup);
    -- No refresh in between: it would look for states that are not there. Before the definition is replaced, which a refresh
    -- reads while it holds this lock.
    PERFORM FROM strata._rollup_progress p WHERE p.rollup_id = entry.rollup_id FOR NO KEY UPDATE;
    IF entry.suspended_at IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = format('rollup %s is suspended', rollup),
            HINT = format('Run: SELECT strata.resume_rollup(%L);', rollup::text);
    END IF;
    RETURN ROW(entry.rollup::text, entry.definition::text, entry.storage::text, entry.dirty::text)::strata._rollup_place;
END
$$;
COMMENT ON FUNCTION strata._place_of(regclass, regclass) IS 'The relations of a rollup that is kept up, with its refreshes held back.';

-- A view takes new columns at its end.
CREATE FUNCTION strata._widened_definition(definition regclass, aggregate text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('CREATE OR REPLACE VIEW %s AS SELECT %s, %s FROM %s e%s GROUP BY %s', definition,
        string_agg(format('%s AS %I', d.expression, d.column_name), ', ' ORDER BY d.ordinal), _widened_definition.aggregate,
        (SELECT s.source FROM strata._definition_shape(definition) s), coalesce(' WHERE ' || strata._definition_filter(definition), ''),
        string_agg(d.ordinal::text, ', ' ORDER BY d.ordinal) FILTER (WHERE d.aggregate IS NULL))
    FROM strata._definition_columns(definition) d
$$;
COMMENT ON FUNCTION strata._widened_definition(regclass, text) IS 'The statement that gives the definition of a rollup one aggregate more.';

CREATE FUNCTION strata._add_rollup_aggregate(source regclass, rollup regclass, aggregate text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
DECLARE
    owner regrole := strata._owner(source);
    event_table strata._event_tables;
    entry strata._rollups;
    statement text;
    columns bigint;
BEGIN
    PERFORM strata._authorized(source, 'OWNER');
    PERFORM strata._require_read_committed('add to a rollup');
    event_table := strata._lock_event_table(source);
    entry := strata._rollup_of(source, rollup);
    columns := (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = rollup AND a.attnum > 0);
    IF (SELECT count(*) FROM strata._definition_columns(entry.definition)) <> columns + 1
        OR EXISTS (SELECT FROM strata._definition_columns(entry.definition) d WHERE d.ordinal > columns AND d.aggregate IS NULL)
    THEN
        PERFORM strata._refuse_expression(aggregate, 'It is not a single aggregate call.',
            'Write one call, such as ''sum(amount) AS spend''; add others one by one.');
    END IF;
    PERFORM strata._check_definition(entry.definition,
        ARRAY(SELECT d.column_name FROM strata._definition_columns(entry.definition) d WHERE d.aggregate IS NULL AND d.ordinal > 1 ORDER BY d.ordinal),
        ARRAY(SELECT d.column_name FROM strata._definition_columns(entry.definition) d WHERE d.aggregate IS NOT NULL
              AND d.ordinal <= columns ORDER BY d.ordinal) || aggregate);
    FOR statement IN
        SELECT format('ALTER TABLE %s ADD COLUMN %I %s%s', entry.storage, s.state, s.state_type,
            (SELECT format(' COLLATE %I.%I', n.nspname, c.collname) FROM strata._definition_columns(entry.definition) d
             JOIN pg_collation c ON c.oid = d.collation_oid JOIN pg_namespace n ON n.oid = c.collnamespace
             WHERE d.ordinal = s.ordinal AND s.state = s.output AND c.collname <> 'default'))
        FROM strata._rollup_states(entry.definition) s
        WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = entry.storage AND a.attname = s.state AND NOT a.attisdropped)
        ORDER BY s.ordinal, s.state
    LOOP
        PERFORM strata._execute_as(owner, statement);
    END LOOP;
    UPDATE strata._rollup_progress p SET filled_from = 'infinity', writers_below = NULL, view_fills = true WHERE p.rollup_id = entry.rollup_id;
    PERFORM strata._execute_as(owner, format('DELETE FROM %s WHERE bucket >= %s', entry.storage,
        strata._time_at(strata._bucket_type(event_table.time_type), quote_literal(greatest(event_table.retained_from, entry.exact_from)) || '::timestamptz', false)));
    PERFORM strata._execute_as(owner, format('CREATE OR REPLACE VIEW %s AS %s', strata._view_name(entry), strata._view_sql(entry)));
    PERFORM strata._make_readers(entry);
    PERFORM strata._tell_recomputed(entry);
END
$$;
COMMENT ON FUNCTION strata._add_rollup_aggregate(regclass, regclass, text) IS 'The writing half of add_rollup_aggregate.';

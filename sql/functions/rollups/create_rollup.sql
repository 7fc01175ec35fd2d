-- Promise: from its creation on, at every commit, the rollup equals its defining query for all buckets at or after
-- retained_from.
-- Runs with the caller's rights and search_path, because the caller's expressions are parsed in it; everything else is
-- qualified.
CREATE FUNCTION strata.create_rollup(
    name text,
    source regclass,
    bucket interval,
    group_by text[],
    aggregates text[],
    filter text DEFAULT NULL,
    timezone text DEFAULT 'UTC',
    retention interval DEFAULT NULL,
    with_data boolean DEFAULT true
) RETURNS regclass
    LANGUAGE plpgsql VOLATILE
    -- no search_path: the caller's expressions are parsed in the caller's
AS $$
DECLARE
    -- the right is checked before anything is made, and again for the permit that the last step takes
    event_table pg_catalog.regclass := strata._managed(strata._authorize(strata._event_source(source), 'OWNER'));
    place strata._rollup_place := strata._rollup_place(name, source, pg_catalog.current_schema());
    written strata._written_bucket;
BEGIN
    IF source OPERATOR(pg_catalog.<>) event_table THEN
        PERFORM strata._parse_definition(strata._nested_statement(place, source, bucket, group_by, aggregates, filter, timezone), source);
        PERFORM strata._compose((place).definition::pg_catalog.regclass, source, group_by, aggregates);
        written := strata._written_bucket((place).definition::pg_catalog.regclass);
    ELSE
        PERFORM strata._parse_definition(strata._definition_statement(place, source, bucket, group_by, aggregates, filter, timezone), source);
    END IF;
    EXECUTE pg_catalog.format('ALTER VIEW %s OWNER TO %s', (place).definition, strata._owner(event_table));
    RETURN strata._create_rollup(strata._authorize(event_table, 'OWNER'), place, (place).definition::pg_catalog.regclass,
        bucket, group_by, aggregates, timezone, retention, with_data, (written).origin, CASE WHEN source OPERATOR(pg_catalog.<>) event_table THEN source END);
END
$$;
COMMENT ON FUNCTION strata.create_rollup(text, regclass, interval, text[], text[], text, text, interval, boolean) IS
'Creates a rollup: a view named name (in the first schema of search_path unless qualified) that groups the rows of source, an event table, by bucket of its time column in timezone and by group_by (columns, or immutable expressions written "expression AS name"), with the columns bucket, the keys, the aggregates. aggregates: aggregate calls, with DISTINCT, ORDER BY and FILTER as you like, each written "call AS name". filter: a condition on rows. retention: groups older than that are let go of by maintenance (strata.alter_rollup changes it); NULL keeps them for ever, also when their rows are gone. An aggregate that PostgreSQL can put together from parts exactly (count, sum and avg of whole numbers, numeric and interval, var_pop, var_samp, variance, stddev_pop, stddev_samp and stddev of whole numbers and numeric, min, max, bool_and, bool_or, every, bit_and, bit_or, bit_xor), strata.first, strata.last, and strata.histogram of constant bounds are folded from new rows only; any other, your own included, and any with DISTINCT or ORDER BY, is recomputed for the groups that new rows touch; a NOTICE says which is which. source may be a rollup: keys and filter then use its keys, bucket is made up of whole buckets of it in the same time zone, and aggregates are of its aggregates (sum of count or sum; min, max, bool_and, bool_or, bit_and, bit_or, bit_xor, first, last of themselves) or one of its columns alone, for the same aggregate of the larger group; what is made is a rollup of the event table, exact like any other. Blocks writers of source while it fills; with_data false blocks nobody and leaves filling to strata.refresh_rollups, until when the view computes from the rows what is not filled yet. Owned by the owner of source, who must be the caller. Errors: ST005 for an expression it does not take, ST001 not an event table.';

-- What was written over a rollup becomes what it means over the rows, under the same name.
CREATE FUNCTION strata._compose(definition regclass, parent regclass, group_by text[], aggregates text[]) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    place text := definition::text;
    is_temporary boolean := (SELECT c.relpersistence = 't' FROM pg_class c WHERE c.oid = definition);
    statement text;
BEGIN
    IF aggregates IS NOT NULL AND (SELECT count(*) FROM strata._definition_columns(definition)) <> 1 + coalesce(cardinality(group_by), 0) + cardinality(aggregates) THEN
        PERFORM strata._refuse_expression(array_to_string(group_by || aggregates, ', '), 'Some element holds more than one expression.',
            'Give every key and every aggregate an element of its own in group_by or aggregates.');
    END IF;
    statement := strata._composed_statement(definition, parent,
        array_fill(NULL::text, ARRAY[1 + coalesce(cardinality(group_by), 0)])
        || ARRAY(SELECT c.name FROM unnest(aggregates) WITH ORDINALITY a (element, position), strata._repeated_column(parent, a.element) c ORDER BY a.position));
    EXECUTE format('DROP VIEW %s', place);
    -- (explain_rollup makes it for a moment)
    EXECUTE CASE WHEN is_temporary THEN regexp_replace(statement, '^CREATE VIEW', 'CREATE TEMPORARY VIEW') ELSE statement END;
END
$$;
COMMENT ON FUNCTION strata._compose(regclass, regclass, text[], text[]) IS
'Replaces a definition over a rollup by the same over the rows. Runs as the caller, who owns the definition.';

-- The same from the query that people would write.
CREATE FUNCTION strata.create_rollup(name text, query text, retention interval DEFAULT NULL, with_data boolean DEFAULT true) RETURNS regclass
    LANGUAGE plpgsql VOLATILE
    -- no search_path: the caller's query is parsed in the caller's
AS $$
DECLARE
    place strata._rollup_place := strata._rollup_place(name, NULL, pg_catalog.current_schema());
    written strata._written_bucket;
    source pg_catalog.regclass;
BEGIN
    PERFORM strata._parse_definition(pg_catalog.format('CREATE VIEW %s AS %s', (place).definition, pg_catalog.rtrim(query, E'; \n\t')), NULL);
    source := (SELECT s.source FROM strata._definition_shape((place).definition::pg_catalog.regclass) s);
    PERFORM strata._managed(strata._authorize(strata._event_source(source), 'OWNER'));
    IF strata._event_source(source) OPERATOR(pg_catalog.<>) source THEN
        PERFORM strata._compose((place).definition::pg_catalog.regclass, source, NULL, NULL);
    ELSE
        source := NULL;
    END IF;
    written := strata._written_bucket((place).definition::pg_catalog.regclass);
    EXECUTE pg_catalog.format('ALTER VIEW %s OWNER TO %s', (place).definition, strata._owner((written).source));
    RETURN strata._create_rollup(strata._authorize((written).source, 'OWNER'), place, (place).definition::pg_catalog.regclass,
        (written).bucket, (written).keys, (written).aggregates, (written).timezone, retention, with_data, (written).origin, source);
END
$$;
COMMENT ON FUNCTION strata.create_rollup(text, text, interval, boolean) IS
'Creates a rollup from a query: SELECT strata.time_bucket(<width>, <time column>, <time zone>, <origin>) AS bucket, <keys>, <aggregates> FROM <event table> WHERE <filter> GROUP BY <bucket and keys>, columns in this order. Otherwise as create_rollup with its parts. Errors: ST005 for a query that no rollup can equal, ST001 not an event table.';

CREATE FUNCTION strata._create_rollup(
    source regclass, place strata._rollup_place, definition regclass, bucket interval,
    group_by text[], aggregates text[], timezone text, retention interval, with_data boolean, origin timestamptz DEFAULT NULL,
    parent regclass DEFAULT NULL
) RETURNS regclass
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(source);
    event_table strata._event_tables;
    rollup strata._rollups;
BEGIN
    PERFORM strata._authorized(source, 'OWNER');
    event_table := strata._event_table(source);
    IF strata._owner(definition) <> owner THEN
        RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = format('permission denied for view %s', definition),
            DETAIL = 'The definition of a rollup belongs to the owner of its event table.', HINT = 'Call strata.create_rollup.';
    END IF;
    PERFORM strata._require_read_committed('create a rollup');
    PERFORM strata._forget_dropped_relations();
    PERFORM strata._check_rollup_retention(retention);
    PERFORM strata._check_definition(definition, group_by, aggregates);
    -- The ledger must not be pruned, nor retention go on, while its batches are counted. First the catalog row, then the
    -- table: so does whoever makes partitions.
    event_table := strata._lock_event_table(source);
    IF with_data THEN
        -- A writer that began before the rollup would mark no group of it: wait for it, and hold the next ones back.
        PERFORM strata._lock_views(source, '{}');
    END IF;
    PERFORM strata._create_storage(place, definition, source, owner);
    INSERT INTO strata._rollups (table_id, rollup, definition, storage, dirty, bucket, timezone, origin, retention, parent_id)
    VALUES (event_table.table_id, definition, definition, place.storage::regclass, place.dirty::regclass, bucket, timezone, origin, retention,
        CASE WHEN parent IS NOT NULL THEN (strata._rollup_of(source, parent)).rollup_id END)
    RETURNING * INTO rollup;
    -- a bucket that retention has cut through is not complete
    UPDATE strata._rollups r SET exact_from = strata._bucket_upper(r, event_table.retained_from)
    WHERE r.rollup_id = rollup.rollup_id AND strata._bucket_lower(r, event_table.retained_from) < event_table.retained_from;
    UPDATE strata._rollups r SET kept_from = strata._trim_target(event_table, r), exact_from = greatest(r.exact_from, strata._trim_target(event_table, r))
    WHERE r.rollup_id = rollup.rollup_id AND r.retention IS NOT NULL;
    SELECT r.* INTO rollup FROM strata._rollups r WHERE r.rollup_id = rollup.rollup_id;
    PERFORM strata._cover_storage(rollup, strata._uncovered(rollup));
    INSERT INTO strata._rollup_progress (rollup_id, filled_from, view_fills, fills_from) VALUES (rollup.rollup_id, 'infinity', true, rollup.parent_id);
    PERFORM strata._execute_as(owner, format('CREATE VIEW %s AS %s', place.rollup, strata._view_sql(rollup)));
    UPDATE strata._rollups r SET rollup = place.rollup::regclass WHERE r.rollup_id = rollup.rollup_id RETURNING * INTO rollup;
    PERFORM strata._make_readers(rollup);
    PERFORM strata._execute_as(owner, format('COMMENT ON VIEW %s IS %L', place.rollup,
        format('pg_strata rollup of %s; strata.rollup_query() shows its query', source)));
    PERFORM strata._tell_recomputed(rollup);
    PERFORM strata._close_batch(source);
    IF with_data THEN
        PERFORM strata._fill_rollup(rollup, true);
        PERFORM strata._set_final_view(rollup);
    END IF;
    RETURN rollup.rollup;
END
$$;
COMMENT ON FUNCTION strata._create_rollup(regclass, strata._rollup_place, regclass, interval, text[], text[], text, interval, boolean, timestamptz, regclass) IS
'The writing half of create_rollup.';

CREATE FUNCTION strata._create_storage(place strata._rollup_place, definition regclass, source regclass, owner regrole) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys text := (SELECT string_agg(format('%s AS %I', d.expression, d.column_name), ', ' ORDER BY d.ordinal)
                  FROM strata._definition_columns(definition) d WHERE d.aggregate IS NULL);
    states text := (SELECT string_agg(format('%s AS %I', s.partial, s.state), ', ' ORDER BY s.ordinal, s.state)
                    FROM strata._rollup_states(definition) s);
    ordinals text := (SELECT string_agg(d.ordinal::text, ', ') FROM strata._definition_columns(definition) d WHERE d.aggregate IS NULL);
    hashed record;
BEGIN
    -- Types, modifiers and collations come from the expressions themselves: by way of a table for a moment, since
    -- CREATE TABLE AS makes none that is partitioned.
    PERFORM strata._execute_as(owner, format('CREATE TABLE %s AS SELECT %s, %s FROM %s e GROUP BY %s WITH NO DATA',
        place.dirty, keys, states, source, ordinals));
    PERFORM strata._execute_as(owner, format('CREATE TABLE %s (LIKE %s) PARTITION BY RANGE (bucket)', place.storage, place.dirty));
    PERFORM strata._execute_as(owner, format('DROP TABLE %s', place.dirty));
    PERFORM strata._execute_as(owner, format('ALTER TABLE %s ALTER COLUMN bucket SET NOT NULL', place.storage));
    PERFORM strata._execute_as(owner, format('CREATE UNIQUE INDEX ON %s (%s) NULLS NOT DISTINCT', place.storage, strata._conflict_target(definition)));
    FOR hashed IN
        SELECT d.column_name FROM strata._definition_columns(definition) d
        WHERE d.aggregate IS NULL AND d.ordinal > 1
          AND strata._index_key(d.column_name, d.type_oid, d.type_modifier) <> quote_ident(d.column_name)
    LOOP
        PERFORM strata._execute_as(owner, format('CREATE INDEX ON %s USING hash (%I)', place.storage, hashed.column_name));
    END LOOP;
    PERFORM strata._execute_as(owner, format('CREATE INDEX ON %s (bucket)', place.storage));
    PERFORM strata._execute_as(owner, format('CREATE TABLE %s AS SELECT %s, e.batch_id FROM %s e WITH NO DATA', place.dirty, keys, source));
    PERFORM strata._execute_as(owner, format('CREATE INDEX ON %s (bucket)', place.dirty));
    -- in a publication FOR ALL TABLES rows without a key could not be changed otherwise
    PERFORM strata._execute_as(owner, format('ALTER TABLE %s REPLICA IDENTITY FULL', t)) FROM unnest(ARRAY[place.storage, place.dirty]) t;
    PERFORM strata._execute_as(owner, format('COMMENT ON TABLE %s IS %L', place.storage, 'pg_strata: folded groups of rollup ' || place.rollup || '; written by refresh_rollup'));
    PERFORM strata._execute_as(owner, format('COMMENT ON TABLE %s IS %L', place.dirty, 'pg_strata: groups of rollup ' || place.rollup || ' to be recomputed'));
END
$$;
REVOKE ALL ON FUNCTION strata._create_storage(strata._rollup_place, regclass, regclass, regrole) FROM PUBLIC;
COMMENT ON FUNCTION strata._create_storage(strata._rollup_place, regclass, regclass, regrole) IS
'Makes the storage table and the table of dirty marks of a rollup, as the owner of its source.';

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
    event_table pg_catalog.regclass := strata._managed(strata._authorize(source, 'OWNER'));
    place strata._rollup_place := strata._rollup_place(name, source, pg_catalog.current_schema());
BEGIN
    EXECUTE strata._definition_statement(place, source, bucket, group_by, aggregates, filter, timezone);
    EXECUTE pg_catalog.format('ALTER VIEW %s OWNER TO %s', (place).definition, strata._owner(source));
    RETURN strata._create_rollup(strata._authorize(source, 'OWNER'), place, (place).definition::pg_catalog.regclass,
        bucket, group_by, aggregates, timezone, retention, with_data);
END
$$;
COMMENT ON FUNCTION strata.create_rollup(text, regclass, interval, text[], text[], text, text, interval, boolean) IS
'Creates a rollup: a view named name (in the first schema of search_path unless qualified) that groups the rows of event table source by bucket of its time column in timezone and by group_by (columns, or immutable expressions written "expression AS name"), with the columns bucket, the keys, the aggregates. aggregates: aggregate calls, with DISTINCT, ORDER BY and FILTER as you like, each written "call AS name". filter: a condition on rows. An aggregate that PostgreSQL can put together from parts exactly (count, sum, avg of whole numbers, numeric and interval, min, max, bool_and, bool_or, every, bit_and, bit_or, bit_xor) is folded from new rows only; any other, your own included, and any with DISTINCT or ORDER BY, is recomputed for the groups that new rows touch; a NOTICE says which is which. Blocks writers of source while it fills; with_data false blocks nobody and leaves filling to strata.refresh_rollups, until when the view computes from the rows what is not filled yet. Owned by the owner of source, who must be the caller. Errors: ST005 for an expression it does not take, ST001 not an event table.';

CREATE FUNCTION strata._rollup_place(name text, source regclass, creation_schema name) RETURNS strata._rollup_place
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts text[] := parse_ident(name);
    namespace regnamespace;
    base text := parts[cardinality(parts)];
    qualified text;
    place strata._rollup_place;
BEGIN
    IF name IS NULL OR cardinality(parts) > 2 THEN
        RAISE EXCEPTION USING ERRCODE = '42602', MESSAGE = format('invalid name for a rollup: %s', coalesce(name, 'NULL')),
            HINT = 'Write a name, or schema.name.';
    ELSIF octet_length(base) > 63 THEN
        RAISE EXCEPTION USING ERRCODE = '42622', MESSAGE = format('name of rollup "%s" is longer than 63 bytes', base),
            HINT = 'Choose a shorter name.';
    ELSIF cardinality(parts) = 1 AND creation_schema IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = '3F000', MESSAGE = 'no schema has been selected to create in',
            HINT = 'Qualify the name of the rollup with a schema, or set search_path.';
    END IF;
    namespace := quote_ident(CASE cardinality(parts) WHEN 2 THEN parts[1] ELSE creation_schema::text END)::regnamespace;
    qualified := namespace::text || '.' || quote_ident(base);
    IF to_regclass(qualified) IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '42P07', MESSAGE = format('relation %s already exists', qualified),
            HINT = 'Choose another name, or drop it: SELECT strata.drop_rollup(…) for a rollup.';
    END IF;
    SELECT qualified,
           namespace::text || '.' || quote_ident(strata._with_suffix(base::name, '_definition', namespace)),
           namespace::text || '.' || quote_ident(strata._with_suffix(base::name, '_storage', namespace)),
           namespace::text || '.' || quote_ident(strata._with_suffix(base::name, '_dirty', namespace))
    INTO place;
    RETURN place;
END
$$;
COMMENT ON FUNCTION strata._rollup_place(text, regclass, name) IS 'Names for the relations of a new rollup; 42P07 if its own is taken.';

CREATE FUNCTION strata._definition_statement(
    place strata._rollup_place, source regclass, bucket interval, group_by text[], aggregates text[], filter text, timezone text
) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reference text := format('%s.%I', source, strata._time_column(source));
    time_type regtype := (SELECT a.atttypid::regtype FROM pg_attribute a WHERE a.attrelid = source AND a.attname = strata._time_column(source));
    complaint text := CASE
        WHEN bucket IS NULL OR timezone IS NULL THEN 'a rollup needs a bucket width and a time zone'
        WHEN coalesce(cardinality(aggregates), 0) = 0 THEN 'a rollup needs at least one aggregate'
        WHEN array_position(group_by, NULL) IS NOT NULL OR array_position(aggregates, NULL) IS NOT NULL THEN 'group_by and aggregates must not contain NULL'
        WHEN coalesce(cardinality(group_by), 0) > 31 THEN 'a rollup has at most 31 keys'
    END;
BEGIN
    IF complaint IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = complaint,
            HINT = 'For example: bucket => ''1 day'', group_by => ARRAY[''user_id''], aggregates => ARRAY[''count(*) AS events''].';
    END IF;
    IF time_type IN ('timestamp'::regtype, 'date'::regtype) AND timezone <> 'UTC' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('the time column of %s has no time zone to convert from', source),
            DETAIL = format('Its type is %s: buckets are of the same type, on the wall-clock time as it stands.', format_type(time_type, NULL)),
            HINT = 'Leave timezone out.';
    ELSIF time_type = 'date'::regtype THEN
        PERFORM strata.time_bucket(bucket, current_date);
    END IF;
    PERFORM strata.time_bucket(bucket, now(), timezone);
    RETURN format('CREATE VIEW %s AS SELECT strata.time_bucket(%L::interval, %s) AS bucket%s, %s FROM %s%s GROUP BY %s',
        place.definition, bucket,
        CASE time_type
            WHEN 'uuid'::regtype THEN format('%s, %L::text', strata._time_value(time_type, reference), timezone)
            WHEN 'timestamptz'::regtype THEN format('%s, %L::text', reference, timezone)
            ELSE reference END,
        (SELECT string_agg(', ' || g.key, '' ORDER BY g.position) FROM unnest(group_by) WITH ORDINALITY AS g (key, position)),
        array_to_string(aggregates, ', '), source, ' WHERE ' || filter,
        (SELECT string_agg(n::text, ', ' ORDER BY n) FROM generate_series(1, 1 + coalesce(cardinality(group_by), 0)) AS n));
END
$$;
COMMENT ON FUNCTION strata._definition_statement(strata._rollup_place, regclass, interval, text[], text[], text, text) IS
'The CREATE VIEW of a rollup''s definition.';

CREATE FUNCTION strata._refuse_expression(piece text, detail text, hint text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'ST005', MESSAGE = format('a rollup cannot take "%s"', piece), DETAIL = detail, HINT = hint;
END
$$;
REVOKE ALL ON FUNCTION strata._refuse_expression(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._refuse_expression(text, text, text) IS 'Raises ST005 about one expression of a rollup.';

CREATE FUNCTION strata._check_definition(definition regclass, group_by text[], aggregates text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys int := coalesce(cardinality(group_by), 0);
    piece text;
    col record;
BEGIN
    IF (SELECT count(*) FROM strata._definition_columns(definition)) <> 1 + keys + cardinality(aggregates) THEN
        PERFORM strata._refuse_expression(array_to_string(group_by || aggregates, ', '), 'Some element holds more than one expression.',
            'Give every key and every aggregate an element of its own in group_by or aggregates.');
    END IF;
    IF (SELECT count(*) FROM strata._definition_columns(definition) d WHERE d.column_name = 'batch_id') > 0 THEN
        PERFORM strata._refuse_expression('batch_id', 'The name batch_id is taken by the ledger.', 'Call the column something else: … AS batch.');
    END IF;
    IF strata._definition_filter_is_mutable(definition) THEN
        PERFORM strata._refuse_expression(strata._definition_filter(definition),
            'The filter calls a function that is not immutable: its value depends on settings or on the time.',
            'Compare with constants, and filter by time when reading.');
    END IF;
    FOR col IN SELECT * FROM strata._definition_columns(definition) d WHERE d.ordinal > 1 ORDER BY d.ordinal LOOP
        piece := (group_by || aggregates)[col.ordinal - 1];
        IF col.is_mutable THEN
            PERFORM strata._refuse_expression(piece, 'It calls a function that is not immutable: its value depends on settings or on the time.',
                'Fix what it depends on, for example (ts AT TIME ZONE ''UTC'')::date instead of ts::date.');
        ELSIF col.ordinal <= keys + 1 THEN
            PERFORM strata._check_key(piece, col.column_name, col.type_oid, col.type_modifier, col.collation_oid);
            CONTINUE;
        ELSIF col.aggregate IS NULL THEN
            PERFORM strata._refuse_expression(piece, 'It is not a single aggregate call.',
                'Write one call per column, such as ''sum(amount) AS spend'', and compute with the columns of the rollup afterwards.');
        END IF;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._check_definition(regclass, text[], text[]) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_definition(regclass, text[], text[]) IS 'Says which expression of a rollup it cannot take, and how to write it: ST005.';

CREATE FUNCTION strata._check_key(piece text, column_name text, type_oid oid, type_modifier int, collation_oid oid) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hashable boolean := (SELECT t.typlen > 0 FROM pg_type t WHERE t.oid = type_oid)
        OR type_oid IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'bytea'::regtype, 'inet'::regtype, 'cidr'::regtype)
        -- the precision stands in the upper half of the modifier
        OR (type_oid = 'numeric'::regtype AND type_modifier <> -1 AND ((type_modifier - 4) >> 16) <= 100);
BEGIN
    IF column_name = 'bucket' THEN
        PERFORM strata._refuse_expression(piece, 'The column bucket is the time bucket itself.', 'Give the key another name: … AS name.');
    ELSIF NOT hashable THEN
        PERFORM strata._refuse_expression(piece, format('A key of type %s can be longer than an index entry.', format_type(type_oid, type_modifier)),
            'Cast it to a type of bounded length, such as numeric(12,2), or to text.');
    ELSIF NOT (SELECT coalesce(bool_and(c.collisdeterministic), true) FROM pg_collation c WHERE c.oid = collation_oid) THEN
        PERFORM strata._refuse_expression(piece, 'Its collation is not deterministic: it takes different texts for equal, so a group would have no one key.',
            format('Use another collation: (%s) COLLATE "C" AS %I', piece, column_name));
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._check_key(text, text, oid, int, oid) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_key(text, text, oid, int, oid) IS 'Says why an expression cannot be a key of a rollup: ST005.';

CREATE FUNCTION strata._create_rollup(
    source regclass, place strata._rollup_place, definition regclass, bucket interval,
    group_by text[], aggregates text[], timezone text, retention interval, with_data boolean
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
    PERFORM strata._check_definition(definition, group_by, aggregates);
    IF with_data THEN
        -- A writer that began before the rollup would mark no group of it: wait for it, and hold the next ones back.
        PERFORM strata._execute_as(owner, format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', source));
    END IF;
    -- nor may the ledger be pruned, or retention go on, while they are counted
    PERFORM FROM strata._event_tables t WHERE t.table_id = event_table.table_id FOR NO KEY UPDATE;
    event_table := strata._event_table(source);
    PERFORM strata._create_storage(place, definition, source, owner);
    INSERT INTO strata._rollups (table_id, rollup, definition, storage, dirty, bucket, timezone, retention)
    VALUES (event_table.table_id, definition, definition, place.storage::regclass, place.dirty::regclass, bucket, timezone, retention)
    RETURNING * INTO rollup;
    -- a bucket that retention has cut through is not complete
    UPDATE strata._rollups r SET exact_from = strata._bucket_upper(r, event_table.retained_from)
    WHERE r.rollup_id = rollup.rollup_id AND strata._bucket_lower(r, event_table.retained_from) < event_table.retained_from;
    INSERT INTO strata._rollup_progress (rollup_id, filled_from, view_fills) VALUES (rollup.rollup_id, 'infinity', true);
    PERFORM strata._execute_as(owner, format('CREATE VIEW %s AS %s', place.rollup, strata._view_sql(rollup)));
    UPDATE strata._rollups r SET rollup = place.rollup::regclass WHERE r.rollup_id = rollup.rollup_id RETURNING * INTO rollup;
    PERFORM strata._execute_as(owner, format('COMMENT ON VIEW %s IS %L', place.rollup,
        format('pg_strata rollup of %s; strata.rollup_query() shows its query', source)));
    PERFORM strata._tell_recomputed(rollup);
    PERFORM strata._close_batch(source);
    IF with_data THEN
        PERFORM strata._fill_rollup(rollup);
    END IF;
    RETURN rollup.rollup;
END
$$;
COMMENT ON FUNCTION strata._create_rollup(regclass, strata._rollup_place, regclass, interval, text[], text[], text, interval, boolean) IS
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
    -- types, modifiers and collations come from the expressions themselves; room on each page keeps updates HOT
    PERFORM strata._execute_as(owner, format('CREATE TABLE %s WITH (fillfactor = 70) AS SELECT %s, %s FROM %s e GROUP BY %s WITH NO DATA',
        place.storage, keys, states, source, ordinals));
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
    PERFORM strata._execute_as(owner, format('COMMENT ON TABLE %s IS %L', place.storage, 'pg_strata: folded groups of rollup ' || place.rollup || '; written by refresh_rollup'));
    PERFORM strata._execute_as(owner, format('COMMENT ON TABLE %s IS %L', place.dirty, 'pg_strata: groups of rollup ' || place.rollup || ' to be recomputed'));
END
$$;
REVOKE ALL ON FUNCTION strata._create_storage(strata._rollup_place, regclass, regclass, regrole) FROM PUBLIC;
COMMENT ON FUNCTION strata._create_storage(strata._rollup_place, regclass, regclass, regrole) IS
'Makes the storage table and the table of dirty marks of a rollup, as the owner of its source.';

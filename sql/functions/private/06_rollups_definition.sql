-- Definitions of rollups: what they are called, how they are written, what they cannot take.
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

CREATE FUNCTION strata._parse_definition(statement text, source regclass) RETURNS void
    LANGUAGE plpgsql VOLATILE
    -- no search_path: the caller's expressions are parsed in the caller's
AS $$
DECLARE
    message pg_catalog.text;
BEGIN
    EXECUTE statement;
EXCEPTION WHEN unique_violation THEN
    -- (what PostgreSQL says when two sessions make a relation of one name at once)
    RAISE EXCEPTION USING ERRCODE = '42P07', MESSAGE = 'the rollup exists already',
        DETAIL = 'Another transaction has just made one of this name.', HINT = 'Take another name, or strata.replace_rollup to put one in its place.';
WHEN undefined_column THEN
    IF source IS NULL THEN
        RAISE;
    END IF;
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
    RAISE EXCEPTION USING ERRCODE = '42703', MESSAGE = message, DETAIL = strata._columns_there_are(source),
        HINT = 'Write columns as in a query over it, those with capitals or odd characters in double quotes: ARRAY[''user_id'', ''"Kind" AS kind''].';
END
$$;
COMMENT ON FUNCTION strata._parse_definition(text, regclass) IS
'Runs the CREATE VIEW of a definition as the caller; says which columns source has, unless that is NULL, where it names one that is not there (42703), and that a rollup made meanwhile has the name (42P07).';

CREATE FUNCTION strata._columns_there_are(relation regclass) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%s has the columns %s.', relation, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum))
    FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'batch_id'
$$;
COMMENT ON FUNCTION strata._columns_there_are(regclass) IS 'A sentence that names the columns of a relation.';

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

-- Recomputing would not help: what one session stores, another with other settings would not find equal to the query.
CREATE FUNCTION strata._refuse_settings(piece text, aggregate oid) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_aggregate a JOIN pg_proc p ON p.oid IN (a.aggfnoid, a.aggtransfn)
               WHERE a.aggfnoid = aggregate AND p.provolatile = 's' AND p.pronamespace = 'pg_catalog'::regnamespace) THEN
        PERFORM strata._refuse_expression(piece,
            format('What %s gives depends on settings of the session, such as TimeZone and DateStyle, so that sessions would not agree on what is exact.', aggregate::regproc),
            'Keep the values and render them when reading: array_agg(<value> ORDER BY <event time>) AS items in the rollup, and SELECT to_jsonb(items) from it.');
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._refuse_settings(text, oid) FROM PUBLIC;
COMMENT ON FUNCTION strata._refuse_settings(text, oid) IS 'Says why an aggregate that is only STABLE (those of JSON) cannot be kept, and what to keep instead: ST005.';

-- PostgreSQL declares every aggregate IMMUTABLE, whatever it is made of.
CREATE FUNCTION strata._refuse_parts(piece text, aggregate oid) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part regprocedure := (
        SELECT p.oid::regprocedure FROM pg_aggregate a JOIN pg_proc p ON p.oid IN (a.aggtransfn, a.aggfinalfn)
        WHERE a.aggfnoid = aggregate AND p.provolatile <> 'i' ORDER BY p.oid = a.aggfinalfn LIMIT 1);
BEGIN
    IF part IS NOT NULL THEN
        PERFORM strata._refuse_expression(piece,
            format('The aggregate %s computes with %s, which is not immutable: the same rows need not give the same value twice.', aggregate::regproc, part),
            format('If it depends on its arguments alone, declare it so: ALTER FUNCTION %s IMMUTABLE;', part));
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._refuse_parts(text, oid) FROM PUBLIC;
COMMENT ON FUNCTION strata._refuse_parts(text, oid) IS 'Refuses an aggregate whose transition or final function is not immutable: ST005.';

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
            PERFORM strata._refuse_settings(piece, col.aggregate);
            PERFORM strata._refuse_expression(piece, 'It calls a function that is not immutable: its value depends on settings or on the time.',
                'Fix what it depends on, for example (ts AT TIME ZONE ''UTC'')::date instead of ts::date. A function of your own that depends on its arguments alone is declared so: ALTER FUNCTION … IMMUTABLE.');
        ELSIF col.ordinal <= keys + 1 THEN
            PERFORM strata._check_key(piece, col.column_name, col.type_oid, col.type_modifier, col.collation_oid);
            CONTINUE;
        ELSIF col.aggregate IS NULL THEN
            PERFORM strata._refuse_expression(piece, 'It is not a single aggregate call.',
                'Write one call per column, such as ''sum(amount) AS spend'', and compute with the columns of the rollup afterwards.');
        END IF;
        PERFORM strata._refuse_settings(piece, col.aggregate);
        PERFORM strata._refuse_parts(piece, col.aggregate);
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

-- What a definition that was written as a query says of its bucket.
CREATE TYPE strata._written_bucket AS (source regclass, bucket interval, timezone text, origin timestamptz, keys text[], aggregates text[]);

CREATE FUNCTION strata._written_bucket(definition regclass) RETURNS strata._written_bucket
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
AS $$
DECLARE
    shape record;
    fault text;
    time_type regtype;
    reference text;
    zone text;
    origin text;
    written strata._written_bucket;
BEGIN
    SELECT d.* INTO shape FROM strata._definition_shape(definition) d;
    fault := shape.fault;
    IF fault IS NULL AND (SELECT d.column_name FROM strata._definition_columns(definition) d WHERE d.ordinal = 1) <> 'bucket' THEN
        fault := 'its first column is not called bucket';
    END IF;
    time_type := (SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = shape.source AND a.attname = strata._time_column(shape.source));
    reference := strata._time_value(CASE time_type WHEN 'uuid'::regtype THEN time_type ELSE 'timestamptz'::regtype END, 'e.' || quote_ident(strata._time_column(shape.source)));
    IF fault IS NULL AND shape.bucket_arguments[2] IS DISTINCT FROM reference THEN
        fault := format('its bucket is of %s, not of the time column of %s', shape.bucket_arguments[2], shape.source);
    END IF;
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'ST005', MESSAGE = 'the query is not one that a rollup can equal', DETAIL = format('It cannot be: %s.', fault),
            HINT = format('Write: SELECT strata.time_bucket(''1 day'', %s) AS bucket, <keys>, <aggregates> FROM %s GROUP BY 1, <keys>',
                strata._time_column(shape.source), shape.source);
    END IF;
    -- (wall-clock times have no time zone between width and origin)
    IF time_type IN ('timestamp'::regtype, 'date'::regtype) THEN
        origin := '(' || shape.bucket_arguments[3] || ')::timestamp AT TIME ZONE ''UTC''';
    ELSE
        zone := shape.bucket_arguments[3];
        origin := shape.bucket_arguments[4];
    END IF;
    -- constants all of them
    EXECUTE format('SELECT %L::regclass, (%s)::interval, coalesce((%s)::text, ''UTC''), (%s)::timestamptz, $1, $2', shape.source::oid,
        shape.bucket_arguments[1], coalesce(zone, 'NULL'), coalesce(origin, 'NULL'))
    INTO written
    USING ARRAY(SELECT format('%s AS %I', d.expression, d.column_name) FROM strata._definition_columns(definition) d
                WHERE d.aggregate IS NULL AND d.ordinal > 1 ORDER BY d.ordinal),
          ARRAY(SELECT format('%s AS %I', d.expression, d.column_name) FROM strata._definition_columns(definition) d
                WHERE d.aggregate IS NOT NULL ORDER BY d.ordinal);
    RETURN written;
END
$$;
COMMENT ON FUNCTION strata._written_bucket(regclass) IS 'Source, bucket, keys and aggregates of a definition view; ST005 if it is not the definition of a rollup.';

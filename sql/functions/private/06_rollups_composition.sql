-- Rollups over rollups: a definition in terms of another rollup's columns is rewritten in terms of the rows beneath both.
-- What comes of it is a rollup of the event table like any other, exact by the same means; here it is decided which
-- rewritings mean the same.
CREATE FUNCTION strata._event_source(source regclass) RETURNS regclass
    LANGUAGE sql STABLE STRICT SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT t.relation FROM strata._rollups r JOIN strata._event_tables t ON t.table_id = r.table_id WHERE r.rollup = source), source)
$$;
COMMENT ON FUNCTION strata._event_source(regclass) IS 'The event table beneath a rollup; any other relation itself.';

-- The columns of a rollup by the names its view has now, with what they are made of.
CREATE FUNCTION strata._rollup_columns(rollup regclass) RETURNS TABLE (name text, ordinal int, expression text, aggregate oid, arguments text[], filter text, is_ordered boolean)
    LANGUAGE sql STABLE STRICT SECURITY DEFINER
    -- permit: none needed, rollup_query shows the same to everybody
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.attname, d.ordinal, d.expression, d.aggregate, d.arguments, d.filter, d.is_ordered
    FROM strata._rollups r CROSS JOIN LATERAL strata._definition_columns(r.definition) d
    JOIN pg_attribute a ON a.attrelid = r.rollup AND a.attnum = d.ordinal
    WHERE r.rollup = _rollup_columns.rollup
$$;
COMMENT ON FUNCTION strata._rollup_columns(regclass) IS 'The columns of a rollup, each with its expression over the rows.';

-- A column of the other rollup alone stands for the same aggregate of the larger group.
CREATE FUNCTION strata._repeated_column(parent regclass, element text, OUT name text, OUT alias text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    words text[] := regexp_match(element, '^\s*("(?:[^"]|"")+"|[^\s"(),.]+)(?:\s+(?:AS\s+)?("(?:[^"]|"")+"|[^\s"(),.]+))?\s*$', 'i');
BEGIN
    name := (SELECT c.name FROM strata._rollup_columns(parent) c
             WHERE c.aggregate IS NOT NULL AND c.name IN (CASE WHEN words[1] ~ '^"' THEN replace(trim('"' FROM words[1]), '""', '"') ELSE lower(words[1]) END));
    IF name IS NOT NULL THEN
        alias := coalesce(words[2], quote_ident(name));
    END IF;
END
$$;
COMMENT ON FUNCTION strata._repeated_column(regclass, text) IS 'The aggregate column of a rollup that an element of aggregates consists of, and what it is to be called; NULL if it is more than that.';

-- As the caller wrote it, over the rollup: PostgreSQL parses it, and it is never run.
CREATE FUNCTION strata._nested_statement(
    place strata._rollup_place, parent regclass, bucket interval, group_by text[], aggregates text[], filter text, timezone text
) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    -- permit: none needed, it only reads the definition of the bucket
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry strata._rollups := (SELECT r FROM strata._rollups r WHERE r.rollup = parent);
    bucket_type regtype := strata._bucket_type((SELECT t.time_type FROM strata._event_tables t WHERE t.table_id = entry.table_id));
    bucket_column text := (SELECT quote_ident(c.name) FROM strata._rollup_columns(parent) c WHERE c.ordinal = 1);
BEGIN
    -- raises what is wrong with the arguments alone
    PERFORM strata._definition_statement(place, strata._event_source(parent), bucket, group_by, aggregates, filter, timezone);
    RETURN format('CREATE VIEW %s AS SELECT strata.time_bucket(%L::interval, %s.%s%s%s) AS bucket%s, %s FROM %s%s GROUP BY %s',
        place.definition, bucket, parent, bucket_column,
        CASE WHEN bucket_type = 'timestamptz'::regtype THEN format(', %L::text', timezone) ELSE '' END,
        coalesce(', ' || strata._time_at(bucket_type, quote_literal(entry.origin) || '::timestamptz', false), ''),
        (SELECT string_agg(', ' || g.key, '' ORDER BY g.position) FROM unnest(group_by) WITH ORDINALITY AS g (key, position)),
        (SELECT string_agg(coalesce('count(*) AS ' || c.alias, a.element), ', ' ORDER BY a.position)
         FROM unnest(aggregates) WITH ORDINALITY AS a (element, position), strata._repeated_column(parent, a.element) c),
        parent, ' WHERE ' || filter,
        (SELECT string_agg(n::text, ', ' ORDER BY n) FROM generate_series(1, 1 + coalesce(cardinality(group_by), 0)) AS n));
END
$$;
COMMENT ON FUNCTION strata._nested_statement(strata._rollup_place, regclass, interval, text[], text[], text, text) IS
'The CREATE VIEW of a definition over another rollup, to be composed.';

CREATE FUNCTION strata._composed_statement(definition regclass, parent regclass, repeated text[] DEFAULT '{}') RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    -- permit: none needed, it only reads definitions
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
DECLARE
    entry strata._rollups := (SELECT r FROM strata._rollups r WHERE r.rollup = parent);
    shape record;
    own record;
    names text[];
    keys text[];
    conditions text[];
    result text;
BEGIN
    SELECT d.* INTO shape FROM strata._definition_shape(definition) d;
    SELECT d.* INTO own FROM strata._definition_shape(entry.definition) d;
    IF shape.fault IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'ST005', MESSAGE = 'the query is not one that a rollup can equal', DETAIL = format('It cannot be: %s.', shape.fault),
            HINT = format('Write: SELECT strata.time_bucket(''1 month'', bucket) AS bucket, <keys>, <aggregates> FROM %s GROUP BY 1, <keys>', parent);
    END IF;
    PERFORM strata._check_nesting(entry, shape.bucket_arguments);
    -- what may be written anywhere: the keys and the bucket
    SELECT array_agg(c.name ORDER BY c.ordinal), array_agg(c.expression ORDER BY c.ordinal) INTO names, keys
    FROM strata._rollup_columns(parent) c WHERE c.aggregate IS NULL;
    conditions := array_remove(ARRAY[strata._definition_filter(entry.definition),
        strata._rewritten(strata._definition_filter(definition), names, keys, strata._definition_filter(definition))], NULL);
    SELECT string_agg(format('%s AS %I', CASE
            WHEN d.ordinal = 1 THEN format('strata.time_bucket(%s)', array_to_string(shape.bucket_arguments[1] || own.bucket_arguments[2:], ', '))
            WHEN d.aggregate IS NULL THEN strata._rewritten(d.expression, names, keys, d.expression)
            WHEN repeated[d.ordinal] IS NOT NULL THEN (SELECT c.expression FROM strata._rollup_columns(parent) c WHERE c.name = repeated[d.ordinal])
            ELSE strata._composed_aggregate(parent, d.expression, d.aggregate, d.arguments, d.filter, d.is_ordered, names, keys)
        END, d.column_name), ', ' ORDER BY d.ordinal)
        || format(' FROM %s e', own.source) || coalesce(' WHERE (' || nullif(array_to_string(conditions, ') AND ('), '') || ')', '')
        || ' GROUP BY ' || string_agg(d.ordinal::text, ', ' ORDER BY d.ordinal) FILTER (WHERE d.aggregate IS NULL)
    INTO result
    FROM strata._definition_columns(definition) d;
    RETURN format('CREATE VIEW %s AS SELECT %s', definition, result);
END
$$;
COMMENT ON FUNCTION strata._composed_statement(regclass, regclass, text[]) IS
'The CREATE VIEW of a definition over the rows that equals one over a rollup. repeated: by ordinal, the column of the rollup that a column repeats. ST005 for what cannot be said of the rows.';

CREATE FUNCTION strata._check_nesting(parent strata._rollups, bucket_arguments text[]) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
DECLARE
    wall_clock CONSTANT boolean := (SELECT t.time_type IN ('timestamp'::regtype, 'date'::regtype) FROM strata._event_tables t WHERE t.table_id = parent.table_id);
    bucket_column CONSTANT text := (SELECT 'e.' || quote_ident(c.name) FROM strata._rollup_columns(parent.rollup) c WHERE c.ordinal = 1);
    width interval;
    zone text;
    origin timestamptz;
    complaint text;
BEGIN
    -- constants all of them
    EXECUTE format('SELECT (%s)::interval, (%s)::text, (%s)::timestamptz', bucket_arguments[1],
        CASE WHEN wall_clock THEN '''UTC''' ELSE coalesce(bucket_arguments[3], '''UTC''') END,
        CASE WHEN wall_clock THEN format('%s::timestamp AT TIME ZONE ''UTC''', coalesce(bucket_arguments[3], 'NULL')) ELSE coalesce(bucket_arguments[4], 'NULL') END)
    INTO width, zone, origin;
    complaint := CASE
        WHEN bucket_arguments[2] <> bucket_column THEN format('It is of %s, not of the bucket of %s.', bucket_arguments[2], parent.rollup)
        WHEN zone <> parent.timezone THEN format('Its time zone is %s, that of %s is %s.', zone, parent.rollup, parent.timezone)
        WHEN origin IS DISTINCT FROM parent.origin THEN format('Its origin is %s, that of %s is %s.', coalesce(origin::text, 'the default'), parent.rollup, coalesce(parent.origin::text, 'the default'))
        WHEN NOT strata._nests(parent.bucket, width, parent.origin IS NOT NULL) THEN format('Buckets of %s do not divide it.', parent.bucket)
    END;
    IF complaint IS NOT NULL THEN
        PERFORM strata._refuse_expression(format('bucket of %s', width), complaint,
            format('Choose a multiple of %s in time zone %s%s, or make the rollup from %s itself.', parent.bucket, quote_literal(parent.timezone),
                coalesce(' and origin ' || quote_literal(parent.origin), ''), strata._relation(parent.table_id)));
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._check_nesting(strata._rollups, text[]) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_nesting(strata._rollups, text[]) IS 'Checks that buckets written over those of a rollup are made up of whole ones: ST005.';

-- Buckets shorter than a day are cut where clocks change, and days begin where one of them does if they divide the day.
CREATE FUNCTION strata._nests(part interval, whole interval, has_origin boolean) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN p.months = w.months AND p.days = w.days AND p.micros = w.micros THEN true
        -- days and hours together
        WHEN p.days > 0 AND p.micros > 0 OR w.days > 0 AND w.micros > 0 THEN false
        WHEN w.months > 0 AND p.months > 0 THEN w.months % p.months = 0
        WHEN p.months > 0 THEN false
        WHEN w.months > 0 AND has_origin THEN false
        WHEN w.months > 0 AND p.days > 0 THEN p.days = 1
        WHEN w.days > 0 AND p.days > 0 THEN w.days % p.days = 0
        WHEN p.days > 0 THEN false
        WHEN w.micros > 0 THEN w.micros % p.micros = 0
        ELSE 86400000000 % p.micros = 0
    END
    FROM (SELECT (12 * extract(year FROM part) + extract(month FROM part))::int, extract(day FROM part)::int, (extract(epoch FROM part - date_trunc('day', part)) * 1000000)::bigint) p (months, days, micros),
         (SELECT (12 * extract(year FROM whole) + extract(month FROM whole))::int, extract(day FROM whole)::int, (extract(epoch FROM whole - date_trunc('day', whole)) * 1000000)::bigint) w (months, days, micros)
$$;
COMMENT ON FUNCTION strata._nests(interval, interval, boolean) IS 'Whether every bucket of width whole is made up of whole buckets of width part, of the same time zone and origin.';

-- Deparsed text names columns as e.name and writes nothing else so outside of literals and quoted identifiers: word by word
-- it can be told what is what.
CREATE FUNCTION strata._rewritten(expression text, names text[], expressions text[], piece text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    word text;
    place int;
    result text := '';
BEGIN
    FOR word IN
        SELECT m[1] FROM regexp_matches(expression, '''(?:[^'']|'''')*''|e\.(?:"(?:[^"]|"")*"|[[:alpha:]_][[:alnum:]_$]*)|"(?:[^"]|"")*"|[[:alnum:]_$.]+|.|\n', 'g') m
    LOOP
        IF word ~ '^e\.' THEN
            place := (SELECT n.place FROM unnest(names) WITH ORDINALITY n (name, place) WHERE 'e.' || quote_ident(n.name) = word);
            IF place IS NULL THEN
                PERFORM strata._refuse_expression(strata._as_written(piece), format('It uses %s, which is no key of the rollup it is made from.', substr(word, 3)),
                    'Use keys and bucket in keys, filters and arguments; a measure stands alone in an aggregate, such as sum(n) over count(*) AS n.');
            END IF;
            word := '(' || expressions[place] || ')';
        ELSIF word = 'e' THEN
            PERFORM strata._refuse_expression(strata._as_written(piece), 'It uses whole rows of the rollup it is made from.', 'Name the columns.');
        END IF;
        result := result || word;
    END LOOP;
    RETURN CASE WHEN expression IS NOT NULL THEN result END;
END
$$;
COMMENT ON FUNCTION strata._rewritten(text, text[], text[], text) IS
'A deparsed expression with other expressions in the place of columns; ST005, quoting piece, if it has any other column.';

CREATE FUNCTION strata._as_written(expression text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT regexp_replace(expression, '(?<![[:alnum:]_"$.])e\.', '', 'g') $$;
COMMENT ON FUNCTION strata._as_written(text) IS 'A deparsed expression as people would write it.';

CREATE FUNCTION strata._composed_aggregate(
    parent regclass, expression text, aggregate oid, arguments text[], filter text, is_ordered boolean, names text[], keys text[]
) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    outer_name text := (SELECT f.proname FROM pg_proc f WHERE f.oid = aggregate AND f.pronamespace IN ('pg_catalog'::regnamespace, 'strata'::regnamespace));
    inner_name text;
    measure record;
    conditions text;
BEGIN
    SELECT c.* INTO measure FROM strata._rollup_columns(parent) c WHERE c.aggregate IS NOT NULL AND 'e.' || quote_ident(c.name) = _composed_aggregate.arguments[1];
    IF NOT FOUND THEN
        -- over keys alone: what does not mind how often a value comes is the same over groups and rows
        IF outer_name IN ('min', 'max', 'bool_and', 'bool_or', 'every', 'bit_and', 'bit_or') OR expression ~ '^("([^"]|"")*"|[^"(])*\(DISTINCT ' THEN
            RETURN strata._rewritten(expression, names, keys, expression);
        END IF;
        PERFORM strata._refuse_expression(strata._as_written(expression), format('It would count groups of %s, not rows.', parent),
            'For rows, take the sum of a count: sum(n) over count(*) AS n. Over keys min, max, and aggregates with DISTINCT mean the same for groups and rows.');
    END IF;
    inner_name := (SELECT f.proname FROM pg_proc f WHERE f.oid = measure.aggregate AND f.pronamespace IN ('pg_catalog'::regnamespace, 'strata'::regnamespace));
    IF is_ordered OR measure.is_ordered OR NOT coalesce(CASE outer_name
            WHEN 'sum' THEN inner_name IN ('sum', 'count')
            WHEN 'every' THEN inner_name IN ('every', 'bool_and')
            WHEN 'bool_and' THEN inner_name IN ('every', 'bool_and')
            WHEN 'first' THEN inner_name = 'first' AND strata._is_extreme_of(parent, arguments[2], measure.arguments[2], 'min')
            WHEN 'last' THEN inner_name = 'last' AND strata._is_extreme_of(parent, arguments[2], measure.arguments[2], 'max')
            ELSE outer_name = inner_name AND outer_name IN ('min', 'max', 'bool_or', 'bit_and', 'bit_or', 'bit_xor') END, false)
    THEN
        PERFORM strata._refuse_expression(strata._as_written(expression), format('What it makes of %s is not what the rows would give.', strata._as_written(measure.expression)),
            format('For the same aggregate of the larger group write the column alone: ''%s''. These compose: sum of count and of sum; min, max, bool_and, bool_or, bit_and, bit_or, bit_xor, first and last of themselves, the last two with bucket or the extreme of their time.', quote_ident(measure.name)));
    END IF;
    conditions := concat_ws(' AND ', '(' || measure.filter || ')', '(' || strata._rewritten(filter, names, keys, expression) || ')');
    RETURN format('%s(%s)%s', measure.aggregate::regproc, coalesce(nullif(array_to_string(measure.arguments, ', '), ''), '*'),
        CASE WHEN conditions <> '' THEN format(' FILTER (WHERE %s)', conditions) ELSE '' END);
END
$$;
COMMENT ON FUNCTION strata._composed_aggregate(regclass, text, oid, text[], text, boolean, text[], text[]) IS
'The aggregate over rows that equals one over the groups of a rollup; ST005 if there is none.';

-- first(open, bucket) of first(price, ts) is the first of all where ts is what buckets are of; so is first(open, open_at)
-- with min(ts) AS open_at.
CREATE FUNCTION strata._is_extreme_of(parent regclass, argument text, place text, extreme text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM strata._rollup_columns(parent) c LEFT JOIN pg_proc f ON f.oid = c.aggregate
        WHERE 'e.' || quote_ident(c.name) = argument
          AND (c.ordinal = 1 AND place = 'e.' || quote_ident(strata._time_column(strata._event_source(parent)))
               OR f.proname = extreme AND f.pronamespace = 'pg_catalog'::regnamespace AND c.arguments[1] = place AND NOT c.is_ordered AND c.filter IS NULL))
$$;
COMMENT ON FUNCTION strata._is_extreme_of(regclass, text, text, text) IS
'Whether a column of a rollup orders its groups as their first, or last, rows are ordered by place.';

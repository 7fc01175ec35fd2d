-- Keys of groups: how they are compared, and how they enter an index.

-- Keys are compared so that NULL equals NULL. A nullable key is compared twice over: as a one-element array, which
-- can be hashed, and by a condition that can use an index.
CREATE FUNCTION strata._key_match(definition regclass, source regclass, side text, other text) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(string_agg(
        CASE WHEN strata._is_not_null(source, d.expression) THEN format('%s = %s.%I', l.key, other, d.column_name)
             ELSE format('ARRAY[%1$s] = ARRAY[%2$s.%3$I] AND (%1$s = %2$s.%3$I OR (%1$s IS NULL AND %2$s.%3$I IS NULL))', l.key, other, d.column_name)
        END, ' AND ' ORDER BY d.ordinal), 'true')
    FROM strata._definition_columns(definition) d
    CROSS JOIN LATERAL (SELECT CASE side WHEN 'e' THEN format('(%s)', d.expression) ELSE format('%s.%I', side, d.column_name) END AS key) l
    WHERE d.aggregate IS NULL AND d.ordinal > 1
$$;
COMMENT ON FUNCTION strata._key_match(regclass, regclass, text, text) IS
'The condition that two rows have the same keys; side e stands for the source, whose keys are expressions.';

CREATE FUNCTION strata._is_not_null(source regclass, expression text) RETURNS boolean
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = source AND a.attnum > 0 AND a.attnotnull
                   AND expression = 'e.' || quote_ident(a.attname))
$$;
COMMENT ON FUNCTION strata._is_not_null(regclass, text) IS 'Whether a deparsed key is a column that cannot be NULL.';

-- Equality of these types is equality of bytes, and they are as long as the user likes: a B-tree row is not.
CREATE FUNCTION strata._index_key(column_name text, type_oid oid, type_modifier int) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        -- 31 keys of 16 characters of 4 bytes fit into a B-tree row of 2,704 bytes
        WHEN type_oid = 'text'::regtype OR (type_oid IN ('varchar'::regtype, 'bpchar'::regtype) AND type_modifier NOT BETWEEN 5 AND 20)
            THEN format('strata._key_digest(%I::text)', column_name)
        WHEN type_oid = 'bytea'::regtype THEN format('sha256(%I)', column_name)
        ELSE quote_ident(column_name)
    END
$$;
COMMENT ON FUNCTION strata._index_key(text, oid, int) IS
'How a key column enters a rollup''s unique index: itself, or its SHA-256 where nothing bounds its length.';

-- Longest span of event times one bucket can hold, as an interval whose addition does not depend on the session.
CREATE FUNCTION strata._bucket_span(bucket interval, timezone text) RETURNS interval
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN extract(month FROM bucket) + extract(year FROM bucket) <> 0
            THEN make_interval(hours => 24 * (31 * (extract(month FROM bucket) + 12 * extract(year FROM bucket))::int + 2))
        WHEN extract(day FROM bucket) = 0 OR timezone = 'UTC' THEN make_interval(secs => extract(epoch FROM bucket)::double precision)
        ELSE make_interval(secs => extract(epoch FROM bucket)::double precision) + interval '48 hours'
    END
$$;
COMMENT ON FUNCTION strata._bucket_span(interval, text) IS
'Upper bound on the length of a bucket, clock changes included.';

CREATE FUNCTION strata._storage_order(definition regclass) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(quote_ident(d.column_name), ', ' ORDER BY d.ordinal = 1, d.ordinal)
    FROM strata._definition_columns(definition) d WHERE d.aggregate IS NULL
$$;
COMMENT ON FUNCTION strata._storage_order(regclass) IS 'Key columns of a rollup''s storage, the bucket last.';

CREATE FUNCTION strata._conflict_target(definition regclass) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(strata._index_key(d.column_name, d.type_oid, d.type_modifier), ', ' ORDER BY d.ordinal = 1, d.ordinal)
    FROM strata._definition_columns(definition) d WHERE d.aggregate IS NULL
$$;
COMMENT ON FUNCTION strata._conflict_target(regclass) IS 'What the unique index of a rollup''s storage is over, keys first for point reads.';

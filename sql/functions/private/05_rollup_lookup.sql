-- What the library's lookups (strata.rollup_lookup) ask of the catalog, and the statements they keep planned. One look at
-- the state tells under the caller's snapshot what is pending; what is stored is then read a few partitions at a time, and
-- the partitions that pending rows or marks reach are read through the rollup's reader.

-- No row: the rollup is suspended or being filled, or there is none.
CREATE FUNCTION strata._lookup_state(rollup regclass, lower timestamptz, upper timestamptz) RETURNS TABLE (
    storage oid, dirty oid, definition oid, source oid, kept_from timestamptz, retained_from timestamptz,
    lower_place timestamptz, upper_place timestamptz, batches int8multirange, lower_time timestamptz, upper_time timestamptz
)
    LANGUAGE sql STABLE
    -- no search_path: inlined, since each lookup asks it; every name in it is whole
AS $$
    SELECT r.storage::pg_catalog.oid, r.dirty::pg_catalog.oid, r.definition::pg_catalog.oid, t.relation::pg_catalog.oid, r.kept_from,
           greatest(t.retained_from, r.exact_from), strata._to_axis(t, $2), strata._to_axis(t, $3), b.batches, b.lower_time, b.upper_time
    FROM strata._rollups r
    JOIN strata._event_tables t ON t.table_id OPERATOR(pg_catalog.=) r.table_id
    JOIN strata._rollup_progress p ON p.rollup_id OPERATOR(pg_catalog.=) r.rollup_id
    CROSS JOIN LATERAL (
        SELECT pg_catalog.range_agg(pg_catalog.int8range(b.batch_id, b.batch_id, '[]')) AS batches,
               CASE WHEN pg_catalog.bool_or(b.lower_time IS NULL) THEN '-infinity' ELSE pg_catalog.min(b.lower_time) END AS lower_time,
               CASE WHEN pg_catalog.bool_or(b.upper_time IS NULL) THEN 'infinity' ELSE pg_catalog.max(b.upper_time) END AS upper_time
        FROM strata._batches b
        WHERE b.table_id OPERATOR(pg_catalog.=) r.table_id AND b.batch_id OPERATOR(pg_catalog.>) p.horizon
          AND NOT b.batch_id OPERATOR(pg_catalog.<@) p.folded
    ) b
    WHERE r.rollup OPERATOR(pg_catalog.=) $1 AND r.suspended_at IS NULL AND p.filled_from OPERATOR(pg_catalog.=) '-infinity'
$$;
REVOKE ALL ON FUNCTION strata._lookup_state(regclass, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION strata._lookup_state(regclass, timestamptz, timestamptz) IS
'What a lookup has to know each time: where the rollup begins, which batches are pending (NULL: none) and between which event times; lower and upper as places on the axis.';

-- reader: NULL if it is not there, or not the owner's.
CREATE FUNCTION strata._lookup_shape(
    rollup regclass, OUT storage oid, OUT dirty oid, OUT definition oid, OUT source oid, OUT names text[], OUT span bigint, OUT reader text,
    OUT functions oid[], OUT types oid[], OUT stored_lowers timestamptz[], OUT stored_uppers timestamptz[], OUT row_lowers timestamptz[], OUT row_uppers timestamptz[]
) RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.storage, r.dirty, r.definition, t.relation,
           ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = r.definition AND a.attnum BETWEEN 2 AND 1 + r.key_count ORDER BY a.attnum),
           (extract(epoch FROM strata._bucket_span(r.bucket, r.timezone)) * 1000000)::bigint,
           (SELECT format('%I.%I', f.pronamespace::regnamespace::name, f.proname)
            FROM strata._readers(r.storage) p JOIN pg_proc f ON f.oid = p WHERE f.proowner = v.relowner GROUP BY 1 HAVING count(*) = 2),
           ARRAY(SELECT p::oid FROM strata._readers(r.storage) p),
           ARRAY(SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = r.definition AND a.attnum BETWEEN 2 AND 1 + r.key_count),
           s.lowers, s.uppers, e.lowers, e.uppers
    FROM strata._rollups r
    JOIN strata._event_tables t ON t.table_id = r.table_id
    JOIN pg_class v ON v.oid = r.rollup
    JOIN pg_class c ON c.oid = r.storage AND c.relowner = v.relowner
    CROSS JOIN LATERAL (SELECT array_agg(l.lower ORDER BY l.lower) AS lowers, array_agg(l.upper ORDER BY l.lower) AS uppers FROM strata._leaves(r.storage) l) s
    CROSS JOIN LATERAL (SELECT array_agg(l.lower ORDER BY l.lower) AS lowers, array_agg(l.upper ORDER BY l.lower) AS uppers FROM strata._leaves(t.relation) l) e
    WHERE r.rollup = _lookup_shape.rollup AND r.key_count IS NOT NULL
$$;
REVOKE ALL ON FUNCTION strata._lookup_shape(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._lookup_shape(regclass) IS
'What a lookup keeps of a rollup until one of its relations changes: names of the keys, longest bucket in microseconds, its reader, and the bounds of the partitions of storage and of rows. No row if view and storage have different owners.';

CREATE FUNCTION strata._lookup_keys(definition regclass, named bigint, nulls bigint) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(string_agg(CASE WHEN nulls >> k.place & 1 = 1 THEN format(' AND q.%I IS NULL', k.attname)
               ELSE format(' AND q.%I = ($%s)::%s', k.attname, k.place + 6, format_type(k.atttypid, -1)) END, '' ORDER BY k.place), '')
    FROM (SELECT a.attnum - 2 AS place, a.attname, a.atttypid FROM pg_attribute a WHERE a.attrelid = definition AND a.attnum BETWEEN 2 AND 33) k
    WHERE named >> k.place & 1 = 1
$$;
COMMENT ON FUNCTION strata._lookup_keys(regclass, bigint, bigint) IS
'The conditions that rows q have the keys asked for: named and nulls have a bit for each key, and key n is parameter n + 6.';

-- Bounds are constants where they are bounds of partitions, so that planning leaves the others out, and parameters where
-- the caller gives them.
CREATE FUNCTION strata._lookup_statement(rollup regclass, query text, named bigint, nulls bigint, bounded int, low timestamptz, high timestamptz) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('SELECT %s FROM %s WHERE true%s',
            -- (what has come through a reader has lost its modifiers)
            (SELECT string_agg('q.' || quote_ident(d.attname) || CASE WHEN v.atttypmod >= 0 THEN '::' || format_type(v.atttypid, v.atttypmod) ELSE '' END, ', ' ORDER BY d.attnum)
             FROM pg_attribute d JOIN pg_attribute v ON v.attrelid = r.rollup AND v.attnum = d.attnum WHERE d.attrelid = r.definition AND d.attnum > 0),
            query, strata._lookup_keys(r.definition, named, nulls))
        || CASE WHEN bounded & 1 = 1 THEN ' AND q.bucket >= ' || strata._time_at(b.type, '$2', false) ELSE '' END
        || CASE WHEN bounded & 2 = 2 THEN ' AND q.bucket < ' || strata._time_at(b.type, '$3', false) ELSE '' END
        || CASE WHEN isfinite(low) THEN format(' AND q.bucket >= %s::%s', strata._bound_literal(b.type, low), b.type) ELSE '' END
        || CASE WHEN isfinite(high) THEN format(' AND q.bucket < %s::%s', strata._bound_literal(b.type, high), b.type) ELSE '' END
    FROM strata._rollups r JOIN strata._event_tables t ON t.table_id = r.table_id CROSS JOIN LATERAL (SELECT strata._bucket_type(t.time_type)) b (type)
    WHERE r.rollup = _lookup_statement.rollup
$$;
REVOKE ALL ON FUNCTION strata._lookup_statement(regclass, text, bigint, bigint, int, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION strata._lookup_statement(regclass, text, bigint, bigint, int, timestamptz, timestamptz) IS
'A statement that a lookup keeps: of query, rows q with the keys asked for and buckets from low on and before high. Parameters: $1 kept_from, $2 and $3 the caller''s bounds (bounded: 1 a lower, 2 an upper), $4 retained_from, $5 pending batches, $6 on the keys.';

CREATE FUNCTION strata._lookup_stored(rollup regclass, named bigint, nulls bigint, bounded int, low timestamptz, high timestamptz) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT strata._lookup_statement(r.rollup, format('(%s) q', strata._stored_sql(r, '$1')), named, nulls, bounded, low, high)
    FROM strata._rollups r WHERE r.rollup = _lookup_stored.rollup
$$;
REVOKE ALL ON FUNCTION strata._lookup_stored(regclass, bigint, bigint, int, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION strata._lookup_stored(regclass, bigint, bigint, int, timestamptz, timestamptz) IS
'The statement for partitions of storage in which nothing is pending or marked.';

-- Event times widened to bounds of partitions: what is pending is told by the batches, times only leave partitions out.
CREATE FUNCTION strata._lookup_exact(
    rollup regclass, named bigint, nulls bigint, bounded int, low timestamptz, high timestamptz, reader text,
    lower_time timestamptz, upper_time timestamptz, marked boolean, changed_from timestamptz, changed_to timestamptz
) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
    SELECT strata._lookup_statement(r.rollup, format('%s($4, $5, %L, %L, %L, %L, %L, $1) q (%s)', reader, lower_time, upper_time, marked, changed_from, changed_to,
            (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = r.definition AND a.attnum > 0)),
        named, nulls, bounded, low, high)
    FROM strata._rollups r WHERE r.rollup = _lookup_exact.rollup
$$;
REVOKE ALL ON FUNCTION strata._lookup_exact(regclass, bigint, bigint, int, timestamptz, timestamptz, text, timestamptz, timestamptz, boolean, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION strata._lookup_exact(regclass, bigint, bigint, int, timestamptz, timestamptz, text, timestamptz, timestamptz, boolean, timestamptz, timestamptz) IS
'The statement for partitions of storage that pending rows or marks reach, from partitions of rows between the given times alone.';

CREATE FUNCTION strata._lookup_marks(rollup regclass) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('SELECT %s, %s FROM (SELECT min(d.bucket) AS low, max(d.bucket) AS high FROM %s d) m WHERE m.low IS NOT NULL',
        strata._time_value(b.type, 'm.low'), strata._time_value(b.type, 'm.high'), r.dirty)
    FROM strata._rollups r JOIN strata._event_tables t ON t.table_id = r.table_id CROSS JOIN LATERAL (SELECT strata._bucket_type(t.time_type)) b (type)
    WHERE r.rollup = _lookup_marks.rollup
$$;
REVOKE ALL ON FUNCTION strata._lookup_marks(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._lookup_marks(regclass) IS 'The statement that gives the lowest and highest bucket of marked groups as places on the axis; no row if there is none.';

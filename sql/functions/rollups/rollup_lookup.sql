-- Promise: what a SELECT from the view with the same conditions returns, at the same instant, in the view's row type.
-- Runs with the caller's rights and takes SELECT on the view. STABLE, so that the look at the ledger and the reading happen
-- under the snapshot of the calling statement: no batch can be folded in between.
CREATE FUNCTION strata.rollup_lookup(rollup anyelement, key jsonb, lower timestamptz DEFAULT NULL, upper timestamptz DEFAULT NULL) RETURNS SETOF anyelement
    LANGUAGE C STABLE ROWS 100
    AS 'MODULE_PATHNAME', 'strata_rollup_lookup';
COMMENT ON FUNCTION strata.rollup_lookup(anyelement, jsonb, timestamptz, timestamptz) IS
'The groups of a rollup by key, exact like its view, at a cost that does not depend on how many partitions the event table has: SELECT * FROM strata.rollup_lookup(NULL::clicks_by_user_day, ''{"user_id": 42}''). rollup: NULL of the rollup''s row type, which the rows returned have. key: an object of keys and values, all keys or some; null reads the group whose key is NULL. lower, upper: buckets from lower on and before upper; NULL is no bound. For applications, also unprepared ones: a session keeps what it reads with planned, storage and the partitions that hold pending rows or rows of marked groups. A rollup that is being filled is read through its view. Takes SELECT on the rollup. Errors: ST004 not a rollup, ST010 a suspended one, 22023 a key it does not have, 42501 without SELECT.';

-- The same without kept statements, for what the library leaves aside: rollups being filled, times of pending rows that are
-- not known, keys that are none; and for hosts without the library.
CREATE FUNCTION strata._rollup_lookup(rollup anyelement, key jsonb, lower timestamptz, upper timestamptz) RETURNS SETOF anyelement
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    row_type regtype := pg_typeof(rollup);
    -- (of the catalog as it is now)
    relation regclass := to_regclass(row_type::text);
    found_rows text;
BEGIN
    IF key IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'a lookup needs a key',
            HINT = 'Write an object of keys and values, such as {"user_id": 42}; select from the view to read all keys.';
    END IF;
    IF relation IS NULL THEN
        -- raises ST004
        PERFORM strata._source(0);
    ELSIF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = relation) THEN
        RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = format('could not serialize access because %s was made meanwhile', relation),
            HINT = 'The transaction might succeed if retried.';
    END IF;
    found_rows := strata._lookup(strata._authorize(relation, 'SELECT'), key, lower, upper);
    IF found_rows IS NULL THEN
        RETURN QUERY EXECUTE format('SELECT q.* FROM %s WHERE %s', strata._named_as_defined(relation), strata._lookup_conditions(relation, key, lower, upper));
    ELSE
        RETURN QUERY EXECUTE format('SELECT u.* FROM unnest($1::%s[]) u', row_type) USING found_rows;
    END IF;
END
$$;
COMMENT ON FUNCTION strata._rollup_lookup(anyelement, jsonb, timestamptz, timestamptz) IS
'What rollup_lookup returns, planned for each call.';

-- What a key names are columns of the definition after the bucket, so many as the catalog says: names as in rollup_series, which
-- stay when columns of the view are renamed.
CREATE FUNCTION strata._lookup_conditions(rollup regclass, key jsonb, lower timestamptz, upper timestamptz) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
DECLARE
    entry record;
    conditions text;
    named bigint;
    given bigint := (SELECT count(*) FROM jsonb_each(CASE jsonb_typeof(key) WHEN 'object' THEN key END) v WHERE jsonb_typeof(v.value) NOT IN ('object', 'array'));
BEGIN
    SELECT r.key_count, r.definition, t AS event_table INTO entry
    FROM strata._rollups r JOIN strata._event_tables t ON t.table_id = r.table_id WHERE r.rollup = _lookup_conditions.rollup;
    SELECT coalesce(string_agg(CASE WHEN key -> a.attname = 'null' THEN format('q.%I IS NULL', a.attname)
               ELSE format('q.%I = %L::%s', a.attname, key ->> a.attname, format_type(a.atttypid, -1)) END, ' AND ' ORDER BY a.attnum), 'true'),
           count(*)
    INTO conditions, named
    FROM pg_attribute a WHERE a.attrelid = entry.definition AND a.attnum BETWEEN 2 AND 1 + entry.key_count AND key ? a.attname;
    IF jsonb_typeof(key) <> 'object' OR named <> given OR given <> (SELECT count(*) FROM jsonb_object_keys(key)) THEN
        -- raises 22023
        PERFORM strata._key_columns(strata._rollup_shape(rollup), key);
    END IF;
    IF lower IS NOT NULL THEN
        conditions := conditions || ' AND q.bucket >= ' || strata._lookup_bound(entry.event_table, lower);
    END IF;
    IF upper IS NOT NULL THEN
        conditions := conditions || ' AND q.bucket < ' || strata._lookup_bound(entry.event_table, upper);
    END IF;
    RETURN conditions;
END
$$;
COMMENT ON FUNCTION strata._lookup_conditions(regclass, jsonb, timestamptz, timestamptz) IS
'The conditions on rows q, columns named as in the definition, that a lookup asks for; 22023 for a key it does not have.';

CREATE FUNCTION strata._lookup_bound(event_table strata._event_tables, bound timestamptz) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
    SELECT strata._time_at(strata._bucket_type((event_table).time_type), quote_literal(strata._to_axis(event_table, bound)) || '::timestamptz', false)
$$;
REVOKE ALL ON FUNCTION strata._lookup_bound(strata._event_tables, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION strata._lookup_bound(strata._event_tables, timestamptz) IS
'The bucket value that is the first at or after an instant: buckets are >= it, or < it, exactly when their start is.';

-- Exact because everything it looks at and reads, the rows included, is seen under one snapshot, the caller's: what is
-- pending in it is not in its storage, and what is marked in it is read from the rows. The statement is planned for this
-- call alone, so that what is pending can stand in it as constants.
CREATE FUNCTION strata._lookup(rollup regclass, key jsonb, lower timestamptz, upper timestamptz) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
    SET intervalstyle = 'postgres'
    SET extra_float_digits = 1
    -- a key is looked up by index where there is one, whatever the statistics say; what has none costs no more for it
    SET enable_seqscan = off
    SET jit = off
AS $$
DECLARE
    entry record;
    pending record;
    marks timestamptz[];
    span interval;
    changed_from timestamptz;
    changed_to timestamptz;
    arguments text;
BEGIN
    PERFORM strata._authorized(rollup, 'SELECT');
    -- (one statement, whose plan is kept: what it would call has to be planned in each transaction)
    SELECT r.rollup_id, r.dirty, r.bucket, r.timezone, t.time_type, greatest(t.retained_from, r.exact_from) AS retained_from, r.kept_from,
           (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = r.definition AND a.attnum > 0) AS names,
           v.relowner::regrole AS owner,
           CASE WHEN r.suspended_at IS NULL AND p.filled_from = '-infinity' THEN
               (SELECT format('%I.%I', n.nspname, f.proname)
                FROM pg_depend d JOIN pg_proc f ON f.oid = d.objid JOIN pg_namespace n ON n.oid = f.pronamespace
                JOIN pg_description o ON o.objoid = f.oid AND o.classoid = 'pg_proc'::regclass AND o.objsubid = 0
                WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = r.storage AND d.classid = 'pg_proc'::regclass
                  AND o.description = 'pg_strata: what rollup_lookup reads' AND f.proretset AND f.proowner = v.relowner
                GROUP BY 1 HAVING count(DISTINCT f.oid) = 2) END AS reader
    INTO entry
    FROM strata._rollups r JOIN strata._event_tables t ON t.table_id = r.table_id JOIN strata._rollup_progress p ON p.rollup_id = r.rollup_id
    JOIN pg_class v ON v.oid = r.rollup
    WHERE r.rollup = _lookup.rollup;
    IF entry.reader IS NULL THEN
        -- raises ST004
        PERFORM strata._source(rollup);
        RETURN NULL;
    END IF;
    -- (bounds in the wrong order where there is nothing)
    SELECT coalesce(range_agg(int8range(b.batch_id, b.batch_id, '[]')), '{}') AS batches,
           CASE WHEN bool_or(b.lower_time IS NULL) THEN '-infinity' ELSE coalesce(min(b.lower_time), 'infinity') END AS lower_time,
           CASE WHEN bool_or(b.upper_time IS NULL) THEN 'infinity' ELSE coalesce(max(b.upper_time), '-infinity') END AS upper_time
    INTO pending
    FROM strata._pending_batches b WHERE b.rollup_id = entry.rollup_id;
    -- a table without a block has no row that any snapshot shows
    IF pg_relation_size(entry.dirty) > 0 THEN
        marks := strata._read_as(entry.owner, format('SELECT ARRAY[%s, %s] FROM (SELECT min(d.bucket) AS low, max(d.bucket) AS high FROM %s d) m WHERE m.low IS NOT NULL',
            strata._time_value(strata._bucket_type(entry.time_type), 'm.low'), strata._time_value(strata._bucket_type(entry.time_type), 'm.high'), entry.dirty));
    END IF;
    arguments := quote_literal(entry.kept_from);
    IF marks IS NOT NULL OR NOT isempty(pending.batches) THEN
        -- a group that a pending row belongs to begins and ends within a bucket's length of it (read only where such are recomputed)
        span := strata._bucket_span(entry.bucket, entry.timezone);
        changed_from := least(marks[1], pending.lower_time - span);
        changed_to := greatest(marks[2] + span, pending.upper_time + span);
        arguments := format('%L, %L, %L, %L, %L, %L, %L, %L', entry.retained_from, pending.batches, pending.lower_time, pending.upper_time,
            marks IS NOT NULL, changed_from, changed_to, entry.kept_from);
    END IF;
    RETURN coalesce(strata._read_as(entry.owner, format('SELECT array_agg(q) FROM %s(%s) q (%s) WHERE %s', entry.reader, arguments,
        entry.names, strata._lookup_conditions(rollup, key, lower, upper))), '{}');
END
$$;
COMMENT ON FUNCTION strata._lookup(regclass, jsonb, timestamptz, timestamptz) IS
'The groups that a lookup asks for, as text of an array of the view''s rows; NULL if the view itself is to be read: while the rollup is being filled, or is suspended.';

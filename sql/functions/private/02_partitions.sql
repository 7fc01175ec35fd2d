-- Boundaries and leaves of an event table.
CREATE FUNCTION strata._leaves(relation regclass, OUT partition regclass, OUT lower timestamptz, OUT upper timestamptz)
    RETURNS SETOF record
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
    SET datestyle = 'ISO'
AS $$
    SELECT i.inhrelid::regclass,
           CASE m.bound[1] WHEN 'MINVALUE' THEN '-infinity' ELSE btrim(m.bound[1], '''')::timestamptz END,
           CASE m.bound[2] WHEN 'MAXVALUE' THEN 'infinity' ELSE btrim(m.bound[2], '''')::timestamptz END
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL (
        SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \((.+)\) TO \((.+)\)') AS bound
    ) m
    WHERE i.inhparent = relation AND c.relispartition AND NOT i.inhdetachpending AND m.bound IS NOT NULL
$$;
COMMENT ON FUNCTION strata._leaves(regclass) IS
'The partitions of an event table with their bounds: lower inclusive, upper exclusive, infinite where unbounded.';

CREATE FUNCTION strata._partition_lower(event_table strata._event_tables, ts timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata.time_bucket((event_table).partition_interval, ts, (event_table).timezone) $$;
COMMENT ON FUNCTION strata._partition_lower(strata._event_tables, timestamptz) IS
'Lower bound of the partition that an event time belongs to.';

CREATE FUNCTION strata._partition_upper(event_table strata._event_tables, lower timestamptz) RETURNS timestamptz
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- the step is taken on local wall time, where a day is a day whatever the clocks do
    candidate timestamptz := (lower AT TIME ZONE event_table.timezone + event_table.partition_interval) AT TIME ZONE event_table.timezone;
    upper timestamptz := strata._partition_lower(event_table, candidate);
BEGIN
    -- around a change of clocks one step can land inside the same bucket
    WHILE upper <= lower LOOP
        candidate := candidate + interval '1 hour';
        upper := strata._partition_lower(event_table, candidate);
    END LOOP;
    RETURN upper;
END
$$;
COMMENT ON FUNCTION strata._partition_upper(strata._event_tables, timestamptz) IS
'Upper bound, exclusive, of the partition that begins at lower.';

CREATE FUNCTION strata._partition_name(event_table strata._event_tables, lower timestamptz) RETURNS name
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT strata._with_suffix(
        c.relname,
        to_char(
            lower AT TIME ZONE (event_table).timezone,
            CASE
                WHEN extract(day FROM (event_table).partition_interval) = 0
                     AND extract(epoch FROM (event_table).partition_interval) >= 28 * 86400 THEN '"_p"YYYY_MM'
                WHEN extract(epoch FROM (event_table).partition_interval) >= 86400 THEN '"_p"YYYY_MM_DD'
                WHEN extract(epoch FROM (event_table).partition_interval) >= 60 THEN '"_p"YYYY_MM_DD_HH24MI'
                ELSE '"_p"YYYY_MM_DD_HH24MISS'
            END),
        c.relnamespace)
    FROM pg_class c
    WHERE c.oid = (event_table).relation
$$;
COMMENT ON FUNCTION strata._partition_name(strata._event_tables, timestamptz) IS
'Name of the partition that begins at lower, in the event table''s time zone.';

CREATE FUNCTION strata._accepted_window(event_table strata._event_tables, OUT lower timestamptz, OUT upper timestamptz)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT greatest(now() - (event_table).accept_past, (event_table).retained_from), now() + (event_table).accept_future
$$;
COMMENT ON FUNCTION strata._accepted_window(strata._event_tables) IS
'Event times for which partitions are made, both ends inclusive.';

-- CREATE TABLE and ATTACH rather than PARTITION OF, which would lock the parent against everyone.
CREATE FUNCTION strata._create_partition(event_table strata._event_tables, lower timestamptz, upper timestamptz) RETURNS regclass
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
DECLARE
    owner regrole := strata._owner(event_table.relation);
    partition text := strata._schema(event_table.relation) || '.' || quote_ident(strata._partition_name(event_table, lower));
BEGIN
    PERFORM strata._execute_as(owner, format(
        'CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION)',
        partition, event_table.relation));
    PERFORM strata._execute_as(owner, format(
        'ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', event_table.relation, partition, lower, upper));
    PERFORM strata._create_mark_triggers(event_table, partition::regclass);
    RETURN partition::regclass;
END
$$;
REVOKE ALL ON FUNCTION strata._create_partition(strata._event_tables, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION strata._create_partition(strata._event_tables, timestamptz, timestamptz) IS
'Makes one partition, as the event table''s owner.';

-- The most partitions one call makes: a wrong date must not make thousands.
CREATE FUNCTION strata._partitions_made_max() RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT 1000 $$;
COMMENT ON FUNCTION strata._partitions_made_max() IS 'Bound on the partitions one call of ensure_partitions makes.';

CREATE FUNCTION strata._missing_partitions(event_table strata._event_tables, lower timestamptz, upper timestamptz)
    RETURNS tstzrange[]
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    step_lower timestamptz := strata._partition_lower(event_table, lower);
    step_upper timestamptz;
    present tstzmultirange := coalesce(
        (SELECT range_agg(tstzrange(l.lower, l.upper)) FROM strata._leaves(event_table.relation) l), '{}');
    missing tstzrange[] := '{}';
BEGIN
    IF present @> tstzrange(step_lower, upper, '[]') THEN
        RETURN missing;
    END IF;
    WHILE step_lower <= upper LOOP
        step_upper := strata._partition_upper(event_table, step_lower);
        -- leaves of another interval may cover part of the step: what is left of it is missing
        missing := missing || ARRAY(SELECT unnest(tstzmultirange(tstzrange(step_lower, step_upper)) - present));
        IF cardinality(missing) > strata._partitions_made_max() THEN
            RAISE EXCEPTION USING
                ERRCODE = 'ST003',
                MESSAGE = format('more than %s partitions of %s asked for in one call', strata._partitions_made_max(), event_table.relation),
                DETAIL = format('From %s to %s at an interval of %s.', lower, upper, event_table.partition_interval),
                HINT = 'Call strata.ensure_partitions for shorter ranges, one after the other.';
        END IF;
        step_lower := step_upper;
    END LOOP;
    RETURN missing;
END
$$;
COMMENT ON FUNCTION strata._missing_partitions(strata._event_tables, timestamptz, timestamptz) IS
'Bounds of the partitions missing between two event times, both inclusive; ST003 if they are too many for one call.';

CREATE FUNCTION strata._make_partitions(event_table strata._event_tables, lower timestamptz, upper timestamptz) RETURNS int
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing tstzrange[];
    gap tstzrange;
BEGIN
    -- without a lock first: nearly always everything is there
    IF lower > upper OR cardinality(strata._missing_partitions(event_table, lower, upper)) = 0 THEN
        RETURN 0;
    END IF;
    -- one maker at a time per table; the second finds the work done
    PERFORM FROM strata._event_tables t WHERE t.table_id = event_table.table_id FOR NO KEY UPDATE;
    missing := strata._missing_partitions(event_table, lower, upper);
    FOREACH gap IN ARRAY missing LOOP
        PERFORM strata._create_partition(event_table, pg_catalog.lower(gap), pg_catalog.upper(gap));
    END LOOP;
    RETURN cardinality(missing);
END
$$;
REVOKE ALL ON FUNCTION strata._make_partitions(strata._event_tables, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION strata._make_partitions(strata._event_tables, timestamptz, timestamptz) IS
'Makes the partitions missing between two event times, both inclusive; returns how many.';

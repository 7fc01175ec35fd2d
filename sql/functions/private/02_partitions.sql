-- Boundaries of an event table's partitions.
CREATE FUNCTION strata._partition_lower(event_table strata._event_tables, place timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE
    -- no search_path: inlined, since it runs thousands of times in a round of upkeep; every name in it is whole
AS $$ SELECT strata.time_bucket((event_table).partition_interval, place, strata._axis_zone(event_table)) $$;
COMMENT ON FUNCTION strata._partition_lower(strata._event_tables, timestamptz) IS
'Lower bound of the partition that a place on the axis belongs to.';

-- Days and months are taken on local wall time, where a day is a day whatever the clocks and the session's zone.
CREATE FUNCTION strata._axis_shift(event_table strata._event_tables, place timestamptz, step interval) RETURNS timestamptz
    LANGUAGE sql STABLE
    -- no search_path: inlined, since it runs thousands of times in a round of upkeep; every name in it is whole
AS $$
    SELECT CASE
        WHEN extract(day FROM step) OPERATOR(pg_catalog.=) 0 AND extract(month FROM step) OPERATOR(pg_catalog.=) 0
             AND extract(year FROM step) OPERATOR(pg_catalog.=) 0 THEN place OPERATOR(pg_catalog.+) step
        ELSE ((place AT TIME ZONE strata._axis_zone(event_table)) OPERATOR(pg_catalog.+) step) AT TIME ZONE strata._axis_zone(event_table) END
$$;
COMMENT ON FUNCTION strata._axis_shift(strata._event_tables, timestamptz, interval) IS
'A place on the axis moved by an interval of the calendar of the event table''s time zone.';

CREATE FUNCTION strata._partition_upper(event_table strata._event_tables, lower timestamptz) RETURNS timestamptz
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    candidate timestamptz := strata._axis_shift(event_table, lower, event_table.partition_interval);
    upper timestamptz := strata._partition_lower(event_table, candidate);
BEGIN
    -- around a change of clocks a step can land inside the same bucket, or skip a short one
    WHILE upper <= lower LOOP
        candidate := candidate + interval '1 hour';
        upper := strata._partition_lower(event_table, candidate);
    END LOOP;
    WHILE strata._partition_lower(event_table, upper - interval '1 microsecond') > lower LOOP
        upper := strata._partition_lower(event_table, upper - interval '1 microsecond');
    END LOOP;
    RETURN upper;
END
$$;
COMMENT ON FUNCTION strata._partition_upper(strata._event_tables, timestamptz) IS
'Upper bound, exclusive, of the partition that begins at lower.';

-- As fine as the interval asks, finer where a partition of another interval begins in the middle of one.
CREATE FUNCTION strata._partition_name(event_table strata._event_tables, lower timestamptz) RETURNS name
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT strata._with_suffix(
        strata._base_name(c.oid),
        to_char(l.wall, CASE
            WHEN extract(second FROM l.wall) <> 0 THEN '"_p"YYYY_MM_DD_HH24MISS'
            WHEN l.wall <> date_trunc('day', l.wall) OR extract(epoch FROM i.width) < 86400 THEN '"_p"YYYY_MM_DD_HH24MI'
            WHEN extract(day FROM l.wall) <> 1 OR NOT i.months THEN '"_p"YYYY_MM_DD'
            WHEN extract(month FROM l.wall) <> 1 OR extract(month FROM i.width) <> 0 THEN '"_p"YYYY_MM'
            ELSE '"_p"YYYY' END),
        c.relnamespace)
    FROM pg_class c,
         LATERAL (SELECT lower AT TIME ZONE strata._axis_zone(event_table) AS wall) l,
         LATERAL (SELECT p.width, p.width >= interval '28 days' AND extract(day FROM p.width) = 0 AND p.width = date_trunc('month', p.width) AS months
                  FROM (SELECT (event_table).partition_interval) p (width)) i
    WHERE c.oid = (event_table).relation
$$;
COMMENT ON FUNCTION strata._partition_name(strata._event_tables, timestamptz) IS
'Name of the partition that begins at lower, in the event table''s time zone.';

CREATE FUNCTION strata._accepted_window(event_table strata._event_tables, OUT lower timestamptz, OUT upper timestamptz)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT greatest(strata._axis_shift(event_table, n.place, - (event_table).accept_past), (event_table).retained_from),
           strata._axis_shift(event_table, n.place, (event_table).accept_future)
    FROM (SELECT strata._axis_now(event_table) OFFSET 0) AS n (place)
$$;
COMMENT ON FUNCTION strata._accepted_window(strata._event_tables) IS
'Places on the axis for which partitions are made, both ends inclusive.';

-- CREATE TABLE and ATTACH rather than PARTITION OF, which would lock the parent against everyone.
CREATE FUNCTION strata._create_partition(event_table strata._event_tables, lower timestamptz, upper timestamptz) RETURNS regclass
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(event_table.relation);
    namespace oid := (SELECT c.relnamespace FROM pg_class c WHERE c.oid = event_table.relation);
    partition_name name := strata._partition_name(event_table, lower);
    partition text := strata._schema(event_table.relation) || '.' || quote_ident(partition_name);
    subpartition text;
    hash_key name := strata._subpartition_key(event_table);
    columns text := format('(LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING STATISTICS)', event_table.relation);
BEGIN
    PERFORM strata._execute_as(owner, format('CREATE TABLE %s %s%s', partition, columns, coalesce(' PARTITION BY HASH (' || quote_ident(hash_key) || ')', '')));
    FOR remainder IN 0 .. CASE WHEN hash_key IS NULL THEN -1 ELSE event_table.subpartitions - 1 END LOOP
        subpartition := strata._schema(event_table.relation) || '.' || quote_ident(strata._with_suffix(partition_name, '_h' || remainder, namespace));
        PERFORM strata._execute_as(owner, format('CREATE TABLE %s %s', subpartition, columns));
        PERFORM strata._execute_as(owner, format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES WITH (MODULUS %s, REMAINDER %s)',
            partition, subpartition, event_table.subpartitions, remainder));
    END LOOP;
    -- (a table that is no partition yet is no partition tree either)
    PERFORM strata._create_mark_triggers(event_table, t.relid)
    FROM (SELECT partition::regclass UNION SELECT p.relid FROM pg_partition_tree(partition::regclass) p) t (relid);
    PERFORM strata._execute_as(owner, format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)', event_table.relation, partition,
        strata._bound_literal(event_table.time_type, lower), strata._bound_literal(event_table.time_type, upper)));
    -- after ATTACH, which made its indexes; nobody else sees the partition yet
    PERFORM strata._dress_partition(event_table, partition::regclass);
    RETURN partition::regclass;
END
$$;
REVOKE ALL ON FUNCTION strata._create_partition(strata._event_tables, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION strata._create_partition(strata._event_tables, timestamptz, timestamptz) IS
'Makes one partition, with its hash sub-partitions, as the event table''s owner.';

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
    -- below retained_from nothing is made any more
    present tstzmultirange := tstzmultirange(tstzrange(NULL, event_table.retained_from)) + coalesce(
        (SELECT range_agg(tstzrange(l.lower, l.upper))
         FROM strata._leaves_between(event_table.relation, step_lower, strata._partition_upper(event_table, strata._partition_lower(event_table, upper))) l), '{}');
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
    -- one maker at a time per table; the second finds the work done, or retained_from moved
    SELECT t.* INTO event_table FROM strata._event_tables t WHERE t.table_id = event_table.table_id FOR NO KEY UPDATE;
    missing := strata._missing_partitions(event_table, lower, upper);
    FOREACH gap IN ARRAY missing LOOP
        PERFORM strata._create_partition(event_table, pg_catalog.lower(gap), pg_catalog.upper(gap));
        PERFORM strata._cover_rollups(event_table, pg_catalog.lower(gap), pg_catalog.upper(gap));
    END LOOP;
    RETURN cardinality(missing);
END
$$;
REVOKE ALL ON FUNCTION strata._make_partitions(strata._event_tables, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION strata._make_partitions(strata._event_tables, timestamptz, timestamptz) IS
'Makes the partitions missing between two event times, both inclusive; returns how many.';

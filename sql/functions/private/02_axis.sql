-- The time axis. Whatever type a time column has, the catalog, the ledger and the functions inside speak timestamptz:
-- an instant as it is, a version 7 UUID by its time, and timestamp and date, which know no zone, by their wall-clock
-- value read as UTC, so that nothing about them depends on changes of clocks. Public functions and views speak
-- instants; for wall-clock columns they are converted in the event table's time zone on the way in and out.

CREATE FUNCTION strata._is_wall_clock(event_table strata._event_tables) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    -- no search_path: inlined, since it runs thousands of times in a round of upkeep; every name in it is whole
AS $$
    SELECT (event_table).time_type OPERATOR(pg_catalog.=) 'pg_catalog.timestamp'::pg_catalog.regtype
        OR (event_table).time_type OPERATOR(pg_catalog.=) 'pg_catalog.date'::pg_catalog.regtype
$$;
COMMENT ON FUNCTION strata._is_wall_clock(strata._event_tables) IS 'Whether the time column is of a type without time zone.';

CREATE FUNCTION strata._axis_zone(event_table strata._event_tables) RETURNS text
    LANGUAGE sql IMMUTABLE
    -- no search_path: inlined, since it runs thousands of times in a round of upkeep; every name in it is whole
AS $$ SELECT CASE WHEN strata._is_wall_clock(event_table) THEN 'UTC' ELSE (event_table).timezone END $$;
COMMENT ON FUNCTION strata._axis_zone(strata._event_tables) IS 'The zone whose calendar the boundaries on the axis follow.';

CREATE FUNCTION strata._to_axis(event_table strata._event_tables, instant timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE
    -- no search_path: inlined, since it runs thousands of times in a round of upkeep; every name in it is whole
AS $$
    SELECT CASE WHEN strata._is_wall_clock(event_table) THEN (instant AT TIME ZONE (event_table).timezone) AT TIME ZONE 'UTC' ELSE instant END
$$;
COMMENT ON FUNCTION strata._to_axis(strata._event_tables, timestamptz) IS 'An instant on the time axis of an event table.';

CREATE FUNCTION strata._from_axis(time_type regtype, timezone text, place timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN time_type IN ('timestamp'::regtype, 'date'::regtype) THEN (place AT TIME ZONE 'UTC') AT TIME ZONE timezone ELSE place END
$$;
COMMENT ON FUNCTION strata._from_axis(regtype, text, timestamptz) IS 'The instant at a place of an event table''s time axis.';

CREATE FUNCTION strata._axis_now(event_table strata._event_tables) RETURNS timestamptz
    LANGUAGE sql STABLE
    -- no search_path: inlined, since it runs thousands of times in a round of upkeep; every name in it is whole
AS $$ SELECT strata._to_axis(event_table, pg_catalog.now()) $$;
COMMENT ON FUNCTION strata._axis_now(strata._event_tables) IS 'The present on the time axis of an event table.';

CREATE FUNCTION strata._time_value(time_type regtype, reference text) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format(CASE time_type
        WHEN 'timestamp'::regtype THEN '(%s AT TIME ZONE ''UTC'')'
        WHEN 'date'::regtype THEN '(%s::timestamp AT TIME ZONE ''UTC'')'
        WHEN 'uuid'::regtype THEN 'strata.uuid_time(%s)'
        ELSE '%s' END, reference)
$$;
COMMENT ON FUNCTION strata._time_value(regtype, text) IS 'The expression that gives the place on the axis of a column of that type.';

CREATE FUNCTION strata._time_at(time_type regtype, place text, high boolean) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format(CASE
        WHEN time_type = 'timestamp'::regtype THEN '(%s AT TIME ZONE ''UTC'')'
        WHEN time_type = 'date'::regtype AND high THEN '(%s AT TIME ZONE ''UTC'')::date'
        WHEN time_type = 'date'::regtype THEN '(((%s AT TIME ZONE ''UTC'') - interval ''1 microsecond'')::date + 1)'
        WHEN time_type = 'uuid'::regtype THEN format('strata._uuid_bound(%%s, %L)', high)
        ELSE '%s' END, place)
$$;
COMMENT ON FUNCTION strata._time_at(regtype, text, boolean) IS
'The expression of that type that bounds a place on the axis: a column is >= it (high false), or <= it (high true), exactly when the column''s place is >= or <= the given one.';

-- Buckets have the type of the time column; only UUIDs have buckets of another.
CREATE FUNCTION strata._bucket_type(time_type regtype) RETURNS regtype
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE time_type WHEN 'uuid'::regtype THEN 'timestamptz'::regtype ELSE time_type END $$;
COMMENT ON FUNCTION strata._bucket_type(regtype) IS 'The type of the buckets of a rollup over a time column of that type.';

CREATE FUNCTION strata._time_at_bucket(time_type regtype, bucket text, high boolean) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE time_type WHEN 'uuid'::regtype THEN strata._time_at(time_type, bucket, high) ELSE bucket END $$;
COMMENT ON FUNCTION strata._time_at_bucket(regtype, text, boolean) IS 'Like _time_at, for an expression that has the type of the buckets.';

CREATE FUNCTION strata._bound_literal(time_type regtype, place timestamptz) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
    SELECT CASE
        WHEN place = '-infinity' THEN 'MINVALUE'
        WHEN place = 'infinity' THEN 'MAXVALUE'
        ELSE quote_literal(CASE time_type
            WHEN 'timestamp'::regtype THEN (place AT TIME ZONE 'UTC')::text
            WHEN 'date'::regtype THEN (place AT TIME ZONE 'UTC')::date::text
            WHEN 'uuid'::regtype THEN strata.uuid_at(place)::text
            ELSE place::text END) END
$$;
COMMENT ON FUNCTION strata._bound_literal(regtype, timestamptz) IS 'A place on the axis as it stands in FOR VALUES FROM (…) TO (…).';

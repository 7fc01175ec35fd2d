-- Promise: afterwards every event time of the range has its partition. Idempotent, safe beside other callers.
CREATE FUNCTION strata.ensure_partitions(relation regclass, lower timestamptz, upper timestamptz) RETURNS int
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._ensure_partitions(strata._authorize(relation, 'INSERT'), lower, upper) $$;
COMMENT ON FUNCTION strata.ensure_partitions(regclass, timestamptz, timestamptz) IS
'Makes the partitions missing for event times from lower to upper, both inclusive; returns how many. Takes INSERT on the table, ownership, or grant_ingest. Call it in a transaction of its own, before the one that inserts. Errors: ST003 outside the accepted window or more than 1000 at once, ST001 not an event table.';

CREATE FUNCTION strata._ensure_partitions(relation regclass, lower timestamptz, upper timestamptz) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    accepted record;
BEGIN
    PERFORM strata._authorized(relation, 'INSERT');
    lower := strata._to_axis(event_table, lower);
    upper := strata._to_axis(event_table, upper);
    SELECT w.lower, w.upper INTO accepted FROM strata._accepted_window(event_table) w;
    IF lower < accepted.lower OR upper > accepted.upper THEN
        RAISE EXCEPTION USING
            ERRCODE = 'ST003',
            MESSAGE = format('event times from %s to %s lie outside the accepted window of %s',
                strata._from_axis(event_table.time_type, event_table.timezone, lower), strata._from_axis(event_table.time_type, event_table.timezone, upper), relation),
            DETAIL = format('Partitions are made for %s to %s: accept_past is %s, accept_future %s.',
                strata._from_axis(event_table.time_type, event_table.timezone, accepted.lower),
                strata._from_axis(event_table.time_type, event_table.timezone, accepted.upper), event_table.accept_past, event_table.accept_future),
            HINT = 'Ask for a range inside the window; rows with other times are not accepted.';
    END IF;
    RETURN strata._make_partitions(event_table, lower, upper);
END
$$;
COMMENT ON FUNCTION strata._ensure_partitions(regclass, timestamptz, timestamptz) IS 'The writing half of ensure_partitions.';

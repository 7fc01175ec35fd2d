-- Partitions for a batch, in a transaction of their own before the one that loads it.
CREATE FUNCTION strata._prepare_batch(
    relation regclass, lower timestamptz, upper timestamptz,
    OUT partition text, OUT partition_oid oid, OUT partition_lower timestamptz, OUT partition_upper timestamptz,
    OUT accept_lower timestamptz, OUT accept_upper timestamptz
) RETURNS SETOF record
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM strata._prepare_partitions(strata._authorize(relation, 'INGEST'), lower, upper) $$;
COMMENT ON FUNCTION strata._prepare_batch(regclass, timestamptz, timestamptz) IS
'Makes the partitions that event times from lower to upper need, as far as they lie inside the accepted window, and returns the partitions there are in that range, with the window.';

CREATE FUNCTION strata._prepare_partitions(
    relation regclass, lower timestamptz, upper timestamptz,
    OUT partition text, OUT partition_oid oid, OUT partition_lower timestamptz, OUT partition_upper timestamptz,
    OUT accept_lower timestamptz, OUT accept_upper timestamptz
) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    window_lower timestamptz;
    window_upper timestamptz;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    SELECT w.lower, w.upper INTO window_lower, window_upper FROM strata._accepted_window(event_table) w;
    IF strata._make_partitions(event_table, greatest(lower, window_lower), least(upper, window_upper)) > 0 THEN
        -- the sidecar commits without waiting for the disk: a batch must not find its partitions gone after a crash
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    RETURN QUERY
    SELECT l.partition::text, l.partition::oid, l.lower, l.upper, window_lower, window_upper
    FROM strata._leaves(relation) l
    -- (what retention has sealed takes no rows: they are dead letters before they are tried)
    WHERE l.lower <= _prepare_partitions.upper AND l.upper > _prepare_partitions.lower AND NOT strata._is_sealed(l.partition)
    ORDER BY l.lower;
END
$$;
COMMENT ON FUNCTION strata._prepare_partitions(regclass, timestamptz, timestamptz) IS 'The writing half of _prepare_batch.';

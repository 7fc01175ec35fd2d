-- Promise: every partition past retention, and what holds it back.
CREATE FUNCTION strata.expired_partitions(
    relation regclass DEFAULT NULL,
    OUT relation regclass, OUT partition regclass, OUT upper timestamptz, OUT bytes bigint, OUT blocked_by text
) RETURNS SETOF record
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.target, e.partition, e.upper, e.bytes, e.blocked_by
    FROM unnest(strata._maintainable($1)) t (target), LATERAL strata._expired_partitions(strata._authorize(t.target, 'INGEST')) e
$$;
COMMENT ON FUNCTION strata.expired_partitions(regclass) IS
'The partitions past retention, by age or size, of one event table or of all the caller may maintain (as owner or by grant_ingest): upper bound, size in bytes, and what holds each back: a rollup that has not folded its rows, has dirty groups in its range, whose bucket is not over, or whose buckets never begin where partitions do (give both the same time zone); a missing archive; auditing; a foreign key. blocked_by NULL: the next maintain_partitions, or strata maintain, lets it go. 42501 without the right, ST001 not an event table.';

CREATE FUNCTION strata._expired_partitions(
    relation regclass, OUT partition regclass, OUT upper timestamptz, OUT bytes bigint, OUT blocked_by text
) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    due timestamptz := strata._due_until(event_table);
    target timestamptz := strata._freeze_target(event_table);
    overridden timestamptz := strata._overridden_until(event_table);
    leaf record;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    FOR leaf IN
        SELECT l.partition AS leaf, l.lower, l.upper FROM strata._leaves(relation) l WHERE l.upper <= due ORDER BY l.lower
    LOOP
        partition := leaf.leaf;
        upper := strata._from_axis(event_table.time_type, event_table.timezone, leaf.upper);
        bytes := strata._partition_bytes(leaf.leaf);
        blocked_by := CASE
            WHEN leaf.upper > target THEN
                -- waiting helps only where the bucket is not over
                (SELECT format(CASE WHEN bool_or(strata._bucket_upper(r, leaf.upper) > due) THEN 'rollup %s has a bucket that is not past retention'
                                    ELSE 'rollup %s has no bucket that begins where a partition does' END, min(r.rollup::text))
                 FROM strata._active_rollups(event_table) r
                 WHERE strata._bucket_lower(r, leaf.upper) < leaf.upper OR strata._bucket_lower(r, due) < leaf.upper)
            WHEN leaf.upper > greatest(event_table.retained_from, overridden) THEN
                (SELECT min(strata._needed_by(r, event_table, leaf.leaf, leaf.lower, leaf.upper)) FROM strata._active_rollups(event_table) r)
        END;
        blocked_by := coalesce(blocked_by, strata._unarchived(event_table, leaf.leaf), strata._referenced_by(event_table, leaf.leaf));
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION strata._expired_partitions(regclass) IS 'The reading half of expired_partitions, for one table.';

-- Heartbeats of the leases a worker has.
CREATE FUNCTION strata._renew_leases(
    worker text, lease_ms int, relations regclass[], streams text[], shards text[], epochs bigint[], tips boolean[] = NULL,
    OUT relation regclass, OUT stream text, OUT shard text
) RETURNS SETOF record
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.* FROM (SELECT DISTINCT unnest(relations) AS relation) r
    CROSS JOIN LATERAL strata._extend_leases(strata._authorize(r.relation, 'INGEST'), worker, lease_ms, relations, streams, shards, epochs, tips) l
$$;
COMMENT ON FUNCTION strata._renew_leases(text, int, regclass[], text[], text[], bigint[], boolean[]) IS
'Extends a worker''s leases by lease_ms milliseconds from now; returns those it holds no longer. tips: where the tip of the shard has been reached and all before it committed.';

CREATE FUNCTION strata._extend_leases(
    target regclass, worker text, lease_ms int, relations regclass[], streams text[], shards text[], epochs bigint[], tips boolean[] = NULL,
    OUT relation regclass, OUT stream text, OUT shard text
) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target_id int := strata._ingest_id(target);
BEGIN
    PERFORM strata._authorized(target, 'INGEST');
    -- a worker that Kinesis keeps waiting shares no shards for a while, and is there all the same
    UPDATE strata._workers w SET expires_at = clock_timestamp() + make_interval(secs => lease_ms / 1000.0)
    WHERE w.table_id = target_id AND w.worker = _extend_leases.worker;
    RETURN QUERY
    WITH held AS (
        SELECT u.s, u.h, u.e, u.tip FROM unnest(relations, streams, shards, epochs, tips) AS u (r, s, h, e, tip) WHERE u.r = target
    ), locked AS MATERIALIZED (
        SELECT l.stream, l.shard, h.tip FROM strata._leases l JOIN held h ON h.s = l.stream AND h.h = l.shard
        WHERE l.table_id = target_id AND l.worker = _extend_leases.worker AND l.epoch = h.e
        ORDER BY l.stream, l.shard FOR NO KEY UPDATE OF l
    ), renewed AS (
        UPDATE strata._leases l
        SET expires_at = clock_timestamp() + make_interval(secs => lease_ms / 1000.0),
            read_at = CASE WHEN k.tip THEN clock_timestamp() ELSE l.read_at END
        FROM locked k WHERE l.table_id = target_id AND l.stream = k.stream AND l.shard = k.shard
        RETURNING l.stream, l.shard
    )
    SELECT target, h.s, h.h FROM held h WHERE NOT EXISTS (SELECT FROM renewed n WHERE n.stream = h.s AND n.shard = h.h);
END
$$;
COMMENT ON FUNCTION strata._extend_leases(regclass, text, int, regclass[], text[], text[], bigint[], boolean[]) IS 'The writing half of _renew_leases.';

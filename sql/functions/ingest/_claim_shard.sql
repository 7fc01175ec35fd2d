-- Leases: who reads a shard into a table. Judged by the database's clock; the epoch lives in the checkpoint.
CREATE FUNCTION strata._claim_shard(
    relation regclass, stream text, shard text, worker text, lease_ms int, first_position text,
    OUT claimed boolean, OUT held_by text, OUT epoch bigint, OUT sequence_number text, OUT arrived_at timestamptz,
    OUT ended boolean, OUT initial_position text
)
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM strata._take_lease(strata._authorize(relation, 'INGEST'), stream, shard, worker, lease_ms, first_position) $$;
COMMENT ON FUNCTION strata._claim_shard(regclass, text, text, text, int, text) IS
'Claims a shard for a worker for lease_ms milliseconds: if nobody holds it, the lease has run out, or the worker of the same name held it. Claiming raises the epoch, after any commit of the former holder, so that nothing it commits later passes. first_position (TRIM_HORIZON, or AT: and a timestamp) is kept at the first claim.';

CREATE FUNCTION strata._take_lease(
    relation regclass, stream text, shard text, worker text, lease_ms int, first_position text,
    OUT claimed boolean, OUT held_by text, OUT epoch bigint, OUT sequence_number text, OUT arrived_at timestamptz,
    OUT ended boolean, OUT initial_position text
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target_id int := strata._ingest_id(relation);
    lease strata._leases;
    checkpoint strata._checkpoints;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    IF lease_ms NOT BETWEEN 1 AND 3600000 THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('lease of %s ms is not between 1 ms and 1 hour', lease_ms),
            HINT = 'Ten seconds, 10000, is usual.';
    END IF;
    INSERT INTO strata._checkpoints (table_id, stream, shard, epoch, initial_position)
    VALUES (target_id, _take_lease.stream, _take_lease.shard, 0, first_position)
    ON CONFLICT DO NOTHING;
    INSERT INTO strata._leases (table_id, stream, shard, worker, epoch, expires_at)
    VALUES (target_id, _take_lease.stream, _take_lease.shard, _take_lease.worker, 0, '-infinity')
    ON CONFLICT DO NOTHING;
    SELECT l.* INTO lease FROM strata._leases l
    WHERE l.table_id = target_id AND l.stream = _take_lease.stream AND l.shard = _take_lease.shard
    FOR NO KEY UPDATE;
    IF lease.expires_at > clock_timestamp() AND lease.worker <> _take_lease.worker THEN
        claimed := false;
        held_by := lease.worker;
        RETURN;
    END IF;
    UPDATE strata._checkpoints c SET epoch = c.epoch + 1
    WHERE c.table_id = target_id AND c.stream = _take_lease.stream AND c.shard = _take_lease.shard
    RETURNING c.* INTO checkpoint;
    UPDATE strata._leases l
    SET worker = _take_lease.worker, epoch = checkpoint.epoch, expires_at = clock_timestamp() + make_interval(secs => lease_ms / 1000.0)
    WHERE l.table_id = target_id AND l.stream = _take_lease.stream AND l.shard = _take_lease.shard;
    SELECT true, worker, checkpoint.epoch, checkpoint.sequence_number, checkpoint.arrived_at, checkpoint.ended, checkpoint.initial_position
    INTO claimed, held_by, epoch, sequence_number, arrived_at, ended, initial_position;
END
$$;
COMMENT ON FUNCTION strata._take_lease(regclass, text, text, text, int, text) IS 'The writing half of _claim_shard.';

CREATE FUNCTION strata._renew_leases(
    worker text, lease_ms int, relations regclass[], streams text[], shards text[], epochs bigint[],
    OUT relation regclass, OUT stream text, OUT shard text
) RETURNS SETOF record
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.* FROM (SELECT DISTINCT unnest(relations) AS relation) r
    CROSS JOIN LATERAL strata._extend_leases(strata._authorize(r.relation, 'INGEST'), worker, lease_ms, relations, streams, shards, epochs) l
$$;
COMMENT ON FUNCTION strata._renew_leases(text, int, regclass[], text[], text[], bigint[]) IS
'Extends a worker''s leases by lease_ms milliseconds from now; returns those it holds no longer.';

CREATE FUNCTION strata._extend_leases(
    target regclass, worker text, lease_ms int, relations regclass[], streams text[], shards text[], epochs bigint[],
    OUT relation regclass, OUT stream text, OUT shard text
) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target_id int := strata._ingest_id(target);
BEGIN
    PERFORM strata._authorized(target, 'INGEST');
    RETURN QUERY
    WITH held AS (
        SELECT u.s, u.h, u.e FROM unnest(relations, streams, shards, epochs) AS u (r, s, h, e) WHERE u.r = target
    ), locked AS MATERIALIZED (
        SELECT l.stream, l.shard FROM strata._leases l JOIN held h ON h.s = l.stream AND h.h = l.shard
        WHERE l.table_id = target_id AND l.worker = _extend_leases.worker AND l.epoch = h.e
        ORDER BY l.stream, l.shard FOR NO KEY UPDATE OF l
    ), renewed AS (
        UPDATE strata._leases l SET expires_at = clock_timestamp() + make_interval(secs => lease_ms / 1000.0)
        FROM locked k WHERE l.table_id = target_id AND l.stream = k.stream AND l.shard = k.shard
        RETURNING l.stream, l.shard
    )
    SELECT target, h.s, h.h FROM held h WHERE NOT EXISTS (SELECT FROM renewed n WHERE n.stream = h.s AND n.shard = h.h);
END
$$;
COMMENT ON FUNCTION strata._extend_leases(regclass, text, int, regclass[], text[], text[], bigint[]) IS 'The writing half of _renew_leases.';

CREATE FUNCTION strata._release_leases(worker text) RETURNS int
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(sum(strata._end_leases(strata._authorize(t.relation, 'INGEST'), worker)), 0)::int
    FROM (SELECT e.relation FROM (SELECT relation FROM strata.event_tables UNION ALL SELECT relation FROM strata.target_tables) e WHERE strata._may(e.relation, 'INGEST') OFFSET 0) t
$$;
COMMENT ON FUNCTION strata._release_leases(text) IS 'Gives all leases of a worker up at once; returns how many.';

CREATE FUNCTION strata._end_leases(relation regclass, worker text) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ended int;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    UPDATE strata._leases l SET expires_at = '-infinity'
    WHERE l.table_id = strata._ingest_id(relation) AND l.worker = _end_leases.worker AND l.expires_at > '-infinity';
    GET DIAGNOSTICS ended = ROW_COUNT;
    RETURN ended;
END
$$;
COMMENT ON FUNCTION strata._end_leases(regclass, text) IS 'The writing half of _release_leases.';

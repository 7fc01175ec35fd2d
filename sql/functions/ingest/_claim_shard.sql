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

CREATE FUNCTION strata._check_lease(lease_ms int) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF lease_ms NOT BETWEEN 1 AND 3600000 THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('lease of %s ms is not between 1 ms and 1 hour', lease_ms),
            HINT = 'Ten seconds, 10000, is usual.';
    END IF;
END
$$;
COMMENT ON FUNCTION strata._check_lease(int) IS 'Raises 22023 unless a lease is of a reasonable length.';

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
    PERFORM strata._check_lease(lease_ms);
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

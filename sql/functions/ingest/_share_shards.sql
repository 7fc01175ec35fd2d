-- Shards shared out among the workers that feed a table from a stream: each is told its fair number, takes what is free
-- up to that, and gives up what is over it. Judged by the database's clock.
CREATE FUNCTION strata._share_shards(
    relation regclass, stream text, worker text, lease_ms int, shards text[], positions text[], held text[], first_look boolean,
    OUT shard text, OUT epoch bigint, OUT sequence_number text, OUT arrived_at timestamptz, OUT ended boolean,
    OUT initial_position text, OUT quota int, OUT unclaimed int
) RETURNS SETOF record
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM strata._take_share(strata._authorize(relation, 'INGEST'), stream, worker, lease_ms, shards, positions, held, first_look)
$$;
COMMENT ON FUNCTION strata._share_shards(regclass, text, text, int, text[], text[], text[], boolean) IS
'Says that a worker is alive for lease_ms milliseconds more and has not stopped, makes the shards known that are not (with positions, TRIM_HORIZON or AT: and a timestamp), and claims free ones for it up to its quota. One row for each claim, as _claim_shard returns it, but for arrived_at: up to then everything is stored, which may be later than the last record''s arrival; a last row without a shard tells the quota, the number of shards the worker should hold, and how many shards nobody holds now. held: those the worker has already, which are neither claimed nor counted as free. first_look: the caller knew of no shard of this stream; if there are some by now, nothing is done and no row comes back. Waits for no commit under way: a shard in the middle of one is left to the next call.';

CREATE FUNCTION strata._take_share(
    relation regclass, stream text, worker text, lease_ms int, shards text[], positions text[], held text[], first_look boolean,
    OUT shard text, OUT epoch bigint, OUT sequence_number text, OUT arrived_at timestamptz, OUT ended boolean,
    OUT initial_position text, OUT quota int, OUT unclaimed int
) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    target_id int := strata._ingest_id(relation);
    lease interval := make_interval(secs => lease_ms / 1000.0);
    open_shards text[];
    claimed text[];
    own int;
    share int;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    PERFORM strata._check_lease(lease_ms);
    -- one worker at a time counts and takes; a single statement, so that no client can fall asleep in between
    PERFORM pg_advisory_xact_lock('strata._workers'::regclass::oid::int, hashtext(target_id || ' ' || _take_share.stream));
    IF first_look AND EXISTS (SELECT FROM strata._checkpoints c WHERE c.table_id = target_id AND c.stream = _take_share.stream) THEN
        RETURN;
    END IF;
    DELETE FROM strata._workers w
    WHERE w.table_id = target_id AND w.stream = _take_share.stream AND w.expires_at <= clock_timestamp() AND w.worker <> _take_share.worker;
    DELETE FROM strata._stops s WHERE s.table_id = target_id AND s.worker = _take_share.worker;
    INSERT INTO strata._workers AS w (table_id, stream, worker, expires_at)
    VALUES (target_id, _take_share.stream, _take_share.worker, clock_timestamp() + lease)
    ON CONFLICT (table_id, stream, worker) DO UPDATE SET expires_at = EXCLUDED.expires_at;
    INSERT INTO strata._checkpoints (table_id, stream, shard, epoch, initial_position)
    SELECT target_id, _take_share.stream, u.s, 0, u.p FROM unnest(shards, positions) AS u (s, p)
    WHERE NOT EXISTS (SELECT FROM strata._checkpoints c
                      WHERE c.table_id = target_id AND c.stream = _take_share.stream AND c.shard = u.s)
    ORDER BY u.s
    ON CONFLICT DO NOTHING;
    INSERT INTO strata._leases (table_id, stream, shard, worker, epoch, expires_at)
    SELECT target_id, _take_share.stream, u.s, _take_share.worker, 0, '-infinity' FROM unnest(shards) AS u (s)
    WHERE NOT EXISTS (SELECT FROM strata._leases l
                      WHERE l.table_id = target_id AND l.stream = _take_share.stream AND l.shard = u.s)
    ORDER BY u.s
    ON CONFLICT DO NOTHING;
    open_shards := ARRAY(SELECT c.shard FROM strata._checkpoints c
                         WHERE c.table_id = target_id AND c.stream = _take_share.stream AND NOT c.ended AND c.shard = ANY (shards));
    -- Those that hold most keep the odd shard, so that nothing moves without need; of equals, tables do not all choose the same.
    SELECT cardinality(open_shards) / r.workers + (r.place <= cardinality(open_shards) % r.workers)::int, r.leases INTO share, own
    FROM (
        SELECT w.worker, count(l.shard) FILTER (WHERE w.worker <> _take_share.worker OR l.shard = ANY (held)) AS leases, count(*) OVER () AS workers,
               row_number() OVER (ORDER BY count(l.shard) DESC, md5(w.worker || ' ' || w.stream || ' ' || w.table_id)) AS place
        FROM strata._workers w
        LEFT JOIN strata._leases l ON l.table_id = w.table_id AND l.stream = w.stream AND l.worker = w.worker
            AND l.expires_at > clock_timestamp() AND l.shard = ANY (open_shards)
        WHERE w.table_id = target_id AND w.stream = _take_share.stream
        GROUP BY w.table_id, w.stream, w.worker
    ) r
    WHERE r.worker = _take_share.worker;
    -- (what a process of the same name held before is this one's at once, or free)
    WITH free AS MATERIALIZED (
        SELECT l.shard FROM strata._leases l
        JOIN strata._checkpoints c ON c.table_id = l.table_id AND c.stream = l.stream AND c.shard = l.shard
        WHERE l.table_id = target_id AND l.stream = _take_share.stream AND l.shard = ANY (open_shards) AND NOT c.ended
          AND (l.expires_at <= clock_timestamp() OR l.worker = _take_share.worker) AND l.shard <> ALL (held)
        ORDER BY l.worker = _take_share.worker DESC, md5(l.shard || ' ' || _take_share.worker)
        LIMIT greatest(share - own, 0)
        FOR NO KEY UPDATE OF l, c SKIP LOCKED
    ), raised AS (
        UPDATE strata._checkpoints c SET epoch = c.epoch + 1 FROM free f
        WHERE c.table_id = target_id AND c.stream = _take_share.stream AND c.shard = f.shard
        RETURNING c.shard, c.epoch
    ), taken AS (
        UPDATE strata._leases l SET worker = _take_share.worker, epoch = r.epoch, expires_at = clock_timestamp() + lease FROM raised r
        WHERE l.table_id = target_id AND l.stream = _take_share.stream AND l.shard = r.shard
        RETURNING l.shard
    )
    SELECT coalesce(array_agg(t.shard), '{}') INTO claimed FROM taken t;
    UPDATE strata._leases l SET expires_at = '-infinity'
    WHERE l.table_id = target_id AND l.stream = _take_share.stream AND l.worker = _take_share.worker AND l.expires_at > clock_timestamp()
      AND l.shard = ANY (open_shards) AND l.shard <> ALL (held || claimed);
    RETURN QUERY
    SELECT c.shard, c.epoch, c.sequence_number, greatest(c.arrived_at, l.read_at), c.ended, c.initial_position, share, NULL::int
    FROM strata._checkpoints c
    JOIN strata._leases l ON l.table_id = c.table_id AND l.stream = c.stream AND l.shard = c.shard
    WHERE c.table_id = target_id AND c.stream = _take_share.stream AND c.shard = ANY (claimed);
    RETURN QUERY
    SELECT NULL::text, NULL::bigint, NULL::text, NULL::timestamptz, NULL::boolean, NULL::text, share,
           (SELECT count(*) FROM strata._leases l
            WHERE l.table_id = target_id AND l.stream = _take_share.stream AND l.shard = ANY (open_shards)
              AND l.expires_at <= clock_timestamp() AND l.shard <> ALL (held))::int;
END
$$;
COMMENT ON FUNCTION strata._take_share(regclass, text, text, int, text[], text[], text[], boolean) IS 'The writing half of _share_shards.';

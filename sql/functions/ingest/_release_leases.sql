-- Leases given back: by a worker that ends, or of the shards it has too many of.
CREATE FUNCTION strata._release_leases(worker text, relation regclass = NULL) RETURNS int
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(sum(strata._end_leases(strata._authorize(t.relation, 'INGEST'), worker, NULL, NULL)), 0)::int
    FROM (SELECT e.relation FROM (SELECT relation FROM strata.event_tables UNION ALL SELECT relation FROM strata.target_tables) e
          WHERE (_release_leases.relation IS NULL OR e.relation = _release_leases.relation) AND strata._may(e.relation, 'INGEST') OFFSET 0) t
$$;
COMMENT ON FUNCTION strata._release_leases(text, regclass) IS
'Gives all leases of a worker up at once, on one event table or on all, and takes it off the list of workers; returns how many leases.';

CREATE FUNCTION strata._release_shards(relation regclass, worker text, stream text, shards text[]) RETURNS int
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._end_leases(strata._authorize(relation, 'INGEST'), worker, stream, shards) $$;
COMMENT ON FUNCTION strata._release_shards(regclass, text, text, text[]) IS
'Gives up a worker''s leases on some shards, for others to take; returns how many it had.';

CREATE FUNCTION strata._end_leases(relation regclass, worker text, stream text, shards text[]) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target_id int := strata._ingest_id(relation);
    ended int;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    IF shards IS NULL THEN
        DELETE FROM strata._workers w WHERE w.table_id = target_id AND w.worker = _end_leases.worker;
    END IF;
    UPDATE strata._leases l SET expires_at = '-infinity'
    WHERE l.table_id = target_id AND l.worker = _end_leases.worker AND l.expires_at > '-infinity'
      AND (shards IS NULL OR l.stream = _end_leases.stream AND l.shard = ANY (shards));
    GET DIAGNOSTICS ended = ROW_COUNT;
    RETURN ended;
END
$$;
COMMENT ON FUNCTION strata._end_leases(regclass, text, text, text[]) IS 'The writing half of _release_leases and _release_shards.';

-- A table that a worker has stopped feeding, for those who ask the database and not the worker.
CREATE FUNCTION strata._record_stop(relation regclass, worker text, reason text, next_try_at timestamptz) RETURNS void
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._write_stop(strata._authorize(relation, 'INGEST'), worker, reason, next_try_at) $$;
COMMENT ON FUNCTION strata._record_stop(regclass, text, text, timestamptz) IS
'Writes down that a worker has stopped feeding a table, why, and when it tries again; forgotten when the worker shares the table''s shards again.';

CREATE FUNCTION strata._write_stop(relation regclass, worker text, reason text, next_try_at timestamptz) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    target_id int := strata._ingest_id(relation);
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    -- those of workers that did not come back
    DELETE FROM strata._stops s WHERE s.table_id = target_id AND s.next_try_at < now() - interval '1 hour';
    INSERT INTO strata._stops AS s (table_id, worker, reason, stopped_at, next_try_at)
    VALUES (target_id, _write_stop.worker, left(_write_stop.reason, 1000), now(), _write_stop.next_try_at)
    ON CONFLICT (table_id, worker) DO UPDATE SET reason = EXCLUDED.reason, stopped_at = EXCLUDED.stopped_at, next_try_at = EXCLUDED.next_try_at;
END
$$;
COMMENT ON FUNCTION strata._write_stop(regclass, text, text, timestamptz) IS 'The writing half of _record_stop.';

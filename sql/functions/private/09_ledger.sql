-- Keeping the ledger short. A batch that every rollup has folded is needed by nobody, unless it was streamed: then origin
-- and checksums stay as long as its rows.
CREATE FUNCTION strata._prune_ledger(relation regclass, batches_max int DEFAULT 100000) RETURNS bigint
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._prune_batches(strata._authorize(relation, 'INGEST'), batches_max) $$;
COMMENT ON FUNCTION strata._prune_ledger(regclass, int) IS
'Takes up to batches_max batches that nobody needs any more out of the ledger, leaving one row an hour of them; returns how many. Call it until it returns 0.';

CREATE FUNCTION strata._prune_batches(relation regclass, batches_max int) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables;
    folded_through bigint;
    retained_instant timestamptz;
    pruned bigint;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RETURN 0;
    END IF;
    -- a rollup that is just being born counts the ledger: it holds this row too
    event_table := strata._lock_event_table(relation);
    folded_through := strata._folded_through(event_table);
    retained_instant := strata._from_axis(event_table.time_type, event_table.timezone, event_table.retained_from);
    WITH doomed AS (
        SELECT b.batch_id FROM strata._batches b
        WHERE b.table_id = event_table.table_id AND b.batch_id <= folded_through
          AND NOT EXISTS (SELECT FROM strata._batch_checksums c WHERE c.table_id = b.table_id AND c.batch_id = b.batch_id)
          AND (NOT EXISTS (SELECT FROM strata._batch_origins o WHERE o.table_id = b.table_id AND o.batch_id = b.batch_id)
               -- streamed, and its rows are gone with their partitions
               OR b.upper_time < event_table.retained_from AND b.created_at < retained_instant
                  AND NOT EXISTS (SELECT FROM strata._dead_letters d WHERE d.table_id = b.table_id AND d.batch_id = b.batch_id))
        ORDER BY b.batch_id LIMIT batches_max
    ), gone AS (
        DELETE FROM strata._batches b USING doomed d WHERE b.table_id = event_table.table_id AND b.batch_id = d.batch_id
        RETURNING b.batch_id, b.created_at
    ), origins AS (
        DELETE FROM strata._batch_origins o USING gone g WHERE o.table_id = event_table.table_id AND o.batch_id = g.batch_id
    ), amended AS (
        DELETE FROM strata._amended_batches a USING gone g WHERE a.table_id = event_table.table_id AND a.batch_id = g.batch_id
    ), merged AS (
        INSERT INTO strata._merged_batches AS m (table_id, hour, lower_batch, upper_batch, batches)
        SELECT event_table.table_id, date_trunc('hour', g.created_at, 'UTC'), min(g.batch_id), max(g.batch_id), count(*) FROM gone g GROUP BY 2
        ON CONFLICT (table_id, hour) DO UPDATE SET lower_batch = least(m.lower_batch, EXCLUDED.lower_batch),
            upper_batch = greatest(m.upper_batch, EXCLUDED.upper_batch), batches = m.batches + EXCLUDED.batches
    )
    SELECT count(*) INTO pruned FROM gone;
    UPDATE strata._ledger_progress l SET pruned_through = greatest(l.pruned_through, folded_through)
    WHERE l.table_id = event_table.table_id AND pruned < batches_max AND l.pruned_through < folded_through;
    -- hours older than anything that is left of the table''s rows
    DELETE FROM strata._merged_batches m WHERE m.table_id = event_table.table_id AND m.hour < retained_instant - interval '1 hour';
    RETURN pruned;
END
$$;
COMMENT ON FUNCTION strata._prune_batches(regclass, int) IS 'The writing half of _prune_ledger.';

CREATE FUNCTION strata._folded_through(event_table strata._event_tables) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    progress strata._ledger_progress;
    decided record;
BEGIN
    INSERT INTO strata._ledger_progress (table_id) VALUES (event_table.table_id) ON CONFLICT DO NOTHING;
    SELECT l.* INTO progress FROM strata._ledger_progress l WHERE l.table_id = event_table.table_id;
    decided := strata._next_horizon(event_table.batch_sequence, progress.horizon, progress.candidate, progress.candidate_xid, progress.system_identifier);
    UPDATE strata._ledger_progress l
    SET horizon = decided.horizon, candidate = decided.candidate, candidate_xid = decided.candidate_xid, system_identifier = decided.system_identifier
    WHERE l.table_id = event_table.table_id
      AND (l.horizon, l.candidate, l.candidate_xid, l.system_identifier)
          IS DISTINCT FROM (decided.horizon, decided.candidate, decided.candidate_xid, decided.system_identifier);
    -- a suspended rollup counts anew when it is resumed
    RETURN least(decided.horizon, (
        SELECT min(p.horizon) FROM strata._active_rollups(event_table) r JOIN strata._rollup_progress p ON p.rollup_id = r.rollup_id));
END
$$;
REVOKE ALL ON FUNCTION strata._folded_through(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._folded_through(strata._event_tables) IS 'Every batch at or below this id is decided, and folded into every rollup that is kept up.';

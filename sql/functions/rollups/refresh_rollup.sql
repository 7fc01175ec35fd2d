-- Promise: all batches visible to the refresh are folded and all its dirty groups recomputed, in the caller's
-- transaction, together with the record of it.
CREATE FUNCTION strata.refresh_rollup(rollup regclass) RETURNS bigint
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._refresh_rollup(strata._authorize(strata._source(rollup), 'INGEST'), rollup) $$;
COMMENT ON FUNCTION strata.refresh_rollup(regclass) IS
'Folds pending batches into a rollup and recomputes its dirty groups; returns how many batches were folded. Reading never needs it: it keeps reading cheap. One refresh of a rollup at a time, others wait. Closes this transaction''s open batch. Sends NOTIFY strata_rollup when there was work (such a transaction cannot be prepared). Takes ownership of the source or grant_ingest on it. Errors: ST004 not a rollup; ST007 the batch sequence lies behind the ledger; 40001 in REPEATABLE READ if another refresh came between.';

CREATE FUNCTION strata._source(rollup regclass) RETURNS regclass
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    source regclass := (SELECT t.relation FROM strata._rollups r JOIN strata._event_tables t ON t.table_id = r.table_id
                        WHERE r.rollup = _source.rollup);
BEGIN
    IF source IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'ST004', MESSAGE = format('%s is not a rollup', rollup),
            DETAIL = 'The catalog of pg_strata has no entry for it.', HINT = 'strata.rollups lists what there is.';
    END IF;
    RETURN source;
END
$$;
COMMENT ON FUNCTION strata._source(regclass) IS 'The event table of a rollup; ST004 if it is not one.';

CREATE FUNCTION strata._refresh_rollup(source regclass, rollup regclass) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry strata._rollups;
    progress strata._rollup_progress;
    outcome jsonb;
    pending bigint;
BEGIN
    PERFORM strata._authorized(source, 'INGEST');
    entry := strata._rollup_of(source, rollup);
    -- The batch this transaction has open would go into the set while it can still grow.
    PERFORM strata._close_batch(source);
    -- The lock comes in a statement of its own, before the snapshot of the fold.
    PERFORM FROM strata._rollup_progress p WHERE p.rollup_id = entry.rollup_id FOR NO KEY UPDATE;
    progress := strata._decide_horizon(entry);
    SELECT count(*) INTO pending FROM (SELECT FROM strata._pending_batches p WHERE p.rollup_id = entry.rollup_id LIMIT 101) l;
    outcome := strata._execute_as(strata._owner(source), strata._rollup_sql(entry, 'fold', progress.horizon, pending > 100))::jsonb;
    PERFORM strata._record_progress(entry, progress, outcome);
    RETURN (outcome ->> 'batches')::bigint;
END
$$;
COMMENT ON FUNCTION strata._refresh_rollup(regclass, regclass) IS 'The writing half of refresh_rollup.';

-- Ids at or below the horizon are decided: in the set, or never to be seen. A candidate is the sequence's last value,
-- read before the next transaction id that is kept with it: whoever drew an id had its transaction id by then, so every
-- id up to the candidate belongs to a transaction below it. (A snapshot's xmax would not do: it is the highest *ended*
-- transaction's successor, and transactions above it may be running.) When the xmin of a later snapshot has reached the
-- kept id, all those transactions have ended, and the fold, whose snapshot is later still, sees what they left.
CREATE FUNCTION strata._decide_horizon(rollup strata._rollups) RETURNS strata._rollup_progress
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    progress strata._rollup_progress;
    sequence regclass := (SELECT t.batch_sequence FROM strata._event_tables t WHERE t.table_id = rollup.table_id);
    this_system bigint := (SELECT c.system_identifier FROM pg_control_system() c);
    last_drawn bigint;
    highest bigint;
    bound xid8;
    seen pg_snapshot;
    known boolean;
    reached boolean;
BEGIN
    SELECT p.* INTO progress FROM strata._rollup_progress p WHERE p.rollup_id = rollup.rollup_id;
    last_drawn := coalesce(pg_sequence_last_value(sequence), 0);
    bound := strata._next_xid();
    SELECT pg_current_snapshot() INTO seen;
    SELECT max(b.batch_id) INTO highest FROM strata._batches b WHERE b.table_id = rollup.table_id;
    highest := greatest(highest, progress.horizon);
    IF last_drawn < highest AND coalesce(pg_sequence_last_value(sequence), 0) < highest THEN
        RAISE EXCEPTION USING ERRCODE = 'ST007',
            MESSAGE = format('the batch sequence of %s lies behind its ledger', strata._relation(rollup.table_id)),
            DETAIL = format('The sequence %s stands at %s, the ledger at %s: ids would be used again and their rows taken for folded.', sequence, last_drawn, highest),
            HINT = format('Run: SELECT pg_catalog.setval(%L, %s); then SELECT strata.rebuild_rollup(%L);', sequence::text, highest, rollup.rollup::text);
    END IF;
    -- transaction ids of another cluster say nothing here
    known := progress.candidate_xid IS NOT NULL AND progress.system_identifier = this_system;
    reached := known AND progress.candidate_xid <= pg_snapshot_xmin(seen);
    SELECT p.rollup_id, p.folded, n.horizon, c.candidate, c.candidate_xid, this_system, p.refreshed_at, p.batches_folded
    INTO progress
    FROM strata._rollup_progress p
    CROSS JOIN LATERAL (SELECT CASE WHEN reached THEN greatest(p.horizon, p.candidate) ELSE p.horizon END AS horizon) n
    -- a candidate is kept until it is reached; under a snapshot kept for the whole transaction none is proposed
    LEFT JOIN LATERAL (
        SELECT p.candidate, p.candidate_xid WHERE known AND NOT reached
        UNION ALL
        SELECT last_drawn, bound WHERE (reached OR NOT known) AND last_drawn > n.horizon
            AND current_setting('transaction_isolation') = 'read committed'
    ) c ON true
    WHERE p.rollup_id = rollup.rollup_id;
    RETURN progress;
END
$$;
REVOKE ALL ON FUNCTION strata._decide_horizon(strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._decide_horizon(strata._rollups) IS
'Progress of a rollup with its horizon moved as far as the running transactions allow; ST007 if the sequence lies behind the ledger.';

CREATE FUNCTION strata._record_progress(rollup strata._rollups, progress strata._rollup_progress, outcome jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    batches bigint := (outcome ->> 'batches')::bigint;
BEGIN
    -- what lies at or below the horizon need not be listed
    UPDATE strata._rollup_progress p
    SET folded = (progress.folded + (outcome ->> 'ids')::int8multirange) - int8multirange(int8range(NULL, progress.horizon, '(]')),
        horizon = progress.horizon,
        candidate = progress.candidate,
        candidate_xid = progress.candidate_xid,
        system_identifier = progress.system_identifier,
        refreshed_at = clock_timestamp(),
        batches_folded = p.batches_folded + batches
    WHERE p.rollup_id = rollup.rollup_id;
    IF batches > 0 THEN
        PERFORM pg_notify('strata_rollup', jsonb_build_object(
            'rollup', rollup.rollup::text, 'source', strata._relation(rollup.table_id)::text, 'batches', batches)::text);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._record_progress(strata._rollups, strata._rollup_progress, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION strata._record_progress(strata._rollups, strata._rollup_progress, jsonb) IS
'Writes down which batches a fold has seen, in the transaction of the fold.';

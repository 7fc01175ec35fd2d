-- Promise: all batches visible to the refresh are folded and all its dirty groups recomputed, in the caller's
-- transaction, together with the record of it.
CREATE FUNCTION strata.refresh_rollup(rollup regclass) RETURNS bigint
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._refresh_rollup(strata._authorize(strata._source(rollup), 'INGEST'), rollup) $$;
COMMENT ON FUNCTION strata.refresh_rollup(regclass) IS
'Folds pending batches into a rollup and recomputes its dirty groups; returns how many batches were folded. Reading never needs it: it keeps reading cheap. One refresh of a rollup at a time, others wait. Does nothing for a suspended rollup. Closes this transaction''s open batch. Sends NOTIFY strata_rollup when there was work (such a transaction cannot be prepared). Takes ownership of the source or grant_ingest on it. Errors: ST004 not a rollup; ST007 the batch sequence lies behind the ledger; 40001 in REPEATABLE READ if another refresh came between.';

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
    IF entry.suspended_at IS NOT NULL THEN
        RETURN 0;
    END IF;
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

CREATE FUNCTION strata._decide_horizon(rollup strata._rollups) RETURNS strata._rollup_progress
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    progress strata._rollup_progress;
    event_table strata._event_tables := (SELECT t FROM strata._event_tables t WHERE t.table_id = rollup.table_id);
    decided record;
    last_drawn bigint;
    highest bigint;
BEGIN
    SELECT p.* INTO progress FROM strata._rollup_progress p WHERE p.rollup_id = rollup.rollup_id;
    last_drawn := coalesce(pg_sequence_last_value(event_table.batch_sequence), 0);
    decided := strata._next_horizon(event_table.batch_sequence, progress.horizon, progress.candidate, progress.candidate_xid, progress.system_identifier);
    highest := greatest((SELECT max(b.batch_id) FROM strata._batches b WHERE b.table_id = rollup.table_id), progress.horizon,
        (SELECT l.pruned_through FROM strata._ledger_progress l WHERE l.table_id = rollup.table_id));
    IF last_drawn < highest AND coalesce(pg_sequence_last_value(event_table.batch_sequence), 0) < highest THEN
        RAISE EXCEPTION USING ERRCODE = 'ST007',
            MESSAGE = format('the batch sequence of %s lies behind its ledger', strata._relation(rollup.table_id)),
            DETAIL = format('The sequence %s stands at %s, the ledger at %s: ids would be used again and their rows taken for folded.',
                event_table.batch_sequence, last_drawn, highest),
            HINT = format('Run: SELECT pg_catalog.setval(%L, %s); then SELECT strata.rebuild_rollup(%L);', event_table.batch_sequence::text, highest, rollup.rollup::text);
    END IF;
    SELECT p.rollup_id, p.folded, decided.horizon, decided.candidate, decided.candidate_xid, decided.system_identifier, p.refreshed_at, p.batches_folded
    INTO progress
    FROM strata._rollup_progress p WHERE p.rollup_id = rollup.rollup_id;
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

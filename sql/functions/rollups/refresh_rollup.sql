-- Promise: all batches visible to the refresh are folded and all its dirty groups recomputed, in the caller's
-- transaction, together with the record of it.
CREATE FUNCTION strata.refresh_rollup(rollup regclass) RETURNS bigint
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._refresh_rollup(strata._authorize(strata._source(rollup), 'INGEST'), rollup) $$;
COMMENT ON FUNCTION strata.refresh_rollup(regclass) IS
'Folds pending batches into a rollup and recomputes its dirty groups; returns how many batches were folded. Reading never needs it: it keeps reading cheap. One refresh of a rollup at a time, others wait. Fills a rollup created without data, if every transaction has ended that was at work when it was created (strata.refresh_rollups does so in small steps). Does nothing for a suspended rollup. Closes this transaction''s open batch. Sends NOTIFY strata_rollup when there was work (such a transaction cannot be prepared). Takes ownership of the source or grant_ingest on it. Errors: ST004 not a rollup; ST007 the batch sequence lies behind the ledger; 40001 in REPEATABLE READ if another refresh came between.';

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
            DETAIL = 'The catalog of pg_strata has no entry for it'
                || CASE WHEN current_setting('transaction_isolation') = 'read committed' THEN '.' ELSE ' in this transaction''s snapshot.' END,
            HINT = 'strata.rollups lists what there is.';
    END IF;
    RETURN source;
END
$$;
COMMENT ON FUNCTION strata._source(regclass) IS 'The event table of a rollup; ST004 if it is not one.';

CREATE FUNCTION strata._refresh_rollup(source regclass, rollup regclass, whole boolean DEFAULT true) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    -- compiling a fold takes longer than running it: it is planned for every partition, and runs on few rows
    SET jit = off
AS $$
DECLARE
    entry strata._rollups;
    progress strata._rollup_progress;
    fill_from timestamptz;
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
    -- a group without a partition to go to would be an error
    PERFORM strata._cover_leaves(source, entry);
    -- The lock comes in a statement of its own, before the snapshot of the fold.
    PERFORM FROM strata._rollup_progress p WHERE p.rollup_id = entry.rollup_id FOR NO KEY UPDATE;
    -- whoever suspends it holds that lock too
    entry := strata._rollup_of(source, rollup);
    IF entry.suspended_at IS NOT NULL THEN
        RETURN 0;
    END IF;
    fill_from := strata._fill_target(entry, whole);
    progress := strata._decide_horizon(entry);
    IF fill_from IS NOT NULL AND progress.filled_from = 'infinity' THEN
        PERFORM strata._mark_undecided(entry);
    END IF;
    SELECT count(*) INTO pending FROM (SELECT FROM strata._pending_batches p WHERE p.rollup_id = entry.rollup_id LIMIT 101) l;
    IF pending > 0 THEN
        PERFORM strata._summarize_pending(entry);
    END IF;
    outcome := strata._fold(entry, strata._owner(source), progress.horizon, pending > 100, fill_from);
    PERFORM strata._record_progress(entry, progress, outcome, fill_from);
    PERFORM strata._finish_view(entry);
    RETURN (outcome ->> 'batches')::bigint;
END
$$;
COMMENT ON FUNCTION strata._refresh_rollup(regclass, regclass, boolean) IS
'The writing half of refresh_rollup. whole: a backfill is done to its end, else by one partition.';

-- The backfill goes from the newest rows to the oldest. It begins when every transaction has ended that may have changed
-- rows before it could know of the rollup; until then nothing is stored that a missing mark could make wrong.
CREATE FUNCTION strata._fill_target(rollup strata._rollups, whole boolean) RETURNS timestamptz
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    progress strata._rollup_progress;
    target timestamptz;
BEGIN
    SELECT p.* INTO progress FROM strata._rollup_progress p WHERE p.rollup_id = rollup.rollup_id;
    IF progress.filled_from = '-infinity' OR NOT strata._writers_have_ended(rollup, progress) THEN
        RETURN NULL;
    ELSIF NOT whole THEN
        SELECT min(strata._bucket_lower(rollup, l.lower)) INTO target
        FROM (SELECT l.lower FROM strata._leaves(strata._relation(rollup.table_id)) l WHERE l.lower < progress.filled_from ORDER BY l.lower DESC LIMIT 1) l;
        IF EXISTS (SELECT FROM strata._leaves(strata._relation(rollup.table_id)) l WHERE l.lower < target) THEN
            RETURN target;
        END IF;
    END IF;
    RETURN '-infinity';
END
$$;
REVOKE ALL ON FUNCTION strata._fill_target(strata._rollups, boolean) FROM PUBLIC;
COMMENT ON FUNCTION strata._fill_target(strata._rollups, boolean) IS 'From where on storage is to be filled by this refresh; NULL if there is nothing to fill, or not yet.';

CREATE FUNCTION strata._writers_have_ended(rollup strata._rollups, progress strata._rollup_progress) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bound xid8 := progress.writers_below;
    seen pg_snapshot;
BEGIN
    IF progress.filled_from < 'infinity' OR progress.system_identifier <> (SELECT c.system_identifier FROM pg_control_system() c) THEN
        -- it has begun, or this is another cluster, whose transactions all know of the rollup
        RETURN true;
    ELSIF rollup.created_at = now() THEN
        -- nobody can know of it before this transaction commits
        RETURN false;
    ELSIF bound IS NULL THEN
        bound := strata._next_xid();
        UPDATE strata._rollup_progress p SET writers_below = bound WHERE p.rollup_id = rollup.rollup_id;
    END IF;
    SELECT pg_current_snapshot() INTO seen;
    -- At or above xmax transactions may be running that the snapshot does not list, this one among them. Each holds a lock
    -- on its id until after snapshots show it as ended. (Ids have 32 bits there: those above the bound only make it wait.)
    RETURN NOT EXISTS (SELECT FROM pg_snapshot_xip(seen) x WHERE x < bound)
        AND (bound <= pg_snapshot_xmax(seen) OR NOT EXISTS (
            SELECT FROM pg_locks l
            WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
              AND l.transactionid::text::bigint >= pg_snapshot_xmax(seen)::text::numeric % 4294967296));
END
$$;
REVOKE ALL ON FUNCTION strata._writers_have_ended(strata._rollups, strata._rollup_progress) FROM PUBLIC;
COMMENT ON FUNCTION strata._writers_have_ended(strata._rollups, strata._rollup_progress) IS
'Whether every transaction that may know nothing of a rollup has ended, so that its backfill may begin.';

-- Once all is filled the view need not look at the rows for the rest. It waits for no reader: the longer form is right too.
CREATE FUNCTION strata._finish_view(rollup strata._rollups) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before text := current_setting('lock_timeout');
BEGIN
    IF NOT (SELECT p.view_fills AND p.filled_from = '-infinity' FROM strata._rollup_progress p WHERE p.rollup_id = rollup.rollup_id) THEN
        RETURN;
    END IF;
    BEGIN
        PERFORM set_config('lock_timeout', '100ms', true);
        PERFORM strata._set_final_view(rollup);
    EXCEPTION WHEN lock_not_available THEN
        NULL;
    END;
    PERFORM set_config('lock_timeout', before, true);
END
$$;
REVOKE ALL ON FUNCTION strata._finish_view(strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._finish_view(strata._rollups) IS 'Gives a rollup whose backfill is done its final view, if nobody holds it just now.';

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
    highest := strata._highest_batch(rollup.table_id);
    IF last_drawn < highest AND coalesce(pg_sequence_last_value(event_table.batch_sequence), 0) < highest THEN
        RAISE EXCEPTION USING ERRCODE = 'ST007',
            MESSAGE = format('the batch sequence of %s lies behind its ledger', strata._relation(rollup.table_id)),
            DETAIL = format('The sequence %s stands at %s, the ledger at %s: ids would be used again and their rows taken for folded.',
                event_table.batch_sequence, last_drawn, highest),
            HINT = format('Run: SELECT pg_catalog.setval(%L, %s); then SELECT strata.rebuild_rollup(%L);', event_table.batch_sequence::text, highest, rollup.rollup::text);
    END IF;
    SELECT p.rollup_id, p.folded, decided.horizon, decided.candidate, decided.candidate_xid, decided.system_identifier,
           p.filled_from, p.writers_below, p.view_fills, p.refreshed_at, p.batches_folded
    INTO progress
    FROM strata._rollup_progress p WHERE p.rollup_id = rollup.rollup_id;
    RETURN progress;
END
$$;
REVOKE ALL ON FUNCTION strata._decide_horizon(strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._decide_horizon(strata._rollups) IS
'Progress of a rollup with its horizon moved as far as the running transactions allow; ST007 if the sequence lies behind the ledger.';

CREATE FUNCTION strata._record_progress(rollup strata._rollups, progress strata._rollup_progress, outcome jsonb, fill_from timestamptz DEFAULT NULL) RETURNS void
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
        filled_from = coalesce(fill_from, p.filled_from),
        fills_from = CASE WHEN fill_from = '-infinity' THEN NULL ELSE p.fills_from END,
        refreshed_at = clock_timestamp(),
        batches_folded = p.batches_folded + batches
    WHERE p.rollup_id = rollup.rollup_id;
    IF batches > 0 THEN
        PERFORM pg_notify('strata_rollup', jsonb_build_object(
            'rollup', rollup.rollup::text, 'source', strata._relation(rollup.table_id)::text, 'batches', batches)::text);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._record_progress(strata._rollups, strata._rollup_progress, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION strata._record_progress(strata._rollups, strata._rollup_progress, jsonb, timestamptz) IS
'Writes down which batches a fold has seen, and how far it has filled, in the transaction of the fold.';

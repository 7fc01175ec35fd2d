-- Ids at or below the horizon are decided: seen, or never to be seen. A candidate is the sequence's last value, read
-- before the next transaction id that is kept with it: whoever drew an id had its transaction id by then, so every id up
-- to the candidate belongs to a transaction below it. (A snapshot's xmax would not do: it is the highest *ended*
-- transaction's successor, and transactions above it may be running.) When the xmin of a later snapshot has reached the
-- kept id, all those transactions have ended, and a snapshot that is later still sees what they left.
CREATE FUNCTION strata._next_horizon(
    sequence regclass, INOUT horizon bigint, INOUT candidate bigint, INOUT candidate_xid xid8, INOUT system_identifier bigint
)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_system bigint := (SELECT c.system_identifier FROM pg_control_system() c);
    last_drawn bigint;
    bound xid8;
    seen pg_snapshot;
BEGIN
    last_drawn := coalesce(pg_sequence_last_value(sequence), 0);
    bound := strata._next_xid();
    SELECT pg_current_snapshot() INTO seen;
    -- transaction ids of another cluster say nothing here
    IF candidate_xid IS NULL OR system_identifier IS DISTINCT FROM this_system THEN
        candidate := NULL;
    ELSIF candidate_xid <= pg_snapshot_xmin(seen) THEN
        horizon := greatest(horizon, candidate);
        candidate := NULL;
    END IF;
    system_identifier := this_system;
    -- a candidate is kept until it is reached; under a snapshot kept for the whole transaction none is proposed
    IF candidate IS NULL THEN
        candidate_xid := NULL;
        IF last_drawn > horizon AND current_setting('transaction_isolation') = 'read committed' THEN
            candidate := last_drawn;
            candidate_xid := bound;
        END IF;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._next_horizon(regclass, bigint, bigint, xid8, bigint) FROM PUBLIC;
COMMENT ON FUNCTION strata._next_horizon(regclass, bigint, bigint, xid8, bigint) IS
'A horizon moved as far as the running transactions allow, with the candidate for the next time.';

-- The ledger is pruned, and a partial restore may bring progress without it: each of them may know of the highest id.
CREATE FUNCTION strata._highest_batch(table_id int) RETURNS bigint
    LANGUAGE sql STABLE STRICT SECURITY DEFINER
    -- permit: none needed, health shows the number to every reader
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT greatest(0,
        (SELECT max(b.batch_id) FROM strata._batches b WHERE b.table_id = _highest_batch.table_id),
        (SELECT l.pruned_through FROM strata._ledger_progress l WHERE l.table_id = _highest_batch.table_id),
        (SELECT max(greatest(p.horizon, upper(p.folded) - 1)) FROM strata._rollup_progress p
         JOIN strata._rollups r ON r.rollup_id = p.rollup_id WHERE r.table_id = _highest_batch.table_id))
$$;
COMMENT ON FUNCTION strata._highest_batch(int) IS
'The highest batch id that ledger or rollups of an event table know of: where its sequence must stand at least.';

CREATE FUNCTION strata._last_batch(table_id int) RETURNS bigint
    LANGUAGE sql STABLE STRICT SECURITY DEFINER
    -- permit: none needed, health shows the number to every reader
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT pg_sequence_last_value(q.oid) FROM strata._event_tables t JOIN pg_class q ON q.oid = t.batch_sequence AND q.relkind = 'S'
                     WHERE t.table_id = _last_batch.table_id), 0)
$$;
COMMENT ON FUNCTION strata._last_batch(int) IS 'Where the batch sequence of an event table stands.';

-- Promise: every chunk that is committed and visible has its place in the log, without gaps; nobody waits for long writers,
-- whose chunks get theirs in a later seal.
CREATE FUNCTION strata.seal_audit() RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    -- permit: none needed, only members of strata_auditor may execute it
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    chunks_max CONSTANT int := 100000;
    log strata._audit_log;
    decided record;
    sealed bigint;
    new_root bytea;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING ERRCODE = '25001',
            MESSAGE = format('cannot seal the audit log in a %s transaction', current_setting('transaction_isolation')),
            DETAIL = 'Chunks are found by a snapshot taken after the log has been locked.',
            HINT = 'Seal in a transaction of isolation level READ COMMITTED.';
    END IF;
    PERFORM strata._flush_audit();
    INSERT INTO strata._audit_log (origin) VALUES ('pg_strata/' || gen_random_uuid()) ON CONFLICT (log_id) DO NOTHING;
    -- one sealer at a time; what follows is seen by snapshots taken later
    SELECT l.* INTO log FROM strata._audit_log l FOR UPDATE;
    PERFORM strata._log_descriptions();
    decided := strata._next_horizon('strata._audit_chunk_id_seq', log.horizon, log.candidate, log.candidate_xid, log.system_identifier);
    WITH unsealed AS (
        SELECT c.chunk_id, c.audit_id FROM strata._audit_chunks c
        WHERE c.chunk_id > log.horizon AND NOT EXISTS (SELECT FROM strata._audit_entries e WHERE e.chunk_id = c.chunk_id)
        ORDER BY c.chunk_id LIMIT chunks_max
    ), indexed AS (
        INSERT INTO strata._audit_entries (log_index, chunk_id, audit_id)
        SELECT log.size + row_number() OVER (ORDER BY u.chunk_id) - 1, u.chunk_id, u.audit_id FROM unsealed u
        RETURNING 1
    )
    SELECT count(*) INTO sealed FROM indexed;
    IF sealed > 0 THEN
        SELECT strata._append_leaves(log.size, array_agg(strata._chunk_leaf(c) ORDER BY e.log_index)) INTO new_root
        FROM strata._audit_entries e JOIN strata._audit_chunks c ON c.chunk_id = e.chunk_id WHERE e.log_index >= log.size;
        INSERT INTO strata._audit_states AS s (audit_id, state)
        SELECT c.audit_id, strata._audit_state_of(c.operation, c.added, c.removed ORDER BY c.chunk_id)
        FROM strata._audit_entries e JOIN strata._audit_chunks c ON c.chunk_id = e.chunk_id WHERE e.log_index >= log.size AND c.operation NOT IN ('state', 'state_rows')
        GROUP BY c.audit_id
        ON CONFLICT (audit_id) DO UPDATE SET state = strata._audit_follow(s.state, EXCLUDED.state);
    END IF;
    UPDATE strata._audit_log l
    SET size = log.size + sealed, root = coalesce(new_root, l.root, sha256('')), sealed_at = clock_timestamp(),
        horizon = CASE WHEN sealed < chunks_max THEN decided.horizon ELSE l.horizon END,
        candidate = decided.candidate, candidate_xid = decided.candidate_xid, system_identifier = decided.system_identifier;
    RETURN sealed;
END
$$;
REVOKE ALL ON FUNCTION strata.seal_audit() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata.seal_audit() TO strata_auditor;
COMMENT ON FUNCTION strata.seal_audit() IS
'Gives every chunk of the audit log that is committed and has no place in the log yet the next one, and extends the Merkle tree over them. Returns how many, at most 100,000 a call. strata seal does it regularly and signs the result. For members of strata_auditor. Errors: 25001 in a transaction that is not READ COMMITTED.';

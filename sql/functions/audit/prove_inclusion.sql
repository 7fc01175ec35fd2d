-- Promise: whoever holds a digest can check with this, and nothing else of ours, that a chunk is in the log.
CREATE FUNCTION strata.prove_inclusion(chunk_id bigint, OUT log_index bigint, OUT size bigint, OUT leaf bytea, OUT root bytea, OUT proof bytea[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    -- permit: none needed, only members of strata_auditor may execute it
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT e.log_index, l.size, CASE WHEN c.chunk_id IS NULL THEN substr(t.hashes, (e.log_index % 256)::int * 32 + 1, 32) ELSE strata._chunk_leaf(c) END, l.root, strata._prove_inclusion(e.log_index, l.size)
    INTO log_index, size, leaf, root, proof
    FROM strata._audit_entries e LEFT JOIN strata._audit_chunks c ON c.chunk_id = e.chunk_id
    -- (of a chunk that was pruned the tree alone has the leaf)
    LEFT JOIN strata._audit_tiles t ON t.level = 0 AND t.tile_index = e.log_index / 256, strata._audit_log l
    WHERE e.chunk_id = prove_inclusion.chunk_id;
    IF log_index IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'ST014',
            MESSAGE = format('chunk %s is not in the sealed log', chunk_id),
            DETAIL = 'There is no such chunk, or it has not been sealed yet.',
            HINT = 'strata.audit_log lists the chunks; SELECT strata.seal_audit(); seals them.';
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata.prove_inclusion(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata.prove_inclusion(bigint) TO strata_auditor;
COMMENT ON FUNCTION strata.prove_inclusion(bigint) IS
'The proof of RFC 9162 (2.1.3) that a chunk is leaf log_index of the log of this size and root. For members of strata_auditor. Errors: ST014 if the chunk is not sealed.';

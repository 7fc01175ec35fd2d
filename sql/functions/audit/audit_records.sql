-- Promise: all that a leaf of the log is made of, so that a verifier of its own can make it again (docs/formats.md).
CREATE FUNCTION strata.audit_records(
    lower bigint, upper bigint,
    OUT log_index bigint, OUT chunk_id bigint, OUT table_uuid uuid, OUT operation text, OUT schema int, OUT changed_at timestamptz, OUT xid xid8,
    OUT system_identifier bigint, OUT session_role text, OUT role text, OUT application text, OUT client text, OUT context text, OUT detail text,
    OUT added_count int, OUT added_root bytea, OUT added_keys bytea, OUT removed_count int, OUT removed_root bytea, OUT removed_keys bytea
) RETURNS SETOF record
    LANGUAGE sql STABLE STRICT SECURITY DEFINER
    -- permit: none needed, only members of strata_auditor may execute it
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.log_index, c.chunk_id, c.table_uuid, c.operation, c.schema, c.changed_at, c.xid, c.system_identifier, c.session_role, c.role, c.application,
           c.client, c.context, c.detail, c.added_count, c.added_root, c.added_keys, c.removed_count, c.removed_root, c.removed_keys
    FROM strata._audit_entries e JOIN strata._audit_chunks c ON c.chunk_id = e.chunk_id
    WHERE e.log_index >= lower AND e.log_index < upper
    ORDER BY e.log_index
$$;
REVOKE ALL ON FUNCTION strata.audit_records(bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata.audit_records(bigint, bigint) TO strata_auditor;
COMMENT ON FUNCTION strata.audit_records(bigint, bigint) IS
'The sealed chunks from place lower to below upper of the log, without their row leaves: what their records, and so the leaves of the log, are made of. For members of strata_auditor.';

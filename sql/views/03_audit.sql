-- The audit log as people read it.
CREATE VIEW strata.audited_tables AS
SELECT a.relation, a.history, a.enabled_at,
       ARRAY(SELECT i.attribute_name FROM strata._attribute_ids i WHERE i.relation = a.relation AND i.attribute_id = ANY (a.excluded) ORDER BY i.attribute_id) AS excluded,
       a.table_uuid,
       ARRAY(SELECT i.attribute_name FROM strata._attribute_ids i WHERE i.relation = a.relation AND i.attribute_id = ANY (a.erasable) ORDER BY i.attribute_id) AS erasable,
       r.retention, h.pruned_until AS kept_from
FROM strata._audited_tables a
JOIN pg_class c ON c.oid = a.relation
LEFT JOIN strata._audit_horizons h ON h.audit_id = a.audit_id
LEFT JOIN LATERAL (SELECT s.retention FROM strata._audit_retention s WHERE s.audit_id IN (0, a.audit_id) ORDER BY s.audit_id DESC LIMIT 1) r ON true
WHERE a.disabled_at IS NULL AND (has_table_privilege(a.relation, 'SELECT') OR pg_has_role('strata_auditor', 'MEMBER'));
COMMENT ON VIEW strata.audited_tables IS 'Audited tables: the history that takes old versions, since when, columns that are in neither log nor history, the UUID that stands for the table in hashes, columns whose values strata.erase can destroy, how long log and history are kept (NULL: for ever), and from when on they are there (NULL: nothing was pruned).';

CREATE VIEW strata.audit_log AS
SELECT c.chunk_id, e.log_index, a.relation, a.relation_name, c.operation, c.added_count AS added, c.removed_count AS removed, c.changed_at, c.xid, c.system_identifier,
       c.session_role, c.role, c.application, c.client, c.context::jsonb AS context, c.detail
FROM strata._audit_chunks c
LEFT JOIN strata._audited_tables a ON a.audit_id = c.audit_id
LEFT JOIN strata._audit_entries e ON e.chunk_id = c.chunk_id
WHERE pg_has_role('strata_auditor', 'MEMBER')
   OR EXISTS (SELECT FROM pg_class r WHERE r.oid = a.relation AND has_table_privilege(r.oid, 'SELECT'));
COMMENT ON VIEW strata.audit_log IS 'What was done to audited tables: one row per statement and table of at most 65,536 rows; log_index is its place in the sealed log, NULL until strata.seal_audit(); xid means something together with system_identifier, which another cluster has otherwise; context is what the application said of itself.';

GRANT SELECT ON strata.audited_tables, strata.audit_log TO PUBLIC;

-- What verifiers read: all that leaves and row leaves of the log are made of (docs/formats.md).
CREATE VIEW strata.audit_chunks AS
SELECT e.log_index, c.chunk_id, c.table_uuid, c.operation, c.schema, c.changed_at, c.xid, c.system_identifier, c.session_role, c.role, c.application,
       c.client, c.context, c.detail, c.added_count, c.added_root, c.added_keys, c.removed_count, c.removed_root, c.removed_keys, c.added, c.removed
FROM strata._audit_chunks c
LEFT JOIN strata._audit_entries e ON e.chunk_id = c.chunk_id
WHERE pg_has_role('strata_auditor', 'MEMBER');
COMMENT ON VIEW strata.audit_chunks IS 'Chunks of the audit log with all that their records are made of, and their entries (40 bytes a row: leaf, hash of the key; sorted); log_index is the place in the log, NULL until sealed. Members of strata_auditor see them.';

CREATE VIEW strata.audit_pruned AS
SELECT e.log_index, e.chunk_id, a.table_uuid
FROM strata._audit_entries e
JOIN strata._audited_tables a ON a.audit_id = e.audit_id
WHERE NOT EXISTS (SELECT FROM strata._audit_chunks c WHERE c.chunk_id = e.chunk_id);
COMMENT ON VIEW strata.audit_pruned IS 'Places of the log whose chunk is gone: its id and table, which a verifier believes as far as state records bear them out (docs/formats.md). For members of strata_auditor.';

CREATE VIEW strata.audit_tiles AS
SELECT t.level, t.tile_index, t.hashes FROM strata._audit_tiles t WHERE pg_has_role('strata_auditor', 'MEMBER');
COMMENT ON VIEW strata.audit_tiles IS 'The tree of the audit log as tiles of up to 256 hashes of 32 bytes: level 0 has the leaves, level n the roots of whole tiles of level n - 1. Members of strata_auditor see them.';

GRANT SELECT ON strata.audit_chunks, strata.audit_pruned, strata.audit_tiles TO PUBLIC;

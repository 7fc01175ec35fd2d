-- Promise: what the catalog says of audited tables, for a verifier that compares it with what the log says.
CREATE FUNCTION strata.audit_catalog(
    OUT table_uuid uuid, OUT relation regclass, OUT name text, OUT history text, OUT description text, OUT history_columns jsonb, OUT leaves regclass[], OUT expired regclass[]
) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER
    -- permit: none needed, only members of strata_auditor may execute it
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.table_uuid, c.oid, coalesce(format('%I.%I', n.nspname, c.relname), a.relation_name),
           (SELECT format('%I.%I', m.nspname, h.relname) FROM pg_class h JOIN pg_namespace m ON m.oid = h.relnamespace WHERE h.oid = a.history),
           strata._describe_audited(a)::text,
           (SELECT jsonb_object_agg(k.attribute_id, k.history_column) FROM strata._audit_columns k WHERE k.audit_id = a.audit_id),
           ARRAY(SELECT t.relid FROM strata._tree(c.oid) t (relid)),
           ARRAY(SELECT t.relid FROM strata._audit_expired x CROSS JOIN LATERAL strata._tree(x.partition) t (relid) WHERE x.audit_id = a.audit_id AND x.is_gone)
    FROM strata._audited_tables a
    LEFT JOIN pg_class c ON c.oid = a.relation
    LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE a.disabled_at IS NULL
    ORDER BY a.audit_id
$$;
REVOKE ALL ON FUNCTION strata.audit_catalog() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata.audit_catalog() TO strata_auditor;
COMMENT ON FUNCTION strata.audit_catalog() IS
'Tables that are audited, as strata verify --audit reads them: the UUID that stands for the table in leaves, the table (NULL where it is gone), its name and its history''s, its description as docs/formats.md has it, the columns of the history by the ids of the columns they keep, the table and its partitions, and those of them that retention has taken out of the log. For members of strata_auditor.';

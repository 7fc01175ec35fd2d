-- Promise: all that a verifier of its own lacks to make the leaves of a table with erasable columns (docs/formats.md).
CREATE FUNCTION strata.audit_salts(relation regclass, OUT key bytea, OUT salt bytea) RETURNS SETOF record
    LANGUAGE sql STABLE STRICT SECURITY DEFINER
    -- permit: none needed, only members of strata_auditor may execute it
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.key, s.salt FROM strata._audit_salts s JOIN strata._audited_tables a ON a.audit_id = s.audit_id WHERE a.relation = audit_salts.relation
$$;
REVOKE ALL ON FUNCTION strata.audit_salts(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata.audit_salts(regclass) TO strata_auditor;
COMMENT ON FUNCTION strata.audit_salts(regclass) IS
'The salts that the commitments in the row leaves of an audited table are made with, by key: 8 bytes of a key of one integer, else the SHA-256 of docs/formats.md. Whoever has them and a leaf can try values out: keep them no longer than a verification takes. For members of strata_auditor.';

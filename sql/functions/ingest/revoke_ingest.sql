-- Promise: the role can no longer run ingestion into the table.
CREATE FUNCTION strata.revoke_ingest(relation regclass, role regrole) RETURNS void
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._revoke_ingest(strata._authorize(relation, 'OWNER'), role) $$;
COMMENT ON FUNCTION strata.revoke_ingest(regclass, regrole) IS
'Takes back what grant_ingest gave, the privileges on the table included; an owner keeps those of an owner. Takes ownership.';

CREATE FUNCTION strata._revoke_ingest(relation regclass, role regrole) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    IF role <> strata._owner(relation) THEN
        PERFORM strata._execute_as(strata._owner(relation), format('REVOKE %s ON %s FROM %s',
            CASE WHEN strata._is_target(relation) THEN 'SELECT, INSERT, UPDATE, DELETE' ELSE 'INSERT' END, relation, role));
    END IF;
    DELETE FROM strata._ingest_grants g WHERE g.table_id = strata._ingest_id(relation) AND g.role = _revoke_ingest.role;
END
$$;
COMMENT ON FUNCTION strata._revoke_ingest(regclass, regrole) IS 'The writing half of revoke_ingest.';

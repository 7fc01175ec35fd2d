-- Promise: the role can run ingestion into the table, and can do nothing else to it.
CREATE FUNCTION strata.grant_ingest(relation regclass, role regrole) RETURNS void
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._grant_ingest(strata._authorize(relation, 'OWNER'), role) $$;
COMMENT ON FUNCTION strata.grant_ingest(regclass, regrole) IS
'Lets a role, the sidecar''s, stream rows into an event table: INSERT on it, making partitions inside the accepted window, checkpoints, dead letters, refreshing its rollups. Not: reading, changing or dropping anything. For a target of changes: SELECT, INSERT, UPDATE and DELETE on it, checkpoints, dead letters. Takes ownership.';

CREATE FUNCTION strata._grant_ingest(relation regclass, role regrole) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target boolean := strata._is_target(relation);
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    IF NOT target THEN
        PERFORM strata._lock_event_table(relation);
    END IF;
    PERFORM strata._execute_as(strata._owner(relation),
        format('GRANT %s ON %s TO %s', CASE WHEN target THEN 'SELECT, INSERT, UPDATE, DELETE' ELSE 'INSERT' END, relation, role));
    INSERT INTO strata._ingest_grants (table_id, role) VALUES (strata._ingest_id(relation), _grant_ingest.role) ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION strata._grant_ingest(regclass, regrole) IS 'The writing half of grant_ingest.';

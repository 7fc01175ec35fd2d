-- Promise: the role can run ingestion into the table, and can do nothing else to it.
CREATE FUNCTION strata.grant_ingest(relation regclass, role regrole) RETURNS void
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._grant_ingest(strata._authorize(relation, 'OWNER'), role) $$;
COMMENT ON FUNCTION strata.grant_ingest(regclass, regrole) IS
'Lets a role, the sidecar''s, stream rows into an event table: INSERT on it, making partitions inside the accepted window, checkpoints, dead letters, refreshing its rollups. Not: reading, changing or dropping anything. Takes ownership.';

CREATE FUNCTION strata._grant_ingest(relation regclass, role regrole) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    PERFORM strata._lock_event_table(relation);
    PERFORM strata._execute_as(strata._owner(relation), format('GRANT INSERT ON %s TO %s', relation, role));
    INSERT INTO strata._ingest_grants (table_id, role) VALUES (event_table.table_id, _grant_ingest.role) ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION strata._grant_ingest(regclass, regrole) IS 'The writing half of grant_ingest.';

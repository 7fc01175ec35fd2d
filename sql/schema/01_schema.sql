-- The script resolves names in pg_catalog alone, whatever the installing session has set.
SET LOCAL search_path = pg_catalog, pg_temp;

-- One schema, owned by whoever owns the extension; nobody else creates in it.
CREATE SCHEMA strata;
COMMENT ON SCHEMA strata IS 'pg_strata: time-partitioned event tables, rollups exact at every commit, batch ledger, ingestion state';
GRANT USAGE ON SCHEMA strata TO PUBLIC;

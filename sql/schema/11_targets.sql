-- Ordinary tables that the sidecar applies changes to, by primary key. Their ids are drawn from the event tables' sequence, so
-- that leases, checkpoints, dead letters and grants of both lie in the same tables. The native library reads the first two
-- columns by position.
CREATE TABLE strata._target_tables (
    table_id int PRIMARY KEY DEFAULT nextval('strata._event_tables_table_id_seq'),
    relation regclass NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
SELECT pg_extension_config_dump('strata._target_tables', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = relation)');

CREATE VIEW strata._ingested_tables AS
SELECT t.table_id, t.relation FROM strata._event_tables t
UNION ALL
SELECT t.table_id, t.relation FROM strata._target_tables t;
COMMENT ON VIEW strata._ingested_tables IS 'Every table the sidecar may feed: event tables, and ordinary ones as targets of changes.';

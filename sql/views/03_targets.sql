CREATE VIEW strata.target_tables AS
SELECT t.relation, strata._primary_key(t.relation) AS key, t.created_at
FROM strata._target_tables t
JOIN pg_class c ON c.oid = t.relation
WHERE (has_table_privilege(t.relation, 'SELECT') OR strata._may(t.relation, 'INGEST'))
  AND NOT EXISTS (SELECT FROM strata._event_tables e WHERE e.relation = t.relation);
COMMENT ON VIEW strata.target_tables IS 'Ordinary tables that the sidecar applies changes to, with the primary key they are applied by.';
GRANT SELECT ON strata.target_tables TO PUBLIC;

-- pg_dump carries the catalog with the data. Rows of relations that are gone are left out: a dead OID restored as a
-- number could point at a stranger. Conditions read tables alone: pg_dump refuses views (restrict_nonsystem_relation_kind).
SELECT pg_extension_config_dump('strata._event_tables', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = relation)');
SELECT pg_extension_config_dump('strata._event_tables_table_id_seq', '');
SELECT pg_extension_config_dump('strata._columns', 'WHERE table_id IN (SELECT table_id FROM strata._event_tables JOIN pg_catalog.pg_class ON oid = relation)');
SELECT pg_extension_config_dump('strata._ingest_grants', 'WHERE table_id IN (SELECT table_id FROM (SELECT table_id, relation FROM strata._event_tables UNION ALL SELECT table_id, relation FROM strata._target_tables) t JOIN pg_catalog.pg_class ON oid = relation) AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE oid = role)');
SELECT pg_extension_config_dump('strata._batches', 'WHERE table_id IN (SELECT table_id FROM strata._event_tables JOIN pg_catalog.pg_class ON oid = relation)');
SELECT pg_extension_config_dump('strata._batch_origins', 'WHERE table_id IN (SELECT table_id FROM strata._event_tables JOIN pg_catalog.pg_class ON oid = relation)');
SELECT pg_extension_config_dump('strata._batch_checksums', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = partition)');
SELECT pg_extension_config_dump('strata._amended_batches', 'WHERE table_id IN (SELECT table_id FROM strata._event_tables JOIN pg_catalog.pg_class ON oid = relation)');
SELECT pg_extension_config_dump('strata._merged_batches', 'WHERE table_id IN (SELECT table_id FROM strata._event_tables JOIN pg_catalog.pg_class ON oid = relation)');
SELECT pg_extension_config_dump('strata._ledger_progress', 'WHERE table_id IN (SELECT table_id FROM strata._event_tables JOIN pg_catalog.pg_class ON oid = relation)');
SELECT pg_extension_config_dump('strata._rollups', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = rollup)');
SELECT pg_extension_config_dump('strata._rollups_rollup_id_seq', '');
SELECT pg_extension_config_dump('strata._rollup_progress', 'WHERE rollup_id IN (SELECT rollup_id FROM strata._rollups JOIN pg_catalog.pg_class ON oid = rollup)');
SELECT pg_extension_config_dump('strata._reversions', '');
SELECT pg_extension_config_dump('strata._reversions_reversion_id_seq', '');
SELECT pg_extension_config_dump('strata._reversion_origins', '');
SELECT pg_extension_config_dump('strata._leases', '');
SELECT pg_extension_config_dump('strata._checkpoints', '');
SELECT pg_extension_config_dump('strata._gaps', '');
SELECT pg_extension_config_dump('strata._dead_letters', '');
SELECT pg_extension_config_dump('strata._dead_letters_dead_letter_id_seq', '');

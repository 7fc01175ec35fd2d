-- What the catalog knows of event tables and rollups goes by these two alone.
CREATE FUNCTION strata._forget_event_tables(table_ids int[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM strata._forget_rollups(ARRAY(SELECT r.rollup_id FROM strata._rollups r WHERE r.table_id = ANY (table_ids)));
    DELETE FROM strata._columns x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._ingest_grants x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._ledger_progress x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._batches x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._batch_origins x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._batch_checksums x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._amended_batches x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._merged_batches x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._workers x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._stops x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._leases x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._checkpoints x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._gaps x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._dead_letters x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._reversions x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._reversion_origins x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._detached_partitions x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._archived_partitions x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._retention_overrides x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._target_tables x WHERE x.table_id = ANY (table_ids);
    DELETE FROM strata._event_tables x WHERE x.table_id = ANY (table_ids);
END
$$;
REVOKE ALL ON FUNCTION strata._forget_event_tables(int[]) FROM PUBLIC;
COMMENT ON FUNCTION strata._forget_event_tables(int[]) IS 'Deletes event tables and targets from the catalog, with their ledgers, rollups, leases, checkpoints and dead letters.';

CREATE FUNCTION strata._forget_rollups(rollup_ids int[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM strata._rollup_progress x WHERE x.rollup_id = ANY (rollup_ids);
    -- what was made from them stands by itself
    UPDATE strata._rollups x SET parent_id = NULL WHERE x.parent_id = ANY (rollup_ids);
    DELETE FROM strata._rollups x WHERE x.rollup_id = ANY (rollup_ids);
END
$$;
REVOKE ALL ON FUNCTION strata._forget_rollups(int[]) FROM PUBLIC;
COMMENT ON FUNCTION strata._forget_rollups(int[]) IS 'Deletes rollups from the catalog.';

-- Plain DROP TABLE and DROP VIEW are fine: what belonged to the dropped is cleared away later, by maintenance or by the
-- next table or rollup that is made.
CREATE FUNCTION strata._forget_dropped_relations() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    orphan record;
BEGIN
    PERFORM strata._drop_conversion(c.relation, c.shadow, c.carry_function) FROM strata._conversions c
    WHERE NOT EXISTS (SELECT FROM pg_class r WHERE r.oid = c.relation) OR NOT EXISTS (SELECT FROM pg_class r WHERE r.oid = c.shadow);
    PERFORM strata._note_dropped(a) FROM strata._audited_tables a
    WHERE a.disabled_at IS NULL AND NOT EXISTS (SELECT FROM pg_class r WHERE r.oid = a.relation);
    -- nearly always nothing is gone
    IF NOT EXISTS (SELECT FROM strata._ingested_tables t LEFT JOIN pg_class c ON c.oid = t.relation WHERE c.oid IS NULL)
        AND NOT EXISTS (SELECT FROM strata._rollups r LEFT JOIN pg_class c ON c.oid = r.rollup WHERE c.oid IS NULL)
    THEN
        RETURN;
    END IF;
    -- one at a time: the second finds them cleared away
    PERFORM FROM strata._event_tables t WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.relation) ORDER BY t.table_id FOR UPDATE;
    PERFORM FROM strata._rollups r WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = r.rollup) ORDER BY r.rollup_id FOR UPDATE;
    FOR orphan IN SELECT o.* FROM strata._orphans() o LOOP
        PERFORM strata._execute_as(orphan.owner, orphan.statement);
    END LOOP;
    PERFORM strata._forget_rollups(ARRAY(SELECT r.rollup_id FROM strata._rollups r WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = r.rollup)));
    PERFORM strata._forget_event_tables(ARRAY(SELECT t.table_id FROM strata._ingested_tables t WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.relation)));
END
$$;
REVOKE ALL ON FUNCTION strata._forget_dropped_relations() FROM PUBLIC;
COMMENT ON FUNCTION strata._forget_dropped_relations() IS 'Clears the catalog of tables and rollups that were dropped.';

-- Found by what the catalog of PostgreSQL says they are, never by name alone.
CREATE FUNCTION strata._orphans(OUT owner regrole, OUT statement text) RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.relowner::regrole, format('DROP SEQUENCE %s', c.oid::regclass)
    FROM strata._event_tables t JOIN pg_class c ON c.oid = t.batch_sequence AND c.relkind = 'S'
    WHERE NOT EXISTS (SELECT FROM pg_class r WHERE r.oid = t.relation)
    UNION ALL
    SELECT p.proowner::regrole, format('DROP FUNCTION %s', p.oid::regprocedure)
    FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
    WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'x' AND d.refclassid = 'pg_extension'::regclass
      AND d.refobjid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'pg_strata')
      AND p.prorettype = 'trigger'::regtype AND p.proname ~ '_strata_mark\d*$'
      -- (found by index, which pg_trigger has none for its function)
      AND NOT EXISTS (SELECT FROM pg_depend g WHERE g.refclassid = 'pg_proc'::regclass AND g.refobjid = p.oid AND g.classid = 'pg_trigger'::regclass)
    UNION ALL
    SELECT p.proowner::regrole, format('DROP FUNCTION %s', f.reader)
    FROM strata._rollups r CROSS JOIN LATERAL strata._readers(r.storage) f (reader) JOIN pg_proc p ON p.oid = f.reader
    WHERE NOT EXISTS (SELECT FROM pg_class v WHERE v.oid = r.rollup)
    UNION ALL
    SELECT c.relowner::regrole, format('DROP %s %s', CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, c.oid::regclass)
    FROM strata._rollups r
    CROSS JOIN LATERAL (VALUES (1, r.definition, 'v'), (2, r.storage, 'p'), (2, r.dirty, 'r')) part (step, relation, kind)
    JOIN pg_class c ON c.oid = part.relation AND c.relkind = part.kind::"char"
    WHERE NOT EXISTS (SELECT FROM pg_class v WHERE v.oid = r.rollup)
      AND (c.relkind = 'v' OR obj_description(c.oid, 'pg_class') LIKE 'pg_strata: %')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
                      AND d.classid = 'pg_rewrite'::regclass AND d.objid NOT IN (SELECT w.oid FROM pg_rewrite w WHERE w.ev_class = c.oid))
$$;
REVOKE ALL ON FUNCTION strata._orphans() FROM PUBLIC;
COMMENT ON FUNCTION strata._orphans() IS 'What is left of dropped event tables and rollups, with the statement that drops it.';

-- Needs no right: it only takes away what points at nothing.
CREATE FUNCTION strata._heal_catalog() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    -- permit: none needed, it removes entries of relations that do not exist
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM strata._forget_dropped_relations();
END
$$;
COMMENT ON FUNCTION strata._heal_catalog() IS 'Clears away what is left of dropped event tables and rollups.';

-- Promise: partitions exist premake intervals ahead, every relation of the tree has its triggers, the catalog knows
-- nothing that is gone. One table a transaction, so that nothing is locked for long.
CREATE PROCEDURE strata.maintain_partitions(relation regclass DEFAULT NULL)
    LANGUAGE plpgsql
    -- no search_path: a procedure that sets it cannot commit
AS $$
DECLARE
    target pg_catalog.regclass;
BEGIN
    FOREACH target IN ARRAY strata._maintainable(maintain_partitions.relation)
    LOOP
        PERFORM strata._maintain_event_table(strata._authorize(target, 'INGEST'));
        COMMIT;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE strata.maintain_partitions(regclass) IS
'Makes partitions ahead of time (premake) and puts missing triggers back, for one event table or for all the caller may maintain (as owner or by grant_ingest). Commits after each table; call it outside a transaction block, from cron or from strata run.';

CREATE FUNCTION strata._maintainable(relation regclass) RETURNS regclass[]
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN relation IS NOT NULL THEN ARRAY[relation]
        ELSE coalesce((SELECT array_agg(e.relation ORDER BY e.relation) FROM strata.event_tables e WHERE strata._may(e.relation, 'INGEST')), '{}') END
$$;
COMMENT ON FUNCTION strata._maintainable(regclass) IS 'The event tables that a call of maintain_partitions is about.';

CREATE FUNCTION strata._maintain_event_table(relation regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    PERFORM strata._forget_dropped_relations();
    PERFORM strata._sync_columns(event_table);
    PERFORM strata._make_partitions(event_table, now(), strata._premade_until(event_table));
    PERFORM strata._create_mark_triggers(event_table, m.partition) FROM strata._without_mark_triggers(relation) m (partition);
END
$$;
COMMENT ON FUNCTION strata._maintain_event_table(regclass) IS 'The writing half of maintain_partitions, for one table.';

CREATE FUNCTION strata._without_mark_triggers(relation regclass) RETURNS SETOF regclass
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.relid FROM pg_partition_tree(relation) t
    WHERE (SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = t.relid AND g.tgenabled = 'A'
           AND g.tgname IN ('strata_mark_update', 'strata_mark_delete', 'strata_mark_truncate')) < 3
$$;
COMMENT ON FUNCTION strata._without_mark_triggers(regclass) IS
'Relations of an event table''s partition tree that lack a trigger which tells rollups of changes.';

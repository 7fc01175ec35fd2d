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
    PERFORM strata._make_partitions(event_table, strata._axis_now(event_table), strata._premade_until(event_table));
    PERFORM strata._align_owners(event_table);
    PERFORM strata._create_mark_triggers(event_table, m.partition), strata._mark_leaf(event_table, m.partition)
    FROM strata._without_mark_triggers(relation) m (partition);
END
$$;
COMMENT ON FUNCTION strata._maintain_event_table(regclass) IS 'The writing half of maintain_partitions, for one table.';

-- Rows may have been changed behind a missing trigger: every group of that partition is recomputed, those that only
-- storage still knows included.
CREATE FUNCTION strata._mark_leaf(event_table strata._event_tables, leaf regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
DECLARE
    statement text;
    bounds record;
    rollup strata._rollups;
    groups text;
    bucket_type regtype := strata._bucket_type(event_table.time_type);
BEGIN
    SELECT l.lower, l.upper INTO bounds FROM strata._leaves(event_table.relation) l WHERE l.partition = leaf;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    FOR statement IN SELECT strata._mark_statements(event_table.table_id, leaf, format('SELECT * FROM %s', leaf), NULL) LOOP
        PERFORM strata._execute_as(strata._owner(event_table.relation), statement);
    END LOOP;
    FOR rollup IN SELECT r.* FROM strata._rollups r JOIN pg_class c ON c.oid = r.storage WHERE r.table_id = event_table.table_id LOOP
        SELECT string_agg(quote_ident(d.column_name), ', ' ORDER BY d.ordinal) INTO groups
        FROM strata._definition_columns(rollup.definition) d WHERE d.aggregate IS NULL;
        PERFORM strata._execute_as(strata._owner(rollup.storage), format(
            'INSERT INTO %s SELECT %s, 0 FROM %s WHERE bucket >= %s AND bucket < %s',
            rollup.dirty, groups, rollup.storage,
            strata._time_at(bucket_type, format('%L::timestamptz - %L::interval', bounds.lower, strata._bucket_span(rollup.bucket, rollup.timezone)), false),
            strata._time_at(bucket_type, format('%L::timestamptz', bounds.upper), false)));
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._mark_leaf(strata._event_tables, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._mark_leaf(strata._event_tables, regclass) IS 'Marks every group dirty that rows of one partition belong, or belonged, to.';

-- ALTER TABLE … OWNER TO reaches neither partitions nor rollups nor the trigger function.
CREATE FUNCTION strata._align_owners(event_table strata._event_tables) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(event_table.relation);
    mark regprocedure := strata._mark_function(event_table.relation);
    stray regclass;
BEGIN
    FOR stray IN SELECT s.relation FROM strata._strays(event_table.relation) s (relation) LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO %s', stray, owner);
    END LOOP;
    IF (SELECT p.proowner FROM pg_proc p WHERE p.oid = mark) <> owner THEN
        EXECUTE format('ALTER FUNCTION %s OWNER TO %s', mark, owner);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._align_owners(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._align_owners(strata._event_tables) IS
'Gives what belongs to an event table to the table''s owner, after the table was given to another.';

CREATE FUNCTION strata._strays(relation regclass) RETURNS SETOF regclass
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.oid::regclass
    FROM pg_class c
    WHERE c.relowner <> strata._owner(relation) AND c.oid IN (
        SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = relation
        UNION ALL SELECT t.batch_sequence FROM strata._event_tables t WHERE t.relation = _strays.relation
        UNION ALL SELECT unnest(ARRAY[r.rollup, r.definition, r.storage, r.dirty]) FROM strata._rollups r
            JOIN strata._event_tables t ON t.table_id = r.table_id WHERE t.relation = _strays.relation)
$$;
REVOKE ALL ON FUNCTION strata._strays(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._strays(regclass) IS 'Partitions, rollups and sequence of an event table that have another owner than the table.';

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

-- Promise: nothing of pg_strata is left on the table but its rows and the column batch_id in them.
CREATE FUNCTION strata.release_event_table(relation regclass) RETURNS regclass
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._release_event_table(strata._authorize(relation, 'OWNER')) $$;
COMMENT ON FUNCTION strata.release_event_table(regclass) IS
'Stops managing an event table: an ordinary partitioned table with all its rows stays, with batch_id as a plain column without default, comment and index, which may be dropped or left: create_event_table goes on from it. Partitions that retention has sealed are writable again. Its ledger is forgotten, with checkpoints and dead letters; drop its rollups first (2BP01). Takes ownership, locks the table against everyone. Returns the table.';

CREATE FUNCTION strata._release_event_table(relation regclass) RETURNS regclass
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    owner regrole := strata._owner(relation);
    leaf regclass;
    rollups text := (SELECT string_agg(r.rollup::text, ', ') FROM strata._rollups r
                     JOIN pg_class c ON c.oid = r.rollup WHERE r.table_id = event_table.table_id);
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    IF rollups IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = '2BP01',
            MESSAGE = format('cannot release %s because rollups depend on it', relation),
            DETAIL = format('Its rollups: %s.', rollups),
            HINT = 'Drop them with strata.drop_rollup first.';
    END IF;
    PERFORM strata._lock_event_table(relation);
    PERFORM strata._execute_as(owner, format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', relation));
    -- an id drawn so far means nothing once the ledger is gone
    PERFORM strata._close_batch(relation);
    PERFORM strata._readmit_expired(relation);
    PERFORM strata._drop_triggers(relation);
    FOR leaf IN SELECT t.relid FROM pg_partition_tree(relation) t LOOP
        PERFORM strata._execute_as(owner, format('ALTER TABLE %s ALTER COLUMN batch_id DROP DEFAULT', leaf));
        IF strata._is_sealed(leaf) THEN
            -- (a sub-partition has it from its partition)
            PERFORM strata._execute_as(owner, format('ALTER TABLE %s DROP CONSTRAINT strata_expired', leaf))
            FROM pg_constraint k WHERE k.conrelid = leaf AND k.conname = 'strata_expired' AND k.coninhcount = 0;
        END IF;
    END LOOP;
    PERFORM strata._execute_as(owner, format('DROP INDEX %s', i.indexrelid::regclass))
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'batch_id'
    WHERE i.indrelid = relation AND m.amname = 'brin' AND i.indkey::text = a.attnum::text;
    PERFORM strata._execute_as(owner, format('COMMENT ON COLUMN %s.batch_id IS NULL', relation));
    PERFORM strata._execute_as(owner, format('DROP SEQUENCE %s', event_table.batch_sequence));
    PERFORM strata._forget_event_tables(ARRAY[event_table.table_id]);
    RETURN relation;
END
$$;
COMMENT ON FUNCTION strata._release_event_table(regclass) IS 'The writing half of release_event_table.';

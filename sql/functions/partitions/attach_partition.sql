-- Promise: the rows of a table are in the event table, and in every rollup, at the same commit.
CREATE FUNCTION strata.attach_partition(relation regclass, partition regclass) RETURNS regclass
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._attach_partition(strata._authorize(relation, 'OWNER'), partition) $$;
COMMENT ON FUNCTION strata.attach_partition(regclass, regclass) IS
'Attaches an ordinary table, filled, as a partition of an event table: its bounds are those of the partitions its rows belong to. Rows without batch_id get a batch of their own; rows that bring one (a partition detached before, a restored table) keep it and their groups are recomputed. Columns, NOT NULL, checks, keys and indexes that it lacks are made on it first, and its rows are read once to prove the bounds, all while only the table itself is locked; the event table is locked for no longer than ATTACH takes (SHARE UPDATE EXCLUSIVE: reading and writing go on). Takes ownership of both. Returns the partition. Errors: ST001 not an event table, ST011 the table cannot be a partition (it is empty, of another owner, overlaps a partition, or lies below retained_from), and PostgreSQL''s own for columns that do not fit.';

CREATE FUNCTION strata._refuse_attach(relation regclass, partition regclass, detail text, hint text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'ST011', MESSAGE = format('cannot attach %s to %s', partition, relation), DETAIL = detail, HINT = hint;
END
$$;
REVOKE ALL ON FUNCTION strata._refuse_attach(regclass, regclass, text, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._refuse_attach(regclass, regclass, text, text) IS 'Raises ST011, the error of attach_partition.';

CREATE FUNCTION strata._attach_partition(relation regclass, partition regclass) RETURNS regclass
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    owner regrole := strata._owner(relation);
    reference text := quote_ident(strata._time_column(relation));
    extent record;
    bounds record;
    batch bigint;
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    PERFORM strata._require_read_committed('attach a partition');
    PERFORM strata._check_attachable(event_table, partition);
    PERFORM strata._execute_as(owner, format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', partition));
    PERFORM strata._undress(partition);
    SELECT e.* INTO extent FROM strata._extent(event_table, partition) e;
    SELECT b.* INTO bounds FROM strata._attach_bounds(event_table, partition, extent.lower, extent.upper) b;
    batch := strata._number_rows(event_table, partition);
    PERFORM strata._match_parent(relation, partition);
    -- proves the bounds, so that ATTACH need not read the rows with the event table locked
    PERFORM strata._execute_as(owner, format('ALTER TABLE %1$s ADD CONSTRAINT strata_bounds CHECK (%2$s IS NOT NULL AND %2$s >= %3$s AND %2$s < %4$s)',
        partition, reference, strata._bound_literal(event_table.time_type, bounds.lower), strata._bound_literal(event_table.time_type, bounds.upper)));
    PERFORM strata._create_mark_triggers(event_table, t.relid) FROM (SELECT partition UNION SELECT p.relid FROM pg_partition_tree(partition) p) t (relid);
    -- one maker of partitions at a time, and retained_from stands still
    SELECT t.* INTO event_table FROM strata._event_tables t WHERE t.table_id = event_table.table_id FOR NO KEY UPDATE;
    PERFORM strata._attach_bounds(event_table, partition, extent.lower, extent.upper);
    PERFORM strata._hold_refreshes(event_table);
    PERFORM strata._execute_as(owner, format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)', relation, partition,
        strata._bound_literal(event_table.time_type, bounds.lower), strata._bound_literal(event_table.time_type, bounds.upper)));
    PERFORM strata._execute_as(owner, format('ALTER TABLE %s DROP CONSTRAINT strata_bounds', partition));
    PERFORM strata._cover_rollups(event_table, bounds.lower, bounds.upper);
    IF batch IS NOT NULL THEN
        UPDATE strata._batches b SET row_count = extent.row_count, lower_time = extent.lower, upper_time = extent.upper
        WHERE b.table_id = event_table.table_id AND b.batch_id = batch;
        -- rows put in later in this transaction lie outside what was just written down
        PERFORM strata._close_batch(relation);
    ELSE
        PERFORM strata._mark_leaf(event_table, partition);
    END IF;
    DELETE FROM strata._detached_partitions d WHERE d.table_id = event_table.table_id AND d.partition = _attach_partition.partition;
    -- (the partition is locked, its rows stand still)
    DELETE FROM strata._audit_expired x WHERE x.partition = _attach_partition.partition;
    PERFORM strata._audit_forget_target(partition), strata._audit_take_partition(partition, 'attached', jsonb_build_object('partition', partition::text)::text, true)
    FROM strata._audited_tables a WHERE a.relation = _attach_partition.relation AND a.disabled_at IS NULL;
    RETURN partition;
END
$$;
COMMENT ON FUNCTION strata._attach_partition(regclass, regclass) IS 'The writing half of attach_partition.';

-- At a commit the rows become visible a moment before other sessions are told of the new partition. A refresh whose snapshot
-- is of that moment must not plan before it is told: it waits for the lock of storage, which goes last. (A row lock would
-- not do, it goes with the first.)
CREATE FUNCTION strata._hold_refreshes(event_table strata._event_tables) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    storage regclass;
BEGIN
    FOR storage IN
        SELECT r.storage FROM strata._rollups r JOIN pg_class c ON c.oid = r.storage WHERE r.table_id = event_table.table_id ORDER BY r.rollup_id
    LOOP
        PERFORM strata._execute_as(strata._owner(storage), format('LOCK TABLE %s IN SHARE MODE', storage));
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._hold_refreshes(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._hold_refreshes(strata._event_tables) IS
'Waits for refreshes of the rollups of an event table and holds further ones back until this transaction has ended.';

CREATE FUNCTION strata._check_attachable(event_table strata._event_tables, partition regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    class pg_class := (SELECT c FROM pg_class c WHERE c.oid = partition);
    column_type oid := (SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = partition AND a.attname = strata._time_column(event_table.relation) AND NOT a.attisdropped);
BEGIN
    IF class.relkind NOT IN ('r', 'p') OR class.relpersistence <> 'p' THEN
        PERFORM strata._refuse_attach(event_table.relation, partition, 'It is not a permanent table.', 'Copy its rows into one.');
    ELSIF class.relispartition OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = partition)
        OR EXISTS (SELECT FROM strata._event_tables t WHERE t.relation = partition) THEN
        PERFORM strata._refuse_attach(event_table.relation, partition, 'It is a partition, or an event table, itself.',
            'Detach it first: ALTER TABLE … DETACH PARTITION …; or strata.release_event_table().');
    ELSIF class.relowner <> strata._owner(event_table.relation) THEN
        PERFORM strata._refuse_attach(event_table.relation, partition, format('It belongs to %s.', class.relowner::regrole),
            format('Run: ALTER TABLE %s OWNER TO %s;', partition, strata._owner(event_table.relation)));
    ELSIF column_type IS DISTINCT FROM event_table.time_type::oid THEN
        PERFORM strata._refuse_attach(event_table.relation, partition,
            format('Its column %I is %s, not %s.', strata._time_column(event_table.relation), coalesce(format_type(column_type, NULL), 'missing'), event_table.time_type),
            'Give it the columns of the event table.');
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._check_attachable(strata._event_tables, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_attachable(strata._event_tables, regclass) IS 'Says why a table cannot be a partition: ST011.';

CREATE FUNCTION strata._extent(event_table strata._event_tables, partition regclass, OUT row_count bigint, OUT lower timestamptz, OUT upper timestamptz)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
DECLARE
    outcome jsonb := strata._execute_as(strata._owner(partition), format(
        'SELECT jsonb_build_object(''rows'', count(*), ''lower'', min(%1$s), ''upper'', max(%1$s), ''lost'', count(*) - count(e.%2$I)) FROM %3$s e',
        strata._time_value(event_table.time_type, 'e.' || quote_ident(strata._time_column(event_table.relation))),
        strata._time_column(event_table.relation), partition))::jsonb;
BEGIN
    row_count := outcome ->> 'rows';
    lower := outcome ->> 'lower';
    upper := outcome ->> 'upper';
    IF row_count = 0 THEN
        PERFORM strata._refuse_attach(event_table.relation, partition, 'It holds no rows, which would say where it belongs.',
            format('Have partitions made: SELECT strata.ensure_partitions(%L, <from>, <to>);', event_table.relation::text));
    ELSIF (outcome ->> 'lost')::bigint > 0 OR NOT isfinite(lower) OR NOT isfinite(upper) THEN
        PERFORM strata._refuse_attach(event_table.relation, partition, 'Some of its rows have no event time, or an infinite one.',
            format('Find them: SELECT * FROM %1$s WHERE %2$I IS NULL OR NOT isfinite(%2$I);', partition, strata._time_column(event_table.relation)));
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._extent(strata._event_tables, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._extent(strata._event_tables, regclass) IS 'Rows of a table and the places of the first and last on the axis; ST011 if that cannot be said.';

CREATE FUNCTION strata._attach_bounds(
    event_table strata._event_tables, partition regclass, first_row timestamptz, last_row timestamptz,
    OUT lower timestamptz, OUT upper timestamptz
)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    neighbour record;
BEGIN
    IF first_row < event_table.retained_from THEN
        PERFORM strata._refuse_attach(event_table.relation, partition,
            format('Its first row, at %s, lies before %s, from where on rollups are exact.',
                strata._from_axis(event_table.time_type, event_table.timezone, first_row),
                strata._from_axis(event_table.time_type, event_table.timezone, event_table.retained_from)),
            'Delete the older rows from it, or keep it as a table of its own.');
    END IF;
    SELECT l.* INTO neighbour FROM strata._leaves(event_table.relation) l WHERE l.lower <= last_row AND l.upper > first_row ORDER BY l.lower LIMIT 1;
    IF FOUND THEN
        PERFORM strata._refuse_attach(event_table.relation, partition,
            format('Its rows, from %s to %s, overlap partition %s.', strata._from_axis(event_table.time_type, event_table.timezone, first_row),
                strata._from_axis(event_table.time_type, event_table.timezone, last_row), neighbour.partition),
            format('Insert them instead: INSERT INTO %s (<columns without batch_id>) SELECT <columns> FROM %s; or detach that partition if it is empty.', event_table.relation, partition));
    END IF;
    -- whole intervals, as far as the neighbours leave room
    lower := greatest(strata._partition_lower(event_table, first_row), event_table.retained_from,
        (SELECT max(l.upper) FROM strata._leaves(event_table.relation) l WHERE l.upper <= first_row));
    upper := least(strata._partition_upper(event_table, strata._partition_lower(event_table, last_row)),
        (SELECT min(l.lower) FROM strata._leaves(event_table.relation) l WHERE l.lower > last_row));
END
$$;
REVOKE ALL ON FUNCTION strata._attach_bounds(strata._event_tables, regclass, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION strata._attach_bounds(strata._event_tables, regclass, timestamptz, timestamptz) IS
'The bounds of the partition that rows between two places make up; ST011 if there is no room for it.';

-- Returns the batch that the rows are in, NULL if they bring their own.
CREATE FUNCTION strata._number_rows(event_table strata._event_tables, partition regclass) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(partition);
    column_type regtype := (SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = partition AND a.attname = 'batch_id' AND NOT a.attisdropped);
    batch bigint;
    highest bigint;
BEGIN
    IF column_type IS NULL OR column_type = 'bigint'::regtype
        AND NOT strata._execute_as(owner, format('SELECT EXISTS (SELECT FROM %s WHERE batch_id IS NOT NULL)', partition))::boolean
    THEN
        PERFORM strata._close_batch(event_table.relation);
        batch := strata._execute_as(owner, format('SELECT strata.current_batch(%L::regclass)', event_table.relation))::bigint;
        IF column_type IS NULL THEN
            -- a constant default numbers the rows that are there without rewriting them
            PERFORM strata._execute_as(owner, format('ALTER TABLE %s ADD COLUMN batch_id bigint DEFAULT %s', partition, batch));
        END IF;
    ELSIF column_type <> 'bigint'::regtype THEN
        PERFORM strata._refuse_attach(event_table.relation, partition, format('Its column batch_id is of type %s, not bigint.', column_type),
            format('Run: ALTER TABLE %s DROP COLUMN batch_id;', partition));
    ELSE
        highest := strata._execute_as(owner, format('SELECT max(batch_id) FROM %s', partition))::bigint;
        IF highest NOT BETWEEN 1 AND strata._batch_id_max() THEN
            PERFORM strata._refuse_attach(event_table.relation, partition, format('Its batch_id %s is out of range.', highest),
                format('Run: ALTER TABLE %s DROP COLUMN batch_id;', partition));
        END IF;
        -- (where others are drawing just now, marks keep the groups until the ids are decided)
        PERFORM strata._raise_sequence(event_table.batch_sequence, highest);
    END IF;
    PERFORM strata._execute_as(owner, format('UPDATE %s SET batch_id = %s WHERE batch_id IS NULL', partition, coalesce(batch, highest)));
    PERFORM strata._default_of_leaf(p.relid, event_table.relation)
    FROM (SELECT partition AS relid UNION SELECT t.relid FROM pg_partition_tree(partition) t) p;
    RETURN batch;
END
$$;
REVOKE ALL ON FUNCTION strata._number_rows(strata._event_tables, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._number_rows(strata._event_tables, regclass) IS 'Gives the rows of a table to be attached their batch.';

-- What an earlier life as a partition has left on it.
CREATE FUNCTION strata._undress(partition regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass) FROM pg_trigger t
        WHERE t.tgparentid = 0 AND (t.tgname = 'strata_guard' OR t.tgname IN (SELECT k.trigger_name FROM strata._mark_trigger_kinds() k))
          AND (t.tgrelid = partition OR t.tgrelid IN (SELECT p.relid FROM pg_partition_tree(partition) p))
        UNION ALL
        SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', partition, k.conname) FROM pg_constraint k
        WHERE k.conrelid = partition AND k.contype = 'c' AND k.conname IN ('strata_expired', 'strata_bounds')
    LOOP
        PERFORM strata._execute_as(strata._owner(partition), statement);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._undress(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._undress(regclass) IS 'Takes triggers and constraints of pg_strata off a table that is no partition now.';

-- What ATTACH would make, or miss, while it holds its lock on the event table.
CREATE FUNCTION strata._match_parent(relation regclass, partition regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', partition, a.attname)
        FROM pg_attribute a JOIN pg_attribute b ON b.attrelid = partition AND b.attname = a.attname AND NOT b.attisdropped
        WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND NOT b.attnotnull
        UNION ALL
        SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', partition, k.conname, pg_get_constraintdef(k.oid))
        FROM pg_constraint k
        WHERE k.conrelid = relation AND k.contype = 'c' AND NOT k.connoinherit
          AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = partition AND c.contype = 'c' AND c.conname = k.conname)
        UNION ALL
        SELECT format('ALTER TABLE %s ADD %s', partition, pg_get_constraintdef(k.oid))
        FROM pg_constraint k
        WHERE k.conrelid = relation AND k.contype IN ('p', 'u', 'f') AND k.conparentid = 0
          AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = partition AND c.contype = k.contype
                          AND pg_get_constraintdef(c.oid) = pg_get_constraintdef(k.oid))
        UNION ALL
        SELECT format('CREATE %sINDEX ON %s USING %s', CASE WHEN i.indisunique THEN 'UNIQUE ' END, partition, strata._index_body(i.indexrelid))
        FROM pg_index i
        WHERE i.indrelid = relation AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = relation)
          AND NOT EXISTS (SELECT FROM pg_index j WHERE j.indrelid = partition AND j.indisvalid AND j.indisunique = i.indisunique
                          AND strata._index_body(j.indexrelid) = strata._index_body(i.indexrelid))
    LOOP
        PERFORM strata._execute_as(strata._owner(partition), statement);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._match_parent(regclass, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._match_parent(regclass, regclass) IS 'Gives a table the NOT NULLs, checks, keys and indexes of the event table it is to be attached to.';

CREATE FUNCTION strata._index_body(index_oid oid) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    -- the head is spelled as pg_get_indexdef spells it, so that nothing in a name can be taken for the keyword
    SELECT substr(pg_get_indexdef(i.indexrelid), 1 + length(format('CREATE %sINDEX %I ON %s%I.%I USING ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, x.relname,
        CASE WHEN x.relkind = 'I' THEN 'ONLY ' END, n.nspname, c.relname)))
    FROM pg_index i
    JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE i.indexrelid = index_oid
$$;
COMMENT ON FUNCTION strata._index_body(oid) IS 'An index definition from its access method on: what two indexes of different tables can have in common.';

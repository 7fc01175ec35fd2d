-- Retention in steps, each a transaction of its own, in this order: seal (no new rows), refresh (every rollup folds what
-- is there), freeze (retained_from moves: from here on the rows are not needed), expire (of audited tables: the rows leave
-- the log), detach, drop. A step takes its locks
-- within lock_timeout, or fails with 55P03 and is tried again; none waits behind a reader for longer. A step that finds
-- work looks again with the catalog row locked, so that of two maintenances at once the second finds the work done, and
-- settings do not change between decision and deed. The order of locks: catalog row, event table, partitions.
CREATE FUNCTION strata._lock_event_table(relation regclass) RETURNS strata._event_tables
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables;
BEGIN
    SELECT t.* INTO event_table FROM strata._event_tables t WHERE t.relation = _lock_event_table.relation FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        -- says what it is instead: ST001
        event_table := strata._event_table(relation);
    END IF;
    RETURN event_table;
END
$$;
REVOKE ALL ON FUNCTION strata._lock_event_table(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._lock_event_table(regclass) IS
'The catalog row of an event table, locked against makers of partitions, retention, pruning and changes of settings; ST001 if it is not one.';

-- One partition a call, so that no lock is held while another is waited for.
CREATE FUNCTION strata._seal_expired(relation regclass) RETURNS int
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._seal_partition(strata._authorize(relation, 'INGEST')) $$;
COMMENT ON FUNCTION strata._seal_expired(regclass) IS
'Makes the oldest writable partition that is past retention unwritable, or one writable again that is not, because retention was lengthened or taken away; returns 1, or 0 if there is none. Call it until it returns 0.';

CREATE FUNCTION strata._seal_partition(relation regclass) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    leaf record;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    IF NOT EXISTS (SELECT FROM strata._to_seal(event_table)) THEN
        RETURN 0;
    END IF;
    event_table := strata._lock_event_table(relation);
    SELECT l.* INTO leaf FROM strata._to_seal(event_table) l ORDER BY l.lower LIMIT 1;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    PERFORM strata._execute_as(strata._owner(relation), format('ALTER TABLE %s %s', leaf.partition,
        CASE WHEN leaf.sealed THEN 'DROP CONSTRAINT strata_expired' ELSE 'ADD CONSTRAINT strata_expired CHECK (false) NOT VALID' END));
    PERFORM strata._log_retention(event_table, CASE WHEN leaf.sealed THEN 'unsealed' ELSE 'sealed' END, leaf.partition, leaf.lower, leaf.upper);
    RETURN 1;
END
$$;
COMMENT ON FUNCTION strata._seal_partition(regclass) IS 'The writing half of _seal_expired.';

-- What was sealed under a shorter retention takes rows again, unless it is frozen: nothing brings that back.
CREATE FUNCTION strata._to_seal(event_table strata._event_tables, OUT partition regclass, OUT lower timestamptz, OUT upper timestamptz, OUT sealed boolean)
    RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.partition, l.lower, l.upper, s.sealed
    FROM (SELECT strata._due_until(event_table) OFFSET 0) d (due),
         (SELECT strata._freeze_target(event_table) OFFSET 0) t (target),
         strata._leaves((event_table).relation) l,
         LATERAL (SELECT strata._is_sealed(l.partition) OFFSET 0) s (sealed)
    WHERE CASE WHEN s.sealed THEN l.upper > (event_table).retained_from AND (d.due IS NULL OR l.upper > d.due) ELSE l.upper <= t.target END
$$;
REVOKE ALL ON FUNCTION strata._to_seal(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._to_seal(strata._event_tables) IS
'The partitions of an event table that retention would seal, and those that it has sealed and would open again (sealed true).';

CREATE FUNCTION strata._rollups_in_the_way(relation regclass) RETURNS SETOF regclass
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT r FROM strata._read_rollups_in_the_way(strata._authorize(relation, 'INGEST')) r $$;
COMMENT ON FUNCTION strata._rollups_in_the_way(regclass) IS
'The rollups to refresh before retention can go on: all that are kept up, if something is sealed and not frozen.';

CREATE FUNCTION strata._read_rollups_in_the_way(relation regclass) RETURNS SETOF regclass
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    IF strata._freeze_target(event_table) > event_table.retained_from THEN
        PERFORM strata._pass_marked_ids(event_table);
        RETURN QUERY SELECT r.rollup FROM strata._active_rollups(event_table) r;
    END IF;
END
$$;
COMMENT ON FUNCTION strata._read_rollups_in_the_way(regclass) IS 'The reading half of _rollups_in_the_way.';

-- A mark with an id that is not drawn yet stays until it is. Where others were drawing when such rows came, the sequence
-- was left behind their ids, and the mark would hold retention back for good: the first quiet moment makes up for that.
CREATE FUNCTION strata._pass_marked_ids(event_table strata._event_tables) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    dirty regclass;
    highest bigint;
BEGIN
    FOR dirty IN SELECT r.dirty FROM strata._active_rollups(event_table) r LOOP
        highest := greatest(highest, strata._execute_as(strata._owner(dirty), format('SELECT max(batch_id) FROM %s', dirty))::bigint);
    END LOOP;
    IF highest > strata._last_batch(event_table.table_id) THEN
        PERFORM strata._raise_sequence(event_table.batch_sequence, highest);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._pass_marked_ids(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._pass_marked_ids(strata._event_tables) IS
'Moves the batch sequence past the ids of dirty marks, if nobody is drawing just now.';

CREATE FUNCTION strata._freeze_expired(relation regclass) RETURNS timestamptz
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._freeze(strata._authorize(relation, 'INGEST')) $$;
COMMENT ON FUNCTION strata._freeze_expired(regclass) IS
'Moves retained_from as far as retention asks and every rollup allows; returns the new instant, NULL if it did not move.';

CREATE FUNCTION strata._freeze(relation regclass) RETURNS timestamptz
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    target timestamptz := strata._freeze_target(event_table);
    overridden timestamptz;
    leaf record;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    PERFORM strata._require_read_committed('move retained_from');
    IF target IS NULL OR target <= event_table.retained_from THEN
        RETURN NULL;
    END IF;
    event_table := strata._lock_event_table(relation);
    -- CHECK stops no DELETE: those at work end before, later ones find their groups frozen
    FOR leaf IN SELECT l.* FROM strata._leaves(relation) l WHERE l.upper <= target AND l.upper > event_table.retained_from LOOP
        IF NOT strata._is_sealed(leaf.partition) THEN
            RETURN NULL;
        END IF;
        PERFORM strata._execute_as(strata._owner(relation), format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', leaf.partition));
    END LOOP;
    -- (somebody may have altered the table, or made a partition, before the locks were there)
    IF strata._freeze_target(event_table) IS DISTINCT FROM target OR target <= event_table.retained_from
        OR EXISTS (SELECT FROM strata._leaves(relation) l WHERE l.upper <= target AND NOT strata._is_sealed(l.partition))
    THEN
        RETURN NULL;
    END IF;
    overridden := strata._overridden_until(event_table);
    FOR leaf IN SELECT l.* FROM strata._leaves(relation) l
        WHERE l.upper <= target AND l.upper > greatest(event_table.retained_from, overridden) ORDER BY l.lower
    LOOP
        IF EXISTS (SELECT FROM strata._active_rollups(event_table) r
                   WHERE strata._needed_by(r, event_table, leaf.partition, leaf.lower, leaf.upper) IS NOT NULL) THEN
            RETURN NULL;
        END IF;
    END LOOP;
    UPDATE strata._event_tables t SET retained_from = target WHERE t.table_id = event_table.table_id;
    -- an override may cut through a bucket, which then is not exact any more
    UPDATE strata._rollups r SET exact_from = greatest(r.exact_from, strata._bucket_upper(r, target))
    WHERE r.table_id = event_table.table_id AND strata._bucket_lower(r, target) < target;
    PERFORM strata._log_retention(event_table, 'frozen', NULL, event_table.retained_from, target);
    RETURN strata._from_axis(event_table.time_type, event_table.timezone, target);
END
$$;
COMMENT ON FUNCTION strata._freeze(regclass) IS 'The writing half of _freeze_expired.';

CREATE FUNCTION strata._bucket_upper(rollup strata._rollups, place timestamptz) RETURNS timestamptz
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lower timestamptz := strata._bucket_lower(rollup, place);
    candidate timestamptz := lower;
BEGIN
    LOOP
        candidate := candidate + rollup.bucket;
        EXIT WHEN strata._bucket_lower(rollup, candidate) > lower;
    END LOOP;
    candidate := strata._bucket_lower(rollup, candidate);
    -- a change of clocks makes shorter buckets, which a whole width jumps over
    WHILE strata._bucket_lower(rollup, candidate - interval '1 microsecond') > lower LOOP
        candidate := strata._bucket_lower(rollup, candidate - interval '1 microsecond');
    END LOOP;
    RETURN candidate;
END
$$;
COMMENT ON FUNCTION strata._bucket_upper(strata._rollups, timestamptz) IS 'End of the bucket of a rollup that a place on the axis lies in.';

CREATE FUNCTION strata._detachable(relation regclass, OUT partition text, OUT bytes bigint, OUT statement text) RETURNS SETOF record
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.partition, d.bytes, CASE WHEN strata._may(relation, 'OWNER') THEN d.statement END
    FROM strata._announce_detachable(strata._authorize(relation, 'INGEST')) d
$$;
COMMENT ON FUNCTION strata._detachable(regclass) IS
'Announces the partitions that may be detached now, oldest first, each with the statement that an owner may send himself, outside a transaction block; NULL if the caller is not the owner, who calls _detach_partition instead.';

CREATE FUNCTION strata._announce_detachable(relation regclass, OUT partition text, OUT bytes bigint, OUT statement text) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    leaf record;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    -- what an interrupted DETACH CONCURRENTLY has left is finished first: PostgreSQL allows one at a time
    FOR leaf IN SELECT i.inhrelid::regclass AS pending FROM pg_inherits i WHERE i.inhparent = relation AND i.inhdetachpending LOOP
        partition := leaf.pending::text;
        bytes := strata._partition_bytes(leaf.pending);
        statement := format('ALTER TABLE %s DETACH PARTITION %s FINALIZE', relation, leaf.pending);
        RETURN NEXT;
    END LOOP;
    IF NOT EXISTS (SELECT FROM strata._to_detach(event_table)) THEN
        RETURN;
    END IF;
    event_table := strata._lock_event_table(relation);
    FOR leaf IN SELECT l.partition AS leaf, l.lower, l.upper FROM strata._to_detach(event_table) l ORDER BY l.lower LOOP
        CONTINUE WHEN strata._referenced_by(event_table, leaf.leaf) IS NOT NULL;
        INSERT INTO strata._detached_partitions (table_id, partition, lower_time, upper_time)
        VALUES (event_table.table_id, leaf.leaf, leaf.lower, leaf.upper)
        ON CONFLICT DO NOTHING;
        partition := leaf.leaf::text;
        bytes := strata._partition_bytes(leaf.leaf);
        statement := format('ALTER TABLE %s DETACH PARTITION %s CONCURRENTLY', relation, leaf.leaf);
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION strata._announce_detachable(regclass) IS 'The writing half of _detachable.';

CREATE FUNCTION strata._to_detach(event_table strata._event_tables, OUT partition regclass, OUT lower timestamptz, OUT upper timestamptz) RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.partition, l.lower, l.upper
    FROM (SELECT greatest(strata._due_until(event_table), strata._overridden_until(event_table)) OFFSET 0) d (due),
         strata._leaves((event_table).relation) l
    WHERE l.upper <= (event_table).retained_from AND strata._is_sealed(l.partition)
      -- (what has left the audit log goes, even if retention was lengthened since)
      AND CASE strata._expiry((event_table).relation, l.partition) WHEN 'gone' THEN true WHEN 'none' THEN l.upper <= d.due ELSE false END
      AND strata._unarchived(event_table, l.partition) IS NULL
$$;
REVOKE ALL ON FUNCTION strata._to_detach(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._to_detach(strata._event_tables) IS
'The partitions of an event table that are frozen, past retention, archived where that is asked for, and out of the log where the table is audited.';

CREATE FUNCTION strata._detach_partition(relation regclass, partition text) RETURNS void
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._detach_announced(strata._authorize(relation, 'INGEST'), partition::regclass) $$;
COMMENT ON FUNCTION strata._detach_partition(regclass, text) IS
'Detaches an announced partition with the owner''s rights, under a lock of the whole table: only within a short lock_timeout.';

CREATE FUNCTION strata._detach_announced(relation regclass, partition regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables;
    halfway boolean;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    -- retention may have been lengthened since the announcement, which then is gone
    event_table := strata._lock_event_table(relation);
    halfway := (SELECT i.inhdetachpending FROM pg_inherits i WHERE i.inhparent = relation AND i.inhrelid = partition);
    IF halfway IS NULL OR NOT (halfway OR EXISTS (SELECT FROM strata._detached_partitions d
                                   WHERE d.table_id = event_table.table_id AND d.partition = _detach_announced.partition)) THEN
        RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = format('%s is not to be detached from %s', partition, relation),
            DETAIL = 'Retention detaches what it has announced, and nothing else.',
            HINT = 'strata.expired_partitions() lists what is past retention and what holds it.';
    END IF;
    PERFORM strata._execute_as(strata._owner(relation), format('ALTER TABLE %s DETACH PARTITION %s%s', relation, partition, CASE WHEN halfway THEN ' FINALIZE' END));
END
$$;
COMMENT ON FUNCTION strata._detach_announced(regclass, regclass) IS 'The writing half of _detach_partition.';

CREATE FUNCTION strata._drop_detached(relation regclass) RETURNS int
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._drop_announced(strata._authorize(relation, 'INGEST')) $$;
COMMENT ON FUNCTION strata._drop_detached(regclass) IS
'Drops the oldest table that retention has detached; returns 1, or 0 if there is none. Call it until it returns 0.';

CREATE FUNCTION strata._drop_announced(relation regclass) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    gone record;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    IF NOT EXISTS (SELECT FROM strata._detached_partitions d WHERE d.table_id = event_table.table_id) THEN
        RETURN 0;
    END IF;
    event_table := strata._lock_event_table(relation);
    -- dropped by somebody else
    DELETE FROM strata._detached_partitions d
    WHERE d.table_id = event_table.table_id AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = d.partition);
    SELECT d.* INTO gone FROM strata._detached_partitions d JOIN pg_class c ON c.oid = d.partition
    WHERE d.table_id = event_table.table_id AND NOT c.relispartition AND c.relowner = strata._owner(relation)
    ORDER BY d.lower_time LIMIT 1;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    PERFORM strata._log_retention(event_table, 'dropped', gone.partition, gone.lower_time, gone.upper_time);
    PERFORM strata._execute_as(strata._owner(relation), format('DROP TABLE %s', gone.partition));
    DELETE FROM strata._detached_partitions d WHERE d.table_id = event_table.table_id AND d.partition = gone.partition;
    DELETE FROM strata._batch_checksums c WHERE c.table_id = event_table.table_id AND c.partition = gone.partition;
    DELETE FROM strata._archived_partitions a WHERE a.table_id = event_table.table_id AND a.partition = gone.partition;
    DELETE FROM strata._audit_expired x WHERE x.partition = gone.partition;
    RETURN 1;
END
$$;
COMMENT ON FUNCTION strata._drop_announced(regclass) IS 'The writing half of _drop_detached.';

-- Which partitions are past retention, what holds them back, and how far retained_from may move.
CREATE FUNCTION strata._is_sealed(partition regclass) RETURNS boolean
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = partition AND k.conname = 'strata_expired' AND k.contype = 'c')
$$;
COMMENT ON FUNCTION strata._is_sealed(regclass) IS 'Whether retention has made a partition unwritable.';

-- Everything that ends at or before this place is past retention, by age or by size; never the newest partition.
CREATE FUNCTION strata._due_until(event_table strata._event_tables) RETURNS timestamptz
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    present timestamptz := strata._axis_now(event_table);
    newest timestamptz := (SELECT max(l.lower) FROM strata._leaves(event_table.relation) l WHERE l.lower <= present);
    by_age timestamptz := strata._axis_shift(event_table, present, - event_table.retention);
    by_size timestamptz;
BEGIN
    IF event_table.retention_bytes IS NOT NULL THEN
        -- the oldest partition that still fits, counted from the newest
        SELECT min(s.lower) INTO by_size
        FROM (SELECT l.lower, sum(strata._partition_bytes(l.partition)) OVER (ORDER BY l.lower DESC) AS bytes
              FROM strata._leaves(event_table.relation) l) s
        WHERE s.bytes <= event_table.retention_bytes;
        by_size := coalesce(by_size, newest);
        -- nothing is due by size while all of it fits
        IF by_size = (SELECT min(l.lower) FROM strata._leaves(event_table.relation) l) THEN
            by_size := NULL;
        END IF;
    END IF;
    IF by_age IS NULL AND by_size IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN least(greatest(by_age, by_size), newest);
END
$$;
REVOKE ALL ON FUNCTION strata._due_until(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._due_until(strata._event_tables) IS
'The place on the axis up to which partitions are past retention; NULL without retention.';

CREATE FUNCTION strata._active_rollups(event_table strata._event_tables) RETURNS SETOF strata._rollups
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.* FROM strata._rollups r JOIN pg_class c ON c.oid = r.rollup
    WHERE r.table_id = (event_table).table_id AND r.suspended_at IS NULL ORDER BY r.rollup_id
$$;
REVOKE ALL ON FUNCTION strata._active_rollups(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._active_rollups(strata._event_tables) IS 'The rollups of an event table that are kept up.';

-- Wall-clock buckets have no zone of their own (create_rollup refuses one).
CREATE FUNCTION strata._bucket_lower(rollup strata._rollups, place timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata.time_bucket((rollup).bucket, place, (rollup).timezone, (rollup).origin) $$;
COMMENT ON FUNCTION strata._bucket_lower(strata._rollups, timestamptz) IS 'Start of the bucket of a rollup that a place on the axis lies in.';

-- The latest place at or before one that is in the middle of no bucket of a rollup kept up and of no partition.
CREATE FUNCTION strata._common_boundary(event_table strata._event_tables, place timestamptz, with_rollups boolean) RETURNS timestamptz
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    boundary timestamptz := place;
    before timestamptz;
    oldest timestamptz := (SELECT min(l.lower) FROM strata._leaves(event_table.relation) l);
BEGIN
    LOOP
        before := boundary;
        SELECT least(boundary, min(l.lower)) INTO boundary FROM strata._leaves_between(event_table.relation, boundary, boundary) l
        WHERE l.lower < boundary AND l.upper > boundary;
        IF with_rollups THEN
            SELECT least(boundary, min(strata._bucket_lower(r, boundary))) INTO boundary FROM strata._active_rollups(event_table) r;
        END IF;
        -- (what lies at or below retained_from is as good as any)
        EXIT WHEN boundary IS NOT DISTINCT FROM before OR boundary <= event_table.retained_from;
        -- buckets that never begin where partitions do, or where those of another rollup do, would lead down for ever
        IF oldest IS NULL OR boundary < oldest THEN
            RETURN event_table.retained_from;
        END IF;
    END LOOP;
    RETURN boundary;
END
$$;
REVOKE ALL ON FUNCTION strata._common_boundary(strata._event_tables, timestamptz, boolean) FROM PUBLIC;
COMMENT ON FUNCTION strata._common_boundary(strata._event_tables, timestamptz, boolean) IS
'The latest place at or before the given one that cuts through no partition and, with_rollups, through no bucket; retained_from where there is none above the oldest partition.';

CREATE FUNCTION strata._overridden_until(event_table strata._event_tables) RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce((SELECT o.upper_time FROM strata._retention_overrides o WHERE o.table_id = (event_table).table_id), '-infinity') $$;
REVOKE ALL ON FUNCTION strata._overridden_until(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._overridden_until(strata._event_tables) IS 'Up to where the retention gate is overridden.';

CREATE FUNCTION strata._freeze_target(event_table strata._event_tables) RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT greatest(
        strata._common_boundary(event_table, d.due, true),
        CASE WHEN d.due IS NOT NULL AND isfinite(o.overridden) THEN strata._common_boundary(event_table, least(d.due, o.overridden), false) END)
    FROM (SELECT strata._due_until(event_table) OFFSET 0) d (due), (SELECT strata._overridden_until(event_table) OFFSET 0) o (overridden)
$$;
REVOKE ALL ON FUNCTION strata._freeze_target(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._freeze_target(strata._event_tables) IS
'How far retained_from could move now, if the gate opens; NULL without retention.';

-- What a rollup still needs of a partition; NULL if nothing.
CREATE FUNCTION strata._needed_by(rollup strata._rollups, event_table strata._event_tables, partition regclass, lower timestamptz, upper timestamptz) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
DECLARE
    owner regrole := strata._owner(event_table.relation);
    bucket_type regtype := strata._bucket_type(event_table.time_type);
    pending bigint[];
    needed boolean;
BEGIN
    IF EXISTS (SELECT FROM strata._rollup_progress p WHERE p.rollup_id = rollup.rollup_id AND p.filled_from > strata._bucket_lower(rollup, lower)) THEN
        RETURN format('rollup %s is not filled yet', rollup.rollup);
    END IF;
    SELECT array_agg(p.batch_id) INTO pending FROM strata._pending_batches p
    WHERE p.rollup_id = rollup.rollup_id AND coalesce(p.lower_time, '-infinity') < _needed_by.upper AND coalesce(p.upper_time, 'infinity') >= _needed_by.lower;
    IF pending IS NOT NULL THEN
        -- most pending batches do not say what times they hold: the rows do
        needed := strata._execute_as(owner, format('SELECT EXISTS (SELECT FROM %s e WHERE e.batch_id >= %s AND e.batch_id <= %s AND e.batch_id IN (SELECT unnest(%L::bigint[])))',
            partition, (SELECT min(b) FROM unnest(pending) b), (SELECT max(b) FROM unnest(pending) b), pending))::boolean;
        IF needed THEN
            RETURN format('rollup %s has not folded its rows', rollup.rollup);
        END IF;
    END IF;
    needed := strata._execute_as(owner, format('SELECT EXISTS (SELECT FROM %s d WHERE d.bucket >= %s AND d.bucket < %s)', rollup.dirty,
        strata._time_at(bucket_type, quote_literal(strata._bucket_lower(rollup, lower)) || '::timestamptz', false),
        strata._time_at(bucket_type, quote_literal(upper) || '::timestamptz', false)))::boolean;
    RETURN CASE WHEN needed THEN format('rollup %s has dirty groups in its range', rollup.rollup) END;
END
$$;
REVOKE ALL ON FUNCTION strata._needed_by(strata._rollups, strata._event_tables, regclass, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION strata._needed_by(strata._rollups, strata._event_tables, regclass, timestamptz, timestamptz) IS
'What a rollup still needs of a partition, as a phrase; NULL if nothing.';

-- A foreign key whose rows the owner may not read is left to PostgreSQL's own check at the detach.
CREATE FUNCTION strata._referenced_by(event_table strata._event_tables, partition regclass) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(event_table.relation);
    foreign_key record;
    held boolean;
BEGIN
    FOR foreign_key IN
        SELECT k.conname, k.conrelid::regclass AS referencing,
               (SELECT string_agg(format('r.%I = p.%I', a.attname, b.attname), ' AND ')
                FROM unnest(k.conkey, k.confkey) AS pair (mine, theirs)
                JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = pair.mine
                JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = pair.theirs) AS condition
        FROM pg_constraint k
        WHERE k.contype = 'f' AND k.confrelid = event_table.relation AND k.conparentid = 0
          AND has_table_privilege(owner::oid, k.conrelid, 'SELECT')
        ORDER BY k.conname
    LOOP
        held := strata._execute_as(owner, format('SELECT EXISTS (SELECT FROM %s r JOIN %s p ON %s)', foreign_key.referencing, partition, foreign_key.condition))::boolean;
        IF held THEN
            RETURN format('foreign key %I of %s refers to its rows', foreign_key.conname, foreign_key.referencing);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION strata._referenced_by(strata._event_tables, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._referenced_by(strata._event_tables, regclass) IS 'The foreign key that holds a partition, as a phrase; NULL if none.';

CREATE FUNCTION strata._unarchived(event_table strata._event_tables, partition regclass) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'it has not been archived'
    WHERE (event_table).archive_required AND NOT EXISTS (
        SELECT FROM strata._archived_partitions a WHERE a.table_id = (event_table).table_id AND a.partition = _unarchived.partition)
$$;
REVOKE ALL ON FUNCTION strata._unarchived(strata._event_tables, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._unarchived(strata._event_tables, regclass) IS 'That a partition waits for its archive, as a phrase; NULL if it does not.';

CREATE FUNCTION strata._log_retention(event_table strata._event_tables, action text, partition regclass, lower timestamptz, upper timestamptz, reason text DEFAULT NULL) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO strata._retention_log (relation, action, partition, lower_time, upper_time, bytes, rows_estimated, reason)
    SELECT (event_table).relation::text, action, partition::text,
           strata._from_axis((event_table).time_type, (event_table).timezone, lower), strata._from_axis((event_table).time_type, (event_table).timezone, upper),
           strata._partition_bytes(partition),
           (SELECT nullif(c.reltuples::bigint, -1) FROM pg_class c WHERE c.oid = partition), reason
$$;
REVOKE ALL ON FUNCTION strata._log_retention(strata._event_tables, text, regclass, timestamptz, timestamptz, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._log_retention(strata._event_tables, text, regclass, timestamptz, timestamptz, text) IS 'Writes down what retention did.';

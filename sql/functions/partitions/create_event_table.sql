-- Promise: an ordinary or already partitioned table becomes an event table, keeping its rows and what hangs on it;
-- batches are counted from here on, and the first partitions exist when it returns.
CREATE FUNCTION strata.create_event_table(
    relation regclass,
    time_column name,
    partition_interval interval DEFAULT '1 day',
    premake int DEFAULT 4,
    retention interval DEFAULT NULL,
    accept_past interval DEFAULT '30 days',
    accept_future interval DEFAULT '1 day',
    timezone text DEFAULT 'UTC',
    subpartition_by name DEFAULT NULL,
    subpartitions int DEFAULT NULL,
    retention_bytes bigint DEFAULT NULL
) RETURNS regclass
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT strata._create_event_table(strata._authorize(relation, 'OWNER'), time_column, partition_interval, premake, retention,
        accept_past, accept_future, timezone, subpartition_by, subpartitions, retention_bytes)
$$;
COMMENT ON FUNCTION strata.create_event_table(regclass, name, interval, int, interval, interval, interval, text, name, int, bigint) IS
'Makes a table an event table: RANGE-partitioned by time_column (timestamptz, timestamp, date, or uuid of version 7), one partition per partition_interval with boundaries in timezone, premake partitions ahead of now. Columns of timestamp and date are taken for wall-clock time of timezone. With subpartition_by each partition is hash-partitioned once more into so many subpartitions. Partitions go when older than retention, or, oldest first, while the table is larger than retention_bytes. The table is an ordinary one, which keeps everything but its OID (its rows are moved, all in this transaction, with a NOTICE how many; strata.convert_to_event_table does it in pieces), or one already partitioned by that column. Partitions are made for event times from now - accept_past to now + accept_future, and for the rows that are there; accept_past is lowered to a shorter retention, if left at its default. Adds column batch_id bigint. Takes ownership of the table and locks it against everyone. Returns the table. Errors: ST002 if the table cannot become one, 42703 no such column, 22023 for a bad interval or time zone.';

CREATE FUNCTION strata._create_event_table(
    relation regclass, time_column name, partition_interval interval, premake int, retention interval,
    accept_past interval, accept_future interval, timezone text, subpartition_by name, subpartitions int,
    retention_bytes bigint
) RETURNS regclass
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    settings jsonb := jsonb_build_object('time_column', time_column, 'partition_interval', partition_interval, 'premake', premake,
        'retention', retention, 'accept_past', strata._within_retention(relation, accept_past, retention, accept_past = interval '30 days'), 'accept_future', accept_future, 'timezone', timezone,
        'subpartition_by', subpartition_by, 'subpartitions', subpartitions, 'retention_bytes', retention_bytes);
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    PERFORM strata._check_creatable(relation, settings);
    PERFORM strata._execute_as(strata._owner(relation), format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', relation));
    PERFORM strata._check_convertible(relation, time_column);
    PERFORM strata._check_subpartitions(relation, subpartition_by, subpartitions);
    IF (SELECT c.relkind FROM pg_class c WHERE c.oid = relation) = 'r' THEN
        RETURN strata._convert_whole(relation, settings);
    END IF;
    PERFORM strata._register_event_table(relation, settings);
    RETURN relation;
END
$$;
COMMENT ON FUNCTION strata._create_event_table(regclass, name, interval, int, interval, interval, interval, text, name, int, bigint) IS
'The writing half of create_event_table.';

CREATE FUNCTION strata._check_creatable(relation regclass, settings jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM strata._check_settings(s.partition_interval, s.premake, s.retention, s.accept_past, s.accept_future, s.timezone, s.retention_bytes)
    FROM jsonb_populate_record(NULL::strata._event_tables, settings) s;
    PERFORM strata._forget_dropped_relations();
    IF EXISTS (SELECT FROM strata._event_tables t WHERE t.relation = _check_creatable.relation) THEN
        RAISE EXCEPTION USING
            ERRCODE = '42710',
            MESSAGE = format('%s is an event table already', relation),
            DETAIL = format('It has been one since %s.', (strata._event_table(relation)).created_at),
            HINT = format('strata.event_tables shows its settings; SELECT strata.release_event_table(%L) stops managing it.', relation::text);
    ELSIF EXISTS (SELECT FROM strata._audited_tables a JOIN pg_class c ON c.oid = a.relation
                  WHERE a.relation = _check_creatable.relation AND a.disabled_at IS NULL AND c.relkind = 'r')
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'ST002',
            MESSAGE = format('%s cannot become an event table', relation),
            DETAIL = 'It is audited, and its rows would be moved behind the log''s back.',
            HINT = format('Run: SELECT strata.disable_audit(%1$L); and strata.enable_audit(%1$L) once it is an event table.', relation::text);
    ELSIF EXISTS (SELECT FROM strata._conversions c WHERE c.relation = _check_creatable.relation) THEN
        PERFORM strata._refuse_while_converting(relation, 'Its rows are being moved into an event table.',
            format('Run: CALL strata.convert_to_event_table(%1$L, …); to go on, or: SELECT strata.cancel_conversion(%1$L);', relation::text));
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._check_creatable(regclass, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_creatable(regclass, jsonb) IS
'Checks settings (22023), that a table is no event table yet (42710), and that it is not becoming one (ST009).';

-- A partitioned table, with its partitions, is put under management.
CREATE FUNCTION strata._register_event_table(relation regclass, settings jsonb) RETURNS strata._event_tables
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables;
    sequence_name text;
BEGIN
    -- what a restore of the table alone has brought along
    PERFORM strata._drop_triggers(relation);
    PERFORM strata._close_batch(relation);
    sequence_name := strata._add_batch_column(relation);
    INSERT INTO strata._event_tables (relation, batch_sequence, relation_oid, time_type, partition_interval, premake, retention, retention_bytes,
        accept_past, accept_future, timezone, storage_options, access_method)
    SELECT _register_event_table.relation, sequence_name::regclass, _register_event_table.relation::oid,
        (SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = _register_event_table.relation AND a.attname = settings ->> 'time_column'),
        s.partition_interval, s.premake, s.retention, s.retention_bytes, s.accept_past, s.accept_future, s.timezone,
        coalesce(s.storage_options, '{}'), s.access_method
    FROM jsonb_populate_record(NULL::strata._event_tables, settings) s
    RETURNING * INTO event_table;
    PERFORM strata._check_interval(event_table);
    -- only now: the default takes its table from the catalog
    PERFORM strata._execute_as(strata._owner(relation), format(
        'ALTER TABLE %s ALTER COLUMN batch_id SET DEFAULT strata.current_batch(%L::regclass)', relation, relation));
    PERFORM strata._default_of_leaf(t.relid, relation) FROM pg_partition_tree(relation) t WHERE t.level > 0;
    -- rows that are there already stand in batch 1 and below the sequence
    INSERT INTO strata._batches (table_id, batch_id, created_at)
    SELECT event_table.table_id, pg_sequence_last_value(event_table.batch_sequence), clock_timestamp()
    WHERE pg_sequence_last_value(event_table.batch_sequence) IS NOT NULL;
    PERFORM strata._sync_columns(event_table);
    event_table := strata._set_subpartitions(event_table, (settings ->> 'subpartition_by')::name, (settings ->> 'subpartitions')::int);
    PERFORM strata._create_guard(event_table);
    PERFORM strata._create_mark_triggers(event_table, t.relid) FROM pg_partition_tree(relation) t;
    PERFORM strata._make_partitions(event_table, strata._axis_now(event_table), strata._premade_until(event_table));
    RETURN event_table;
END
$$;
REVOKE ALL ON FUNCTION strata._register_event_table(regclass, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION strata._register_event_table(regclass, jsonb) IS
'Enters a partitioned table into the catalog, with batch column, guard, triggers and the partitions of premake.';

CREATE FUNCTION strata._check_settings(
    partition_interval interval, premake int, retention interval, accept_past interval, accept_future interval,
    timezone text, retention_bytes bigint
) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    complaint text := CASE
        WHEN partition_interval IS NULL OR premake IS NULL OR accept_past IS NULL OR accept_future IS NULL OR timezone IS NULL
            THEN 'only retention, retention_bytes, subpartition_by and subpartitions may be NULL'
        WHEN partition_interval < interval '1 minute' THEN format('partition_interval %s is shorter than a minute', partition_interval)
        WHEN premake NOT BETWEEN 0 AND 1000 THEN format('premake %s is not between 0 and 1000', premake)
        WHEN accept_past < interval '0' OR accept_future < interval '0' THEN 'accept_past and accept_future must not be negative'
        WHEN retention_bytes <= 0 THEN format('retention_bytes %s is not positive', retention_bytes)
        WHEN retention <= interval '0' THEN format('retention %s is not positive', retention)
        WHEN retention IS NOT NULL AND accept_past > retention THEN format('accept_past %s is longer than retention %s', accept_past, retention)
    END;
BEGIN
    IF complaint IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = complaint,
            HINT = 'For example: partition_interval => ''1 day'', premake => 4, accept_past => ''30 days'', accept_future => ''1 day''.';
    END IF;
    -- raises 22023 for a width or a time zone it does not know
    PERFORM strata.time_bucket(partition_interval, now(), timezone);
END
$$;
COMMENT ON FUNCTION strata._check_settings(interval, int, interval, interval, interval, text, bigint) IS 'Checks the settings of an event table; 22023.';

-- A window that nobody asked for follows a shorter retention; one that was asked for is refused by _check_settings.
CREATE FUNCTION strata._within_retention(relation regclass, accept_past interval, retention interval, by_default boolean) RETURNS interval
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT by_default OR retention IS NULL OR retention <= interval '0' OR accept_past <= retention THEN
        RETURN accept_past;
    END IF;
    RAISE NOTICE 'accept_past of % is %, as is its retention', relation, retention;
    RETURN retention;
END
$$;
REVOKE ALL ON FUNCTION strata._within_retention(regclass, interval, interval, boolean) FROM PUBLIC;
COMMENT ON FUNCTION strata._within_retention(regclass, interval, interval, boolean) IS
'accept_past, or retention if that is shorter and accept_past was not asked for.';

-- Returns the sequence that batch ids come from. A table that has been an event table before keeps its ids.
-- The sequence is not OWNED BY the column, or TRUNCATE … RESTART IDENTITY would give ids out again. The column has no
-- NOT NULL, which would outlive DROP EXTENSION and the default: the guard refuses rows without an id.
CREATE FUNCTION strata._add_batch_column(relation regclass) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(relation);
    sequence_name text;
    column_type regtype := (SELECT a.atttypid::regtype FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = 'batch_id' AND NOT a.attisdropped);
    highest bigint;
BEGIN
    SELECT strata._schema(relation) || '.' || quote_ident(strata._with_suffix(strata._base_name(c.oid), '_batch_id_seq', c.relnamespace))
    INTO sequence_name FROM pg_class c WHERE c.oid = relation;
    PERFORM strata._execute_as(owner, format('CREATE SEQUENCE %s AS bigint MINVALUE 1 NO CYCLE CACHE 1', sequence_name));
    IF column_type IS NULL THEN
        highest := CASE WHEN EXISTS (SELECT FROM strata._leaves(relation)) THEN 1 END;
        -- a constant default marks rows that are there without rewriting them
        PERFORM strata._execute_as(owner, format('ALTER TABLE %s ADD COLUMN batch_id bigint DEFAULT 1', relation));
    ELSE
        PERFORM strata._execute_as(owner, format('UPDATE %s SET batch_id = 1 WHERE batch_id IS NULL', relation));
        highest := strata._execute_as(owner, format('SELECT max(batch_id) FROM %s', relation))::bigint;
    END IF;
    IF highest IS NOT NULL THEN
        PERFORM setval(sequence_name::regclass, highest);
    END IF;
    PERFORM strata._execute_as(owner, format('COMMENT ON COLUMN %s.batch_id IS %L', relation,
        'pg_strata: the batch of the ledger that this row came in with; leave it to its default'));
    -- pages_per_range small: a refresh reads the few pages of the newest batches
    PERFORM strata._execute_as(owner, format(
        'CREATE INDEX %s ON %s USING brin (batch_id) WITH (pages_per_range = 16, autosummarize = on)',
        (SELECT quote_ident(strata._with_suffix(strata._base_name(c.oid), '_batch_id_idx', c.relnamespace)) FROM pg_class c WHERE c.oid = relation),
        relation));
    RETURN sequence_name;
END
$$;
REVOKE ALL ON FUNCTION strata._add_batch_column(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._add_batch_column(regclass) IS 'Gives a table its batch_id column, sequence and index.';

-- ALTER … SET DEFAULT on the parent reaches partitions that are there, except those with a default of their own.
CREATE FUNCTION strata._default_of_leaf(leaf regclass, relation regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM strata._execute_as(strata._owner(leaf), format('ALTER TABLE %s ALTER COLUMN batch_id SET DEFAULT strata.current_batch(%L::regclass)', leaf, relation));
END
$$;
REVOKE ALL ON FUNCTION strata._default_of_leaf(regclass, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._default_of_leaf(regclass, regclass) IS 'Sets the batch default of one partition.';

CREATE FUNCTION strata._premade_until(event_table strata._event_tables) RETURNS timestamptz
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lower timestamptz := strata._partition_lower(event_table, strata._axis_now(event_table));
BEGIN
    FOR step IN 1 .. event_table.premake LOOP
        lower := strata._partition_upper(event_table, lower);
    END LOOP;
    -- with premake 0 the partition of this moment is the last
    RETURN greatest(lower, strata._axis_now(event_table));
END
$$;
COMMENT ON FUNCTION strata._premade_until(strata._event_tables) IS 'An event time in the last partition that premake asks for.';

CREATE FUNCTION strata._sync_columns(event_table strata._event_tables) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- after dump and restore attribute numbers may differ and names are what is left
    IF event_table.relation_oid <> event_table.relation::oid THEN
        UPDATE strata._columns c SET attnum = a.attnum
        FROM pg_attribute a
        WHERE c.table_id = event_table.table_id AND NOT c.dropped
          AND a.attrelid = event_table.relation AND a.attname = c.column_name AND NOT a.attisdropped;
        UPDATE strata._event_tables t SET relation_oid = t.relation::oid WHERE t.table_id = event_table.table_id;
    END IF;
    UPDATE strata._columns c SET column_name = a.attname
    FROM pg_attribute a
    WHERE c.table_id = event_table.table_id AND NOT c.dropped AND a.attrelid = event_table.relation
      AND a.attnum = c.attnum AND NOT a.attisdropped AND a.attname <> c.column_name;
    UPDATE strata._columns c SET dropped = true
    WHERE c.table_id = event_table.table_id AND NOT c.dropped AND NOT EXISTS (
        SELECT FROM pg_attribute a WHERE a.attrelid = event_table.relation AND a.attnum = c.attnum AND NOT a.attisdropped);
    INSERT INTO strata._columns (table_id, column_id, attnum, column_name)
    SELECT event_table.table_id,
           coalesce((SELECT max(c.column_id) FROM strata._columns c WHERE c.table_id = event_table.table_id), 0)
               + row_number() OVER (ORDER BY a.attnum),
           a.attnum, a.attname
    FROM pg_attribute a
    WHERE a.attrelid = event_table.relation AND a.attnum > 0 AND NOT a.attisdropped AND NOT EXISTS (
        SELECT FROM strata._columns c WHERE c.table_id = event_table.table_id AND c.attnum = a.attnum AND NOT c.dropped)
    -- another maintenance numbers them just now, in the same order
    ON CONFLICT DO NOTHING;
END
$$;
REVOKE ALL ON FUNCTION strata._sync_columns(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._sync_columns(strata._event_tables) IS
'Brings the column ids of an event table up to its columns: renames followed, new columns numbered, ids of dropped columns never used again.';

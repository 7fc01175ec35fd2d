-- Promise: a filled table becomes an event table while it is read and written; each step commits, and a call that was
-- broken off, however hard, goes on with the next call.
CREATE PROCEDURE strata.convert_to_event_table(
    relation regclass,
    time_column name DEFAULT NULL,
    partition_interval interval DEFAULT NULL,
    premake int DEFAULT NULL,
    retention interval DEFAULT NULL,
    accept_past interval DEFAULT NULL,
    accept_future interval DEFAULT NULL,
    timezone text DEFAULT NULL,
    subpartition_by name DEFAULT NULL,
    subpartitions int DEFAULT NULL,
    retention_bytes bigint DEFAULT NULL,
    chunk_rows int DEFAULT 50000
)
    LANGUAGE plpgsql
    -- no search_path: a procedure that sets it cannot commit
AS $$
DECLARE
    arguments jsonb := pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
        'time_column', time_column, 'partition_interval', partition_interval, 'premake', premake, 'retention', retention,
        'accept_past', accept_past, 'accept_future', accept_future, 'timezone', timezone, 'subpartition_by', subpartition_by,
        'subpartitions', subpartitions, 'retention_bytes', retention_bytes));
    step text := 'begin';
    shown int := 0;
    refusals int := 0;
BEGIN
    WHILE step IS NOT NULL LOOP
        BEGIN
            SELECT s.relation, s.step INTO relation, step FROM strata._conversion_step(relation, step, arguments, chunk_rows) s;
            refusals := 0;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            refusals := strata._count_refusal(refusals);
            IF refusals IS NULL THEN
                RAISE;
            END IF;
        END;
        COMMIT;
        PERFORM strata._pause_conversion(relation, refusals);
        shown := strata._show_conversion(relation, shown);
    END LOOP;
END
$$;
COMMENT ON PROCEDURE strata.convert_to_event_table(regclass, name, interval, int, interval, interval, interval, text, name, int, bigint, int) IS
'Makes a filled ordinary table an event table in chunks of about chunk_rows rows, each a transaction and a batch of its own; outside a transaction block only. Arguments and defaults are those of strata.create_event_table. The table can be read all the time and written nearly all the time: it is locked shortly at the beginning, where column batch_id is added, and at the end, where the event table takes its name. INSERT is carried over at once; UPDATE and DELETE too where there is a primary key that is not deferrable (ST009 without; 40001 for a transaction of another isolation level than READ COMMITTED that changes a row copied since its snapshot); TRUNCATE is refused (ST009). strata.conversions shows how far it is. Broken off, even by a crash, it goes on when called again, with the same arguments or with the table alone; strata.cancel_conversion takes it back. Takes ownership. Errors: as create_event_table, 22023 for other arguments than before, ST009 if the table was altered or rewritten meanwhile, 55P03 if a lock was not to be had for minutes.';

-- A lock is not waited for long, since everybody else would queue behind the request; and a chunk that meets a writer
-- gives way before PostgreSQL looks for a deadlock between the two.
CREATE FUNCTION strata._conversion_step(INOUT relation regclass, INOUT step text, arguments jsonb, chunk_rows int)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('lock_timeout', CASE step WHEN 'begin' THEN '0' WHEN 'move' THEN '200ms' ELSE '1s' END, true);
    IF step = 'begin' THEN
        step := strata._begin_conversion(strata._authorize(relation, 'OWNER'), arguments, chunk_rows);
    ELSE
        step := strata._continue_conversion(strata._authorize(relation, 'OWNER'), chunk_rows);
    END IF;
    IF step ~ '^[0-9]+$' THEN
        -- the event table has the name now; the old table's OID is gone
        relation := step::oid::regclass;
        step := 'validate';
    END IF;
END
$$;
COMMENT ON FUNCTION strata._conversion_step(regclass, text, jsonb, int) IS
'What convert_to_event_table does between two commits: takes table and step, gives those to go on with.';

CREATE FUNCTION strata._count_refusal(refusals int) RETURNS int
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN refusals < 600 THEN refusals + 1 END $$;
COMMENT ON FUNCTION strata._count_refusal(int) IS 'Counts the attempts at a lock; NULL when it is time to give up.';

CREATE FUNCTION strata._pause_conversion(relation regclass, refusals int) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF refusals > 0 THEN
        IF refusals % 60 = 10 THEN
            RAISE NOTICE '% is locked by others; trying again', relation;
        END IF;
        PERFORM pg_sleep(CASE WHEN refusals < 10 THEN 0.1 ELSE 1 END);
    END IF;
END
$$;
COMMENT ON FUNCTION strata._pause_conversion(regclass, int) IS 'Waits before the next attempt at a lock.';

-- Returns the next step.
CREATE FUNCTION strata._begin_conversion(relation regclass, arguments jsonb, chunk_rows int) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET intervalstyle = 'postgres'
AS $$
DECLARE
    conversion strata._conversions;
    settings jsonb := '{"partition_interval": "1 day", "premake": 4, "accept_past": "30 days", "accept_future": "1 day", "timezone": "UTC"}' || arguments;
    event_table strata._event_tables;
    survey record;
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    IF chunk_rows IS NULL OR chunk_rows < 1 THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('chunk_rows %s is not positive', coalesce(chunk_rows::text, 'NULL')),
            HINT = 'For example: chunk_rows => 50000.';
    END IF;
    PERFORM strata._execute_as(strata._owner(relation), format('LOCK TABLE %s IN SHARE UPDATE EXCLUSIVE MODE', relation));
    SELECT c.* INTO conversion FROM strata._conversions c WHERE c.relation = _begin_conversion.relation;
    IF FOUND THEN
        PERFORM strata._check_same_conversion(conversion, arguments);
        RETURN CASE conversion.state WHEN 'preparing' THEN 'prepare' WHEN 'copying' THEN 'move' ELSE 'validate' END;
    END IF;
    IF settings ->> 'time_column' IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'time_column is missing',
            HINT = format('Run: CALL strata.convert_to_event_table(%L, ''<time column>'');', relation::text);
    END IF;
    settings := settings || jsonb_build_object('accept_past', strata._within_retention(relation, (settings ->> 'accept_past')::interval,
        (settings ->> 'retention')::interval, arguments ->> 'accept_past' IS NULL));
    PERFORM strata._check_creatable(relation, settings);
    PERFORM strata._check_convertible(relation, (settings ->> 'time_column')::name);
    PERFORM strata._check_convertible_online(relation);
    PERFORM strata._check_subpartitions(relation, (settings ->> 'subpartition_by')::name, (settings ->> 'subpartitions')::int);
    INSERT INTO strata._conversions (relation, shadow, settings, state)
    VALUES (relation, strata._make_shadow(relation, (settings ->> 'time_column')::name), settings, 'preparing')
    RETURNING * INTO conversion;
    -- nothing is let go before all rows are there
    event_table := strata._register_event_table(conversion.shadow, strata._settings_of_twin(relation, settings) - '{retention,retention_bytes}'::text[]);
    SELECT s.* INTO survey FROM strata._survey_rows(relation, event_table, '') s;
    UPDATE strata._conversions c SET partitions_wanted = survey.lowers, rows_estimated = survey.row_count WHERE c.relation = conversion.relation;
    RETURN 'prepare';
END
$$;
COMMENT ON FUNCTION strata._begin_conversion(regclass, jsonb, int) IS
'The first step of convert_to_event_table: makes the empty event table, or finds the one that an earlier call has made. Returns the next step.';

CREATE FUNCTION strata._check_same_conversion(conversion strata._conversions, arguments jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- as values of their types: '24 hours' may be written '1 day 00:00'
    IF jsonb_populate_record(NULL::strata._event_tables, conversion.settings || arguments) IS DISTINCT FROM jsonb_populate_record(NULL::strata._event_tables, conversion.settings)
        OR (conversion.settings || arguments) -> 'time_column' <> conversion.settings -> 'time_column'
        OR (conversion.settings || arguments) -> 'subpartition_by' IS DISTINCT FROM conversion.settings -> 'subpartition_by'
    THEN
        RAISE EXCEPTION USING
            ERRCODE = '22023',
            MESSAGE = format('%s is being converted with other arguments', conversion.relation),
            DETAIL = format('It was begun with %s.', conversion.settings),
            HINT = format('Run: CALL strata.convert_to_event_table(%1$L); to go on, or: SELECT strata.cancel_conversion(%1$L);', conversion.relation::text);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._check_same_conversion(strata._conversions, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_same_conversion(strata._conversions, jsonb) IS '22023 if a conversion was begun with other arguments.';

CREATE FUNCTION strata._check_convertible_online(relation regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fault record;
BEGIN
    SELECT * INTO fault FROM (
        SELECT 'It is partitioned already.' AS detail, format('Run: SELECT strata.create_event_table(%L, …);', relation::text) AS hint
        FROM pg_class c WHERE c.oid = relation AND c.relkind = 'p'
        UNION ALL
        SELECT 'It forces row security on its owner, who moves the rows.', format('Run: ALTER TABLE %s NO FORCE ROW LEVEL SECURITY; and force it again afterwards.', relation)
        FROM pg_class c WHERE c.oid = relation AND c.relforcerowsecurity
        UNION ALL
        SELECT 'Its column batch_id is in the way: rows still to be moved are marked by it.', format('Run: ALTER TABLE %s DROP COLUMN batch_id; or rename it.', relation)
        FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = 'batch_id' AND NOT a.attisdropped
        UNION ALL
        SELECT format('Publication %I sends every column of it, and would send batch_id meanwhile.', p.pubname),
            format('Run: ALTER PUBLICATION %I SET TABLE %s (<columns>);', p.pubname, relation)
        FROM pg_publication p
        WHERE EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = relation AND r.prattrs IS NULL)
    ) f;
    IF FOUND THEN
        PERFORM strata._refuse_conversion(relation, fault.detail, fault.hint);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._check_convertible_online(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_convertible_online(regclass) IS 'What keeps a table from being converted while it is written: ST002.';

CREATE FUNCTION strata._continue_conversion(relation regclass, chunk_rows int) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    conversion strata._conversions;
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    -- the row first, then the table: two callers, and cancel_conversion, take turns
    SELECT c.* INTO conversion FROM strata._conversions c WHERE c.relation = _continue_conversion.relation FOR UPDATE;
    IF NOT FOUND THEN
        IF EXISTS (SELECT FROM strata._event_tables t WHERE t.relation = _continue_conversion.relation) THEN
            RETURN NULL;
        END IF;
        PERFORM strata._refuse_while_converting(relation, 'Its conversion was taken back, or ended, by another session.',
            format('Run: CALL strata.convert_to_event_table(%L, …); to begin again.', relation::text));
    ELSIF conversion.state = 'validating' THEN
        RETURN strata._validate_references(conversion);
    ELSIF conversion.state = 'preparing' THEN
        RETURN strata._prepare_conversion(conversion);
    END IF;
    PERFORM strata._check_unaltered(conversion);
    IF conversion.next_block < conversion.end_block THEN
        PERFORM strata._move_chunk(conversion, chunk_rows);
        RETURN 'move';
    END IF;
    RETURN strata._finish_conversion(conversion)::oid;
END
$$;
COMMENT ON FUNCTION strata._continue_conversion(regclass, int) IS
'One step of convert_to_event_table: some partitions, the triggers, a chunk of rows, the swap, or the validation of a foreign key. Returns the next step, the OID of the event table after the swap, NULL at the end.';

CREATE FUNCTION strata._show_conversion(relation regclass, shown int) RETURNS int
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    conversion record;
BEGIN
    SELECT c.* INTO conversion FROM strata.conversions c WHERE c.relation = _show_conversion.relation;
    IF conversion.state = 'copying' AND floor(conversion.fraction * 10) > shown THEN
        RAISE NOTICE '%: moved % of about % rows', relation, conversion.rows_moved, conversion.rows_estimated;
        RETURN floor(conversion.fraction * 10);
    END IF;
    RETURN shown;
END
$$;
COMMENT ON FUNCTION strata._show_conversion(regclass, int) IS 'Raises a NOTICE at each tenth of a conversion; returns the tenth.';

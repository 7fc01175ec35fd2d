-- Promise: new settings hold from here on; what is there stays as it is.
CREATE FUNCTION strata.alter_event_table(
    relation regclass,
    partition_interval interval DEFAULT NULL,
    premake int DEFAULT NULL,
    retention interval DEFAULT NULL,
    accept_past interval DEFAULT NULL,
    accept_future interval DEFAULT NULL,
    timezone text DEFAULT NULL,
    subpartition_by name DEFAULT NULL,
    subpartitions int DEFAULT NULL,
    retention_bytes bigint DEFAULT NULL,
    archive_required boolean DEFAULT NULL
) RETURNS regclass
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT strata._alter_event_table(strata._authorize(relation, 'OWNER'), partition_interval, premake, retention, accept_past, accept_future,
        timezone, subpartition_by, subpartitions, retention_bytes, archive_required)
$$;
COMMENT ON FUNCTION strata.alter_event_table(regclass, interval, int, interval, interval, interval, text, name, int, bigint, boolean) IS
'Changes settings of an event table; NULL leaves one as it is. partition_interval and timezone hold for partitions made from here on: existing ones stay, and the first new one fills the rest up to the next boundary. subpartitions 0, retention ''0'' and retention_bytes 0 take the setting away. A retention shorter than accept_past lowers it, unless accept_past is given too (22023 then). archive_required true: no partition goes before strata.confirm_archive. Takes ownership. Returns the table. Errors as for create_event_table.';

CREATE FUNCTION strata._alter_event_table(
    relation regclass, partition_interval interval, premake int, retention interval, accept_past interval, accept_future interval,
    timezone text, subpartition_by name, subpartitions int, retention_bytes bigint, archive_required boolean
) RETURNS regclass
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables;
    altered strata._event_tables;
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    -- makers of partitions and retention wait, and see the new settings
    SELECT t.* INTO event_table FROM strata._event_tables t WHERE t.relation = _alter_event_table.relation FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        event_table := strata._event_table(relation);
    END IF;
    PERFORM strata._sync_columns(event_table);
    UPDATE strata._event_tables t
    SET partition_interval = coalesce(_alter_event_table.partition_interval, t.partition_interval),
        premake = coalesce(_alter_event_table.premake, t.premake),
        retention = CASE WHEN _alter_event_table.retention = interval '0' THEN NULL ELSE coalesce(_alter_event_table.retention, t.retention) END,
        retention_bytes = CASE WHEN _alter_event_table.retention_bytes = 0 THEN NULL ELSE coalesce(_alter_event_table.retention_bytes, t.retention_bytes) END,
        accept_past = coalesce(_alter_event_table.accept_past,
            strata._within_retention(t.relation, t.accept_past, coalesce(_alter_event_table.retention, t.retention), true)),
        accept_future = coalesce(_alter_event_table.accept_future, t.accept_future),
        timezone = coalesce(_alter_event_table.timezone, t.timezone),
        archive_required = coalesce(_alter_event_table.archive_required, t.archive_required)
    WHERE t.table_id = event_table.table_id
    RETURNING t.* INTO altered;
    PERFORM strata._check_settings(altered.partition_interval, altered.premake, altered.retention, altered.accept_past, altered.accept_future,
        altered.timezone, altered.retention_bytes);
    PERFORM strata._check_interval(altered);
    IF subpartitions = 0 THEN
        PERFORM strata._set_subpartitions(altered, NULL, NULL);
    ELSIF subpartition_by IS NOT NULL OR subpartitions IS NOT NULL THEN
        subpartition_by := coalesce(subpartition_by, strata._subpartition_key(altered));
        subpartitions := coalesce(subpartitions, altered.subpartitions);
        PERFORM strata._check_subpartitions(relation, subpartition_by, subpartitions);
        PERFORM strata._set_subpartitions(altered, subpartition_by, subpartitions);
    END IF;
    -- what was announced under other settings is not to go by them
    DELETE FROM strata._detached_partitions d USING pg_class c
    WHERE d.table_id = altered.table_id AND c.oid = d.partition AND c.relispartition;
    RETURN relation;
END
$$;
COMMENT ON FUNCTION strata._alter_event_table(regclass, interval, int, interval, interval, interval, text, name, int, bigint, boolean) IS
'The writing half of alter_event_table.';

CREATE FUNCTION strata._check_interval(event_table strata._event_tables) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF event_table.time_type = 'date'::regtype THEN
        -- raises 22023 for a width that is not in whole days
        PERFORM strata.time_bucket(event_table.partition_interval, current_date);
    END IF;
END
$$;
COMMENT ON FUNCTION strata._check_interval(strata._event_tables) IS 'Checks that the time column''s type can be partitioned by the interval; 22023.';

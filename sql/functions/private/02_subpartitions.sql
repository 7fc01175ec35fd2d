-- Hash sub-partitions: each time partition is split once more by a column, so that scans and vacuum of one segment of
-- users touch a part of it.
CREATE FUNCTION strata._subpartition_key(event_table strata._event_tables) RETURNS name
    LANGUAGE sql STABLE SECURITY DEFINER
    -- permit: none needed, strata.event_tables shows it to everybody
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.attname FROM strata._columns c
    JOIN pg_attribute a ON a.attrelid = (event_table).relation AND a.attnum = c.attnum AND NOT a.attisdropped
    WHERE c.table_id = (event_table).table_id AND c.column_id = (event_table).subpartition_column
$$;
COMMENT ON FUNCTION strata._subpartition_key(strata._event_tables) IS 'The column new partitions are hash-partitioned by; NULL if they are not.';

CREATE FUNCTION strata._check_subpartitions(relation regclass, subpartition_by name, subpartitions int) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hash_key smallint;
    lacking text;
BEGIN
    IF subpartition_by IS NULL AND subpartitions IS NULL THEN
        RETURN;
    ELSIF subpartition_by IS NULL OR subpartitions IS NULL OR subpartitions NOT BETWEEN 2 AND 1024 THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'sub-partitions need a column and a number from 2 to 1024',
            HINT = 'For example: subpartition_by => ''user_id'', subpartitions => 8.';
    END IF;
    SELECT a.attnum INTO hash_key FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attname = subpartition_by AND a.attnum > 0 AND NOT a.attisdropped;
    IF hash_key IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = '42703', MESSAGE = format('column %I of %s does not exist', subpartition_by, relation),
            HINT = 'Name the column that sub-partitions are made by, such as the id of the user.';
    END IF;
    SELECT string_agg(i.indexrelid::regclass::text, ', ') INTO lacking FROM pg_index i
    WHERE i.indrelid = relation AND (i.indisunique OR i.indisexclusion) AND NOT hash_key = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]);
    IF lacking IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'ST002', MESSAGE = format('cannot make sub-partitions of %s by %I', relation, subpartition_by),
            DETAIL = format('Every unique key must contain %I; these do not: %s.', subpartition_by, lacking),
            HINT = 'Add the column to those keys, or sub-partition by a column they contain.';
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._check_subpartitions(regclass, name, int) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_subpartitions(regclass, name, int) IS
'Checks column and number of hash sub-partitions: 22023, 42703, ST002 for a unique key without the column.';

CREATE FUNCTION strata._set_subpartitions(event_table strata._event_tables, subpartition_by name, subpartitions int) RETURNS strata._event_tables
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE strata._event_tables t
    SET subpartition_column = (SELECT c.column_id FROM strata._columns c
                               WHERE c.table_id = t.table_id AND c.column_name = subpartition_by AND NOT c.dropped),
        subpartitions = _set_subpartitions.subpartitions
    WHERE t.table_id = (event_table).table_id
    RETURNING t.*
$$;
REVOKE ALL ON FUNCTION strata._set_subpartitions(strata._event_tables, name, int) FROM PUBLIC;
COMMENT ON FUNCTION strata._set_subpartitions(strata._event_tables, name, int) IS 'Notes how partitions made from here on are sub-partitioned.';

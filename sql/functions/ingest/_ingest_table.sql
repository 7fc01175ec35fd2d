-- What the sidecar asks of a table it is to feed.
CREATE FUNCTION strata._ingest_table(
    relation regclass,
    OUT table_uuid uuid, OUT time_column name, OUT time_type oid, OUT accept_lower timestamptz, OUT accept_upper timestamptz
)
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM strata._read_ingest_table(strata._authorize(relation, 'INGEST')) $$;
COMMENT ON FUNCTION strata._ingest_table(regclass) IS 'Identity, time column with its type, and accepted window (on the time axis) of an event table, for the sidecar.';

CREATE FUNCTION strata._read_ingest_table(
    relation regclass,
    OUT table_uuid uuid, OUT time_column name, OUT time_type oid, OUT accept_lower timestamptz, OUT accept_upper timestamptz
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    PERFORM strata._sync_columns(event_table);
    table_uuid := event_table.table_uuid;
    time_column := strata._time_column(relation);
    time_type := event_table.time_type;
    SELECT w.lower, w.upper INTO accept_lower, accept_upper FROM strata._accepted_window(event_table) w;
END
$$;
COMMENT ON FUNCTION strata._read_ingest_table(regclass) IS 'The reading half of _ingest_table.';

CREATE FUNCTION strata._ingest_columns(
    relation regclass,
    OUT column_id int, OUT name name, OUT type oid, OUT type_name text, OUT typmod int,
    OUT not_null boolean, OUT has_default boolean, OUT is_generated boolean
) RETURNS SETOF record
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM strata._read_ingest_columns(strata._authorize(relation, 'INGEST')) $$;
COMMENT ON FUNCTION strata._ingest_columns(regclass) IS 'The columns of an event table with their ids, batch_id left out, for the sidecar.';

CREATE FUNCTION strata._read_ingest_columns(
    relation regclass,
    OUT column_id int, OUT name name, OUT type oid, OUT type_name text, OUT typmod int,
    OUT not_null boolean, OUT has_default boolean, OUT is_generated boolean
) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    PERFORM strata._sync_columns(event_table);
    RETURN QUERY
    SELECT c.column_id, a.attname, strata._base_type(a.atttypid), format_type(a.atttypid, a.atttypmod),
           CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END,
           a.attnotnull OR t.typnotnull, a.atthasdef AND a.attgenerated = '', a.attgenerated <> '' OR a.attidentity = 'a'
    FROM strata._columns c
    JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = c.attnum AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    WHERE c.table_id = event_table.table_id AND NOT c.dropped AND a.attname <> 'batch_id'
    ORDER BY c.column_id;
END
$$;
COMMENT ON FUNCTION strata._read_ingest_columns(regclass) IS 'The reading half of _ingest_columns.';

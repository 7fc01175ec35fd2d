-- Promise: what the sidecar put in is what is stored, or the place where it is not.
CREATE FUNCTION strata.verify_batches(
    relation regclass, since timestamptz DEFAULT NULL, amended boolean DEFAULT false,
    OUT batch_id bigint, OUT partition regclass, OUT fault text, OUT expected text, OUT found text
) RETURNS SETOF record
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM strata._verify_batches(strata._authorize(relation, 'INGEST'), since, amended) $$;
COMMENT ON FUNCTION strata.verify_batches(regclass, timestamptz, boolean) IS
'Recomputes the checksums of streamed batches from the stored rows: rows per partition and the Merkle root over them (docs/formats.md). since: only batches recorded from then on. amended: also batches whose rows were lawfully updated or deleted, which differ by right. Faults: rows (another number of rows), checksum (other values), partition_missing (dropped or detached), column_missing (a checked column was dropped). No row means sound; a NOTICE says how much was checked. Takes ownership or grant_ingest. ST001 not an event table.';

-- (FOUND is plpgsql's own variable, so the inner column has another name.)
CREATE FUNCTION strata._verify_batches(
    relation regclass, since timestamptz, amended boolean,
    OUT batch_id bigint, OUT partition regclass, OUT fault text, OUT expected text, OUT present text
) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    checked record;
    outcome jsonb;
    row_expression text;
    columns_of int[];
    batches bigint := 0;
    rows_checked bigint := 0;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    PERFORM strata._sync_columns(event_table);
    FOR checked IN
        SELECT c.batch_id, c.partition, c.row_count, c.root, b.column_ids, l.lower, l.upper
        FROM strata._batch_checksums c
        JOIN strata._batches b ON b.table_id = c.table_id AND b.batch_id = c.batch_id
        LEFT JOIN strata._leaves(relation) l ON l.partition = c.partition
        WHERE c.table_id = event_table.table_id AND (since IS NULL OR b.created_at >= since)
        ORDER BY c.batch_id, l.lower
    LOOP
        CONTINUE WHEN NOT amended AND EXISTS (
            SELECT FROM strata._amended_batches a
            WHERE a.table_id = event_table.table_id AND a.batch_id = checked.batch_id
              AND a.lower_time < checked.upper AND a.upper_time >= checked.lower);
        batch_id := checked.batch_id;
        partition := checked.partition;
        batches := batches + 1;
        IF checked.lower IS NULL THEN
            fault := 'partition_missing';
            expected := format('%s rows', checked.row_count);
            present := NULL;
            RETURN NEXT;
            CONTINUE;
        END IF;
        IF checked.column_ids IS DISTINCT FROM columns_of THEN
            columns_of := checked.column_ids;
            row_expression := strata._row_expression(event_table, columns_of);
        END IF;
        IF row_expression IS NULL THEN
            fault := 'column_missing';
            expected := columns_of::text;
            present := NULL;
            RETURN NEXT;
            CONTINUE;
        END IF;
        outcome := strata._execute_as(strata._owner(relation), format(
            'SELECT jsonb_build_object(''rows'', count(*), ''root'', encode(strata._sorted_root(coalesce(array_agg(l.leaf), ''{}'')), ''hex'')) '
            'FROM (SELECT %s AS leaf FROM %s e WHERE e.batch_id = %s) l', row_expression, checked.partition, checked.batch_id))::jsonb;
        rows_checked := rows_checked + (outcome ->> 'rows')::bigint;
        IF (outcome ->> 'rows')::bigint <> checked.row_count THEN
            fault := 'rows';
            expected := checked.row_count::text;
            present := outcome ->> 'rows';
            RETURN NEXT;
        ELSIF outcome ->> 'root' <> encode(checked.root, 'hex') THEN
            fault := 'checksum';
            expected := encode(checked.root, 'hex');
            present := outcome ->> 'root';
            RETURN NEXT;
        END IF;
    END LOOP;
    RAISE NOTICE 'checked % rows of % batches and partitions of %', rows_checked, batches, relation;
END
$$;
COMMENT ON FUNCTION strata._verify_batches(regclass, timestamptz, boolean) IS 'The reading half of verify_batches.';

CREATE FUNCTION strata._row_expression(event_table strata._event_tables, column_ids int[]) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN count(*) = cardinality(column_ids) AND bool_and(v.expression IS NOT NULL) THEN
        format('strata._row_leaf(%L::uuid, %L::int[], %L::int[], %s)', (event_table).table_uuid,
            array_agg(c.column_id ORDER BY c.column_id), array_agg(strata._type_tag(v.base_type) ORDER BY c.column_id),
            string_agg(v.expression, ', ' ORDER BY c.column_id)) END
    FROM strata._columns c
    JOIN pg_attribute a ON a.attrelid = (event_table).relation AND a.attnum = c.attnum AND NOT a.attisdropped
    CROSS JOIN LATERAL strata._wire_expression(format('e.%I', a.attname), a.atttypid) AS v (expression, base_type)
    WHERE c.table_id = (event_table).table_id AND NOT c.dropped AND c.column_id = ANY (column_ids)
$$;
COMMENT ON FUNCTION strata._row_expression(strata._event_tables, int[]) IS
'The expression of a row''s leaf over the given columns of an event table named e; NULL if a column is gone or has no pinned encoding.';

-- Wire bytes as in COPY BINARY. The send function of text converts to the client's encoding, so text goes another way.
CREATE FUNCTION strata._wire_expression(column_reference text, type_oid oid, OUT expression text, OUT base_type oid)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    base_type := strata._base_type(type_oid);
    expression := CASE
        WHEN strata._type_tag(base_type) IS NULL THEN NULL
        WHEN base_type = 'jsonb'::regtype THEN format('strata._jsonb_canonical(%s::jsonb::text)', column_reference)
        WHEN base_type = 'bytea'::regtype THEN column_reference || '::bytea'
        WHEN base_type IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'json'::regtype)
            THEN format('convert_to(%s::text, ''UTF8'')', column_reference)
        ELSE (SELECT format('%s(%s)', t.typsend, column_reference) FROM pg_type t WHERE t.oid = base_type)
    END;
END
$$;
COMMENT ON FUNCTION strata._wire_expression(text, oid) IS
'The expression that brings a column into its wire bytes of row encoding version 1; NULL for a type without a pinned encoding.';

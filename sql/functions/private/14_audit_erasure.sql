-- Columns whose values may be erased, and where these are kept.

CREATE FUNCTION strata._check_erasable(relation regclass, erasable int[], excluded int[], keys int[]) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refused record;
BEGIN
    SELECT a.attname, f.fault, f.advice INTO refused
    FROM strata._attribute_ids i
    JOIN pg_attribute a ON a.attrelid = i.relation AND a.attnum = i.attribute_number AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    CROSS JOIN LATERAL (
        SELECT d.attname FROM pg_attrdef x JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = x.oid AND p.refobjid = x.adrelid AND p.refobjsubid = a.attnum
        JOIN pg_attribute d ON d.attrelid = x.adrelid AND d.attnum = x.adnum AND d.attgenerated <> ''
        JOIN strata._attribute_ids g ON g.relation = x.adrelid AND g.attribute_number = d.attnum AND NOT g.dropped
        WHERE x.adrelid = i.relation AND NOT g.attribute_id = ANY (erasable || excluded)
        UNION ALL SELECT NULL LIMIT 1
    ) generated
    CROSS JOIN LATERAL (SELECT
        CASE WHEN i.attribute_id = ANY (keys) THEN 'It belongs to the primary key, by which its row is found.'
             WHEN i.attribute_id = ANY (excluded) AND i.attribute_id <> ALL (coalesce((SELECT k.erasable FROM strata._audited_tables k WHERE k.relation = i.relation), '{}'))
             THEN 'It is excluded, so that neither log nor history has values of it.'
             WHEN a.attnotnull OR (t.typtype = 'd' AND t.typnotnull) THEN 'It is NOT NULL, and NULL is what an erased value becomes.'
             WHEN EXISTS (SELECT FROM pg_partitioned_table p JOIN strata._tree(i.relation) r (relid) ON r.relid = p.partrelid
                          JOIN pg_attribute k ON k.attrelid = p.partrelid AND k.attnum = ANY (p.partattrs) WHERE k.attname = a.attname)
             THEN 'The table is partitioned by it.'
             WHEN generated.attname IS NOT NULL THEN format('Column %I is generated from it.', generated.attname) END AS fault,
        CASE WHEN a.attnotnull AND NOT i.attribute_id = ANY (keys) THEN format('Run: ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL;', i.relation, a.attname)
             WHEN generated.attname IS NOT NULL THEN format('Put %I into erasable as well, or into exclude.', generated.attname)
             ELSE 'Leave it out of erasable, or out of exclude.' END AS advice) f
    WHERE i.relation = _check_erasable.relation AND NOT i.dropped AND i.attribute_id = ANY (erasable) AND f.fault IS NOT NULL
    ORDER BY i.attribute_id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'ST013',
            MESSAGE = format('column %I of %s cannot be erasable', refused.attname, relation),
            DETAIL = refused.fault,
            HINT = refused.advice;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._check_erasable(regclass, int[], int[], int[]) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_erasable(regclass, int[], int[], int[]) IS 'Checks that values of columns can become NULL and are nowhere else in the row; ST013.';

-- Called when the log has said that columns are erasable, in chunk event_chunk.
CREATE FUNCTION strata._keep_erasable(audited strata._audited_tables, event_chunk bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF audited.erasable = '{}' THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = audited.history AND a.attname = 'strata_erased') THEN
        EXECUTE format('ALTER TABLE %s ADD COLUMN strata_erased bytea', audited.history);
    END IF;
    INSERT INTO strata._audit_erasable (audit_id, history_column, attribute_id, since_chunk)
    SELECT c.audit_id, c.history_column, c.attribute_id, event_chunk FROM strata._audit_columns c
    WHERE c.audit_id = audited.audit_id AND c.attribute_id = ANY (audited.erasable)
    ON CONFLICT ON CONSTRAINT _audit_erasable_pkey DO NOTHING;
END
$$;
REVOKE ALL ON FUNCTION strata._keep_erasable(strata._audited_tables, bigint) FROM PUBLIC;
COMMENT ON FUNCTION strata._keep_erasable(strata._audited_tables, bigint) IS 'Makes the history of an audited table ready for erasing values of its erasable columns.';

-- Old versions of one key. What was logged before its column was erasable leaves no commitment: its hash was of the value itself.
CREATE FUNCTION strata._erase_history(audited strata._audited_tables, key_condition text, salt bytea) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept text;
    emptied text;
    has_values text;
    versions bigint;
BEGIN
    SELECT string_agg(format('strata._erased_value(CASE WHEN h.strata_chunk > %s THEN $1 END, %s, h.%I)', e.since_chunk, e.attribute_id, e.history_column), ' || ' ORDER BY e.attribute_id, e.history_column),
           string_agg(format('%I = NULL', e.history_column), ', '),
           string_agg(format('h.%I IS NOT NULL', e.history_column), ' OR ')
    INTO kept, emptied, has_values
    FROM strata._audit_erasable e WHERE e.audit_id = audited.audit_id;
    EXECUTE format('UPDATE %s h SET strata_erased = coalesce(h.strata_erased, '''') || %s, %s WHERE %s AND (%s)', audited.history, kept, emptied, key_condition, has_values) USING salt;
    GET DIAGNOSTICS versions = ROW_COUNT;
    RETURN versions;
END
$$;
REVOKE ALL ON FUNCTION strata._erase_history(strata._audited_tables, text, bytea) FROM PUBLIC;
COMMENT ON FUNCTION strata._erase_history(strata._audited_tables, text, bytea) IS 'Takes erasable values out of the old versions of a key, and keeps their commitments beside them; returns how many versions had any.';

-- The rows' columns that are erasable and written to, as parts of statements.
CREATE FUNCTION strata._erasable_parts(audited strata._audited_tables, OUT assignments text, OUT has_values text, OUT columns name[])
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(format('%I = NULL', l.column_name), ', ') FILTER (WHERE a.attgenerated = ''),
           string_agg(format('t.%I IS NOT NULL', l.column_name), ' OR '),
           array_agg(l.column_name ORDER BY l.attribute_id)
    FROM strata._logged_columns(audited) l JOIN pg_attribute a ON a.attrelid = audited.relation AND a.attnum = l.attnum
    WHERE l.attribute_id = ANY (audited.erasable)
$$;
REVOKE ALL ON FUNCTION strata._erasable_parts(strata._audited_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._erasable_parts(strata._audited_tables) IS 'The erasable columns of a table, as the parts of an UPDATE that empties them; NULL if there are none.';

-- The batches a key came in with: their checksums are hashes of the values without a salt.
CREATE FUNCTION strata._erase_checksums(audited strata._audited_tables, key_condition text, old_condition text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table_id int := (SELECT t.table_id FROM strata._event_tables t WHERE t.relation = audited.relation);
BEGIN
    IF event_table_id IS NOT NULL AND EXISTS (SELECT FROM strata._batch_checksums c WHERE c.table_id = event_table_id) THEN
        EXECUTE format('DELETE FROM strata._batch_checksums c WHERE c.table_id = $1 AND c.batch_id IN (SELECT t.batch_id FROM %s t WHERE %s UNION SELECT h.batch_id FROM %s h WHERE %s)',
            audited.relation, key_condition, audited.history, old_condition) USING event_table_id;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._erase_checksums(strata._audited_tables, text, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._erase_checksums(strata._audited_tables, text, text) IS 'Deletes the checksums of the batches that have a key, if the table is an event table.';

-- Whether a record names a key. In JSON (one document, or one a line) by members of the names of the key's columns, wherever
-- they are, whatever their case and underscores; where there is no member of the name, by any value. Elsewhere by the text of
-- the key, standing by itself. NULL if the record is compressed and was not looked into.
CREATE FUNCTION strata._names_key(record bytea, columns text[], key_values text[]) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    document jsonb := strata._as_json(record);
    found_member boolean;
    place int;
BEGIN
    IF document IS NULL AND (record IS NULL OR substr(record, 1, 4) IN ('\x28b52ffd', '\x04224d18') OR substr(record, 1, 2) IN ('\x1f8b', '\x7801', '\x785e', '\x789c', '\x78da')) THEN
        RETURN NULL;
    END IF;
    FOR place IN 1 .. cardinality(columns) LOOP
        IF document IS NULL THEN
            IF encode(record, 'escape') !~ ('(^|[^[:alnum:]_])' || regexp_replace(encode(convert_to(key_values[place], 'UTF8'), 'escape'), '([^[:alnum:]_])', '\\\1', 'g') || '($|[^[:alnum:]_])') THEN
                RETURN false;
            END IF;
            CONTINUE;
        END IF;
        SELECT bool_or(m.value #>> '{}' = key_values[place]) INTO found_member
        FROM jsonb_path_query(document, 'strict $.** ? (@.type() == "object")') o CROSS JOIN LATERAL jsonb_each(o) m
        WHERE lower(translate(m.key, '_-', '')) = lower(translate(columns[place], '_-', ''));
        IF NOT coalesce(found_member, EXISTS (SELECT FROM jsonb_path_query(document, 'strict $.**') v WHERE jsonb_typeof(v) IN ('string', 'number') AND v #>> '{}' = key_values[place])) THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END
$$;
REVOKE ALL ON FUNCTION strata._names_key(bytea, text[], text[]) FROM PUBLIC;
COMMENT ON FUNCTION strata._names_key(bytea, text[], text[]) IS 'Whether the record of a dead letter names a key; NULL for a compressed one.';

CREATE FUNCTION strata._as_json(record bytea) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    line text;
BEGIN
    line := convert_from(record, 'UTF8');
    BEGIN
        RETURN line::jsonb;
    EXCEPTION WHEN invalid_text_representation OR untranslatable_character OR statement_too_complex THEN
        RETURN ('[' || replace(rtrim(line, E' \r\n'), E'\n', ',') || ']')::jsonb;
    END;
EXCEPTION WHEN invalid_text_representation OR untranslatable_character OR character_not_in_repertoire OR statement_too_complex THEN
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION strata._as_json(bytea) FROM PUBLIC;
COMMENT ON FUNCTION strata._as_json(bytea) IS 'A record that is one JSON document, or one a line; NULL if it is none.';

CREATE FUNCTION strata._erase_dead_letters(audited strata._audited_tables, key_of_row jsonb, OUT erased bigint, OUT unread bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ingest_id int := coalesce((SELECT t.table_id FROM strata._target_tables t WHERE t.relation = audited.relation),
                              (SELECT t.table_id FROM strata._event_tables t WHERE t.relation = audited.relation));
    columns text[];
    key_values text[];
BEGIN
    erased := 0;
    unread := 0;
    -- times are written in many ways, so that they find nothing
    SELECT array_agg(l.column_name::text), array_agg(key_of_row ->> l.column_name::text) INTO columns, key_values
    FROM strata._logged_columns(audited) l JOIN pg_type t ON t.oid = strata._base_type(l.type_oid)
    WHERE l.attribute_id = ANY (audited.key_ids) AND t.typcategory NOT IN ('D', 'T');
    IF ingest_id IS NULL OR columns IS NULL THEN
        RETURN;
    END IF;
    WITH records AS MATERIALIZED (
        SELECT d.batch_id, d.stream, d.shard, d.sequence_number, strata._names_key(strata._unpacked(d.payload, d.payload_bytes), columns, key_values) AS names_key
        FROM strata._dead_letters d WHERE d.table_id = ingest_id AND d.payload_bytes > 0
    ), gone AS (
        DELETE FROM strata._dead_letters d USING records r
        WHERE r.names_key AND d.table_id = ingest_id AND d.batch_id = r.batch_id AND d.stream = r.stream AND d.shard = r.shard AND d.sequence_number = r.sequence_number
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM records r WHERE r.names_key IS NULL) INTO erased, unread;
END
$$;
REVOKE ALL ON FUNCTION strata._erase_dead_letters(strata._audited_tables, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION strata._erase_dead_letters(strata._audited_tables, jsonb) IS
'Deletes the dead letters of a table whose record names a key, with all of the same record; returns how many, and how many records are compressed and were not looked into.';

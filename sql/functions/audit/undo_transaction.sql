-- Promise: rows that a transaction changed are as they were before it, in all audited tables, or nothing is changed.
CREATE FUNCTION strata.undo_transaction(xid xid8, force boolean DEFAULT false) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    context text := current_setting('strata.audit_context', true);
    touched bigint;
BEGIN
    PERFORM strata._flush_audit();
    PERFORM strata._check_undoable(xid, force);
    PERFORM set_config('strata.audit_context', (coalesce(nullif(context, ''), '{}')::jsonb || jsonb_build_object('undone', xid::text))::text, true);
    BEGIN
        touched := strata._undo(xid, ARRAY['insert', 'update', 'unlink', 'delete']);
    EXCEPTION WHEN unique_violation THEN
        -- what the transaction inserted is in the way of what it deleted
        touched := strata._undo(xid, ARRAY['unlink', 'delete', 'update', 'insert', 'update']);
    END;
    PERFORM set_config('strata.audit_context', coalesce(context, ''), true);
    RETURN touched;
END
$$;
COMMENT ON FUNCTION strata.undo_transaction(xid8, boolean) IS
'Undoes what one transaction (xid of strata.audit_log or row_history) did to audited tables, by INSERT, UPDATE and DELETE with the caller''s rights: referenced tables first where rows come back, last where rows go; where foreign keys go round in a circle they are NULL meanwhile, or checked at the end of the transaction if they are deferrable. Logged like any change, with undone in its context, and undone by the same function. Refuses if a row was changed again since, which force undoes as well. What strata.erase has destroyed does not come back: it is NULL, which a NOTICE says. Returns the number of rows changed. Errors: ST015 if rows were changed again, or the transaction changed no audited table, ST016 if what it did may have been pruned, 42501, and whatever constraints say.';

CREATE FUNCTION strata._undo(xid xid8, steps text[]) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    step text;
    changed record;
    parts record;
    touched bigint;
    total bigint := 0;
BEGIN
    IF EXISTS (SELECT FROM strata._undo_tables(xid) u WHERE u.links IS NOT NULL) THEN
        SET CONSTRAINTS ALL DEFERRED;
    END IF;
    FOREACH step IN ARRAY steps LOOP
        FOR changed IN SELECT u.* FROM strata._undo_tables(xid) u ORDER BY CASE WHEN step = 'delete' THEN - u.depth ELSE u.depth END LOOP
            PERFORM strata._check_history_reader(changed.relation);
            SELECT p.* INTO parts FROM strata._restore_parts(changed.relation, NULL, changed.query) p;
            IF step = steps[1] THEN
                PERFORM strata._note_erased(changed.relation, parts.erased || format(' AND h.strata_xid = %L', xid));
            END IF;
            CASE step
                WHEN 'unlink' THEN
                    CONTINUE WHEN coalesce(changed.links, '{}') = '{}';
                    EXECUTE format('UPDATE %s t SET %s WHERE %s AND NOT EXISTS (SELECT FROM (%s) o WHERE %s)', changed.relation,
                        (SELECT string_agg(format('%I = NULL', k), ', ') FROM unnest(changed.links) k), changed.was_born, parts.query, parts.same_key) USING xid;
                WHEN 'delete' THEN
                    EXECUTE format('DELETE FROM %s t WHERE %s AND NOT EXISTS (SELECT FROM (%s) o WHERE %s)',
                        changed.relation, changed.was_born, parts.query, parts.same_key) USING xid;
                WHEN 'update' THEN
                    CONTINUE WHEN parts.assignments IS NULL;
                    EXECUTE format('UPDATE %s t SET %s FROM (%s) o WHERE %s AND (%s) IS DISTINCT FROM (%s)',
                        changed.relation, parts.assignments, parts.query, parts.same_key, parts.current_values, parts.old_values) USING xid;
                ELSE
                    EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM (%s) o WHERE NOT EXISTS (SELECT FROM %1$s t WHERE %5$s)',
                        changed.relation, parts.columns, CASE WHEN changed.links IS NULL THEN parts.selected ELSE
                            (SELECT string_agg(CASE WHEN c = ANY (SELECT format('o.%I', k) FROM unnest(changed.links) k) THEN 'NULL' ELSE c END, ', ') FROM unnest(parts.selected_columns) c) END,
                        parts.query, parts.same_key) USING xid;
            END CASE;
            GET DIAGNOSTICS touched = ROW_COUNT;
            total := total + touched;
        END LOOP;
    END LOOP;
    RETURN total;
END
$$;
COMMENT ON FUNCTION strata._undo(xid8, text[]) IS 'Brings rows that a transaction changed back, in the order of these steps, with the caller''s rights.';

-- Rows as the transaction found them, unless the first that it did to a key was to insert it.
CREATE FUNCTION strata._undo_tables(xid xid8, OUT relation regclass, OUT depth int, OUT query text, OUT was_born text, OUT links name[]) RETURNS SETOF record
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    -- permit: none needed, it names columns that every catalog shows
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables;
    changed record;
    key_columns text;
    key_is_integer boolean;
    this_system bigint := (SELECT c.system_identifier FROM pg_control_system() c);
BEGIN
    FOR changed IN
        SELECT c.audit_id, min(c.chunk_id) AS first_chunk, max(c.chunk_id) AS last_chunk FROM strata._audit_chunks c JOIN strata._audited_tables a ON a.audit_id = c.audit_id
        WHERE c.xid = _undo_tables.xid AND c.system_identifier = this_system AND a.disabled_at IS NULL GROUP BY c.audit_id
    LOOP
        SELECT a.* INTO audited FROM strata._audited_tables a WHERE a.audit_id = changed.audit_id;
        relation := audited.relation;
        SELECT string_agg(format('%s.%I', '%1$s', l.column_name), ', ' ORDER BY l.attribute_id), count(*) = 1 AND bool_and(l.type_oid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype))
        INTO key_columns, key_is_integer
        FROM strata._logged_columns(audited) l WHERE l.attribute_id = ANY (audited.key_ids);
        -- (the bounds are for the index over chunks)
        query := format('SELECT %s FROM (SELECT DISTINCT ON (%s) f.* FROM %s f WHERE f.strata_xid = $1 AND f.strata_chunk BETWEEN %6$s AND %7$s ORDER BY %2$s, f.strata_chunk) h '
                'LEFT JOIN strata._births_of(%4$L::regclass, $1) b ON b.key_hash = strata._key_hash(%4$L::regclass, %5$s) AND b.chunk_id < h.strata_chunk WHERE b.key_hash IS NULL',
            strata._old_columns(audited), format(key_columns, 'f'), audited.history, relation, format(key_columns, 'h'), changed.first_chunk, changed.last_chunk);
        -- (an integer is its own hash, and found by the index)
        was_born := format('%s IN (SELECT b.key_hash FROM strata._births_of(%L::regclass, $1) b)',
            CASE WHEN key_is_integer THEN format(key_columns, 't') ELSE format('strata._key_hash(%L::regclass, %s)', relation, format(key_columns, 't')) END, relation);
        links := strata._circular_links(relation);
        WITH RECURSIVE above AS (
            SELECT k.confrelid AS relid, 1 AS steps FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = audited.relation AND k.confrelid <> k.conrelid
            UNION
            SELECT k.confrelid, a.steps + 1 FROM above a JOIN pg_constraint k ON k.contype = 'f' AND k.conrelid = a.relid AND k.confrelid <> k.conrelid WHERE a.steps < 20
        )
        SELECT coalesce(max(a.steps), 0) INTO depth FROM above a;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION strata._undo_tables(xid8) IS
'The audited tables a transaction changed, with how many foreign keys lie above each, the query of the rows as the transaction ($1) found them, the condition that it inserted the row t, and the columns by which its rows refer to rows that refer back.';

-- Tables that refer to each other cannot be filled, or emptied, one after the other.
CREATE FUNCTION strata._circular_links(relation regclass) RETURNS name[]
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE below AS (
        SELECT k.oid AS link, k.confrelid AS relid FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = relation AND k.confrelid <> k.conrelid
        UNION
        SELECT b.link, k.confrelid FROM below b JOIN pg_constraint k ON k.contype = 'f' AND k.conrelid = b.relid AND b.relid <> relation
    )
    SELECT CASE WHEN count(*) > 0 THEN coalesce(array_agg(DISTINCT a.attname) FILTER (WHERE NOT a.attnotnull AND a.attgenerated = ''), '{}') END
    FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
    WHERE k.oid IN (SELECT b.link FROM below b WHERE b.relid = relation)
$$;
COMMENT ON FUNCTION strata._circular_links(regclass) IS 'Columns that take NULL of foreign keys of a table to tables that refer back to it, directly or not; NULL if there are no such keys.';

CREATE FUNCTION strata._check_undoable(xid xid8, force boolean) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    -- permit: none needed, it reads no rows
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_system bigint := (SELECT c.system_identifier FROM pg_control_system() c);
    again record;
BEGIN
    IF NOT EXISTS (SELECT FROM strata._audit_chunks c JOIN strata._audited_tables a ON a.audit_id = c.audit_id
                   WHERE c.xid = _check_undoable.xid AND c.system_identifier = this_system AND a.disabled_at IS NULL AND c.added_count + c.removed_count > 0)
    THEN
        RAISE EXCEPTION USING ERRCODE = 'ST015',
            MESSAGE = format('transaction %s changed no audited table', xid),
            DETAIL = 'The log has no rows of it, or no longer, or is of another cluster.',
            HINT = 'strata.audit_log shows which transaction did what.';
    END IF;
    SELECT a.relation, h.pruned_until INTO again FROM strata._audit_horizons h JOIN strata._audited_tables a ON a.audit_id = h.audit_id
    WHERE h.pruned_xid >= _check_undoable.xid AND h.system_identifier = this_system LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'ST016',
            MESSAGE = format('transaction %s cannot be undone any more', xid),
            DETAIL = format('What it did may have been pruned from the log of %s, which begins at %s.', again.relation, again.pruned_until),
            HINT = 'Bring rows back by hand from what strata.row_history still has.';
    END IF;
    IF force THEN
        RETURN;
    END IF;
    WITH mine AS MATERIALIZED (
        SELECT c.audit_id, k.key_hash, max(c.chunk_id) AS last_chunk
        FROM strata._audit_chunks c CROSS JOIN LATERAL (SELECT e.k FROM strata._entry_keys(c.added) e (k) UNION ALL SELECT e.k FROM strata._entry_keys(c.removed) e (k)) k (key_hash)
        WHERE c.xid = _check_undoable.xid AND c.system_identifier = this_system GROUP BY 1, 2
    ), wanted AS MATERIALIZED (
        SELECT m.audit_id, array_agg(m.key_hash ORDER BY m.key_hash) AS keys, min(m.last_chunk) AS first_chunk FROM mine m GROUP BY m.audit_id
    )
    SELECT a.relation, count(DISTINCT m.key_hash) AS rows, min(o.xid::text::bigint) AS first_xid INTO again
    FROM wanted w JOIN strata._audited_tables a ON a.audit_id = w.audit_id
    JOIN strata._audit_chunks o ON o.audit_id = w.audit_id AND o.chunk_id > w.first_chunk
    CROSS JOIN LATERAL (SELECT e.k FROM strata._keys_among(o.added, w.keys) e (k) UNION SELECT e.k FROM strata._keys_among(o.removed, w.keys) e (k)) k (key_hash)
    JOIN mine m ON m.audit_id = o.audit_id AND m.key_hash = k.key_hash AND o.chunk_id > m.last_chunk
    WHERE o.operation NOT IN ('baseline', 'baseline_more', 'state_rows') AND (o.xid <> _check_undoable.xid OR o.system_identifier <> this_system)
    GROUP BY a.relation LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'ST015',
            MESSAGE = format('transaction %s cannot be undone alone', xid),
            DETAIL = format('%s of its rows in %s were changed again, first by transaction %s.', again.rows, again.relation, again.first_xid),
            HINT = format('Undo that one first, or undo later changes of these rows as well: SELECT strata.undo_transaction(%L, force => true);', xid);
    END IF;
END
$$;
COMMENT ON FUNCTION strata._check_undoable(xid8, boolean) IS 'Checks that a transaction is in the log and that nothing it did was changed again (ST015), or pruned (ST016).';

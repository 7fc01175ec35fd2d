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
        touched := strata._undo(xid, ARRAY['insert', 'update', 'delete']);
    EXCEPTION WHEN unique_violation THEN
        -- what the transaction inserted is in the way of what it deleted
        touched := strata._undo(xid, ARRAY['delete', 'update', 'insert']);
    END;
    PERFORM set_config('strata.audit_context', coalesce(context, ''), true);
    RETURN touched;
END
$$;
COMMENT ON FUNCTION strata.undo_transaction(xid8, boolean) IS
'Undoes what one transaction (xid of strata.audit_log or row_history) did to audited tables, by INSERT, UPDATE and DELETE with the caller''s rights: referenced tables first where rows come back, last where rows go. Logged like any change, with undone in its context, and undone by the same function. Refuses if a row was changed again since, which force undoes as well. What strata.erase has destroyed does not come back: it is NULL, which a NOTICE says. Returns the number of rows changed. Errors: ST015 if rows were changed again, or the transaction changed no audited table, ST016 if what it did may have been pruned, 42501, and whatever constraints say.';

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
    FOREACH step IN ARRAY steps LOOP
        FOR changed IN SELECT u.* FROM strata._undo_tables(xid) u ORDER BY CASE WHEN step = 'delete' THEN - u.depth ELSE u.depth END LOOP
            PERFORM strata._check_history_reader(changed.relation);
            SELECT p.* INTO parts FROM strata._restore_parts(changed.relation, NULL, changed.query) p;
            IF step = steps[1] THEN
                PERFORM strata._note_erased(changed.relation, parts.erased || format(' AND h.strata_xid = %L', xid));
            END IF;
            CASE step
                WHEN 'delete' THEN
                    EXECUTE format('DELETE FROM %s t WHERE %s IN (SELECT b.key_hash FROM strata._undo_births(%L::regclass, $1) b) AND NOT EXISTS (SELECT FROM (%s) o WHERE %s)',
                        changed.relation, changed.key_hash, changed.relation, parts.query, parts.same_key) USING xid;
                WHEN 'update' THEN
                    CONTINUE WHEN parts.assignments IS NULL;
                    EXECUTE format('UPDATE %s t SET %s FROM (%s) o WHERE %s AND (%s) IS DISTINCT FROM (%s)',
                        changed.relation, parts.assignments, parts.query, parts.same_key, parts.current_values, parts.old_values) USING xid;
                ELSE
                    EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM (%s) o WHERE NOT EXISTS (SELECT FROM %1$s t WHERE %5$s)',
                        changed.relation, parts.columns, parts.selected, parts.query, parts.same_key) USING xid;
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
CREATE FUNCTION strata._undo_tables(xid xid8, OUT relation regclass, OUT depth int, OUT query text, OUT key_hash text) RETURNS SETOF record
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    -- permit: none needed, it names columns that every catalog shows
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables;
    key_columns text;
    this_system bigint := (SELECT c.system_identifier FROM pg_control_system() c);
BEGIN
    FOR audited IN
        SELECT a.* FROM strata._audited_tables a WHERE a.disabled_at IS NULL AND EXISTS (
            SELECT FROM strata._audit_chunks c WHERE c.audit_id = a.audit_id AND c.xid = _undo_tables.xid AND c.system_identifier = this_system)
    LOOP
        relation := audited.relation;
        SELECT string_agg(format('%s.%I', '%1$s', l.column_name), ', ' ORDER BY l.attribute_id) INTO key_columns
        FROM strata._logged_columns(audited) l WHERE l.attribute_id = ANY (audited.key_ids);
        query := format('SELECT %s FROM (SELECT DISTINCT ON (%s) f.* FROM %s f WHERE f.strata_xid = $1 ORDER BY %2$s, f.strata_chunk) h '
                'LEFT JOIN strata._undo_births(%4$L::regclass, $1) b ON b.key_hash = strata._key_hash(%4$L::regclass, %5$s) AND b.chunk_id < h.strata_chunk WHERE b.key_hash IS NULL',
            strata._old_columns(audited), format(key_columns, 'f'), audited.history, relation, format(key_columns, 'h'));
        key_hash := format('strata._key_hash(%L::regclass, %s)', relation, format(key_columns, 't'));
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
'The audited tables a transaction changed, with how many foreign keys lie above each, the query of the rows as the transaction ($1) found them, and the hash of a row''s key.';

CREATE FUNCTION strata._undo_births(relation regclass, xid xid8, OUT key_hash bigint, OUT chunk_id bigint) RETURNS SETOF record
    LANGUAGE sql STABLE SECURITY DEFINER
    -- permit: none needed, it returns nothing but hashes of keys, to whoever may read the table
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.key_hash, min(c.chunk_id)
    FROM strata._audited_tables a JOIN strata._audit_chunks c ON c.audit_id = a.audit_id
    CROSS JOIN LATERAL strata._entry_keys(c.added) k (key_hash)
    WHERE a.relation = _undo_births.relation AND a.disabled_at IS NULL AND c.operation = 'insert' AND c.xid = _undo_births.xid
      AND c.system_identifier = (SELECT s.system_identifier FROM pg_control_system() s)
    GROUP BY k.key_hash
$$;
COMMENT ON FUNCTION strata._undo_births(regclass, xid8) IS 'Keys of rows that a transaction inserted into an audited table, and the first of its chunks that did.';

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
    WITH mine AS (
        SELECT c.audit_id, k.key_hash, max(c.chunk_id) AS last_chunk
        FROM strata._audit_chunks c CROSS JOIN LATERAL (SELECT e.k FROM strata._entry_keys(c.added) e (k) UNION SELECT e.k FROM strata._entry_keys(c.removed) e (k)) k (key_hash)
        WHERE c.xid = _check_undoable.xid AND c.system_identifier = this_system GROUP BY 1, 2
    )
    SELECT a.relation, count(*) AS rows, min(o.xid::text::bigint) AS first_xid INTO again
    FROM strata._audit_chunks o JOIN strata._audited_tables a ON a.audit_id = o.audit_id
    CROSS JOIN LATERAL (SELECT e.k FROM strata._entry_keys(o.added) e (k) UNION SELECT e.k FROM strata._entry_keys(o.removed) e (k)) k (key_hash)
    JOIN mine m ON m.audit_id = o.audit_id AND m.key_hash = k.key_hash AND o.chunk_id > m.last_chunk
    WHERE o.operation NOT IN ('baseline', 'baseline_more', 'state_rows') AND (o.xid <> _check_undoable.xid OR o.system_identifier <> this_system)
      AND o.chunk_id > (SELECT min(c.chunk_id) FROM strata._audit_chunks c WHERE c.xid = _check_undoable.xid AND c.system_identifier = this_system)
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

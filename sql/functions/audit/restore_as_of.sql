-- Promise: the table, or one row of it, is again as it was; what it was meanwhile stays in history, so that this can be undone too.
CREATE FUNCTION strata.restore_as_of(relation regclass, at timestamptz, key text DEFAULT NULL) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts record;
    context text := current_setting('strata.audit_context', true);
    total bigint;
BEGIN
    PERFORM strata._check_history_reader(relation);
    PERFORM strata._flush_audit();
    SELECT p.* INTO parts FROM strata._restore_parts(relation, key, NULL) p;
    PERFORM set_config('strata.audit_context', (coalesce(nullif(context, ''), '{}')::jsonb || jsonb_build_object('restored_as_of', at))::text, true);
    BEGIN
        total := strata._restore(relation, at, key, ARRAY['delete', 'update', 'insert']);
    EXCEPTION WHEN foreign_key_violation THEN
        -- rows that go are referred to by rows of the same table
        total := strata._restore(relation, at, key, ARRAY['insert', 'update', 'delete']);
    END;
    PERFORM set_config('strata.audit_context', coalesce(context, ''), true);
    PERFORM strata._note_erased(relation, parts.erased || format(' AND h.strata_changed_at > %L AND %s', at, parts.history_condition));
    IF key IS NULL THEN
        PERFORM strata._prove_restored(strata._authorize(relation, 'HISTORY'), at);
    END IF;
    RETURN total;
END
$$;
COMMENT ON FUNCTION strata.restore_as_of(regclass, timestamptz, text) IS
'Makes an audited table have the rows it had at a time, or the row of one key (text of a key of one column, or a jsonb object), by DELETE, UPDATE and INSERT with the caller''s rights. They are logged like all others, with restored_as_of in their context, and can be undone like them. Columns that are not logged keep their values, and get their defaults in rows that come back. The whole table is compared with the log of the time by hash, which a NOTICE reports; a WARNING if columns have changed, or partitions have expired, so that it cannot be the same. What strata.erase has destroyed does not come back: it is NULL, which a NOTICE says. Returns the number of rows changed. Errors: ST012 if the table is not audited, ST016 for a time before it was audited or before which its log has been pruned, 42501, and whatever constraints say.';

CREATE FUNCTION strata._restore(relation regclass, at timestamptz, key text, steps text[]) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts record;
    step text;
    touched bigint;
    total bigint := 0;
BEGIN
    SELECT p.* INTO parts FROM strata._restore_parts(relation, key, NULL) p;
    -- (none of these changes what the rows were at that time)
    FOREACH step IN ARRAY steps LOOP
        CASE step
            WHEN 'delete' THEN
                EXECUTE format('DELETE FROM %s t WHERE %s AND NOT EXISTS (SELECT FROM (%s) o WHERE %s)', relation, parts.condition, parts.query, parts.same_key) USING at;
            WHEN 'update' THEN
                CONTINUE WHEN parts.assignments IS NULL;
                EXECUTE format('UPDATE %s t SET %s FROM (%s) o WHERE %s AND %s AND (%s) IS DISTINCT FROM (%s)',
                    relation, parts.assignments, parts.query, parts.same_key, parts.condition, parts.current_values, parts.old_values) USING at;
            ELSE
                EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM (%s) o WHERE %s AND NOT EXISTS (SELECT FROM %1$s t WHERE %6$s)',
                    relation, parts.columns, parts.selected, parts.query, parts.old_condition, parts.same_key) USING at;
        END CASE;
        GET DIAGNOSTICS touched = ROW_COUNT;
        total := total + touched;
        PERFORM strata._flush_audit();
    END LOOP;
    RETURN total;
END
$$;
COMMENT ON FUNCTION strata._restore(regclass, timestamptz, text, text[]) IS 'Brings rows of an audited table back, in the order of these steps, with the caller''s rights.';

CREATE FUNCTION strata._restore_parts(
    relation regclass, key text, source text,
    OUT query text, OUT condition text, OUT old_condition text, OUT same_key text, OUT assignments text, OUT current_values text, OUT old_values text, OUT columns text, OUT selected text,
    OUT erased text, OUT history_condition text, OUT selected_columns text[]
)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    -- permit: none needed, it names columns that every catalog shows
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables := strata._audited_table(relation);
BEGIN
    query := format('SELECT q.* FROM (%s) q (%s)', coalesce(source, strata._as_of_query(relation)), (
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped));
    condition := CASE WHEN key IS NULL THEN 'true' ELSE strata._key_condition(relation, key, 't') END;
    old_condition := CASE WHEN key IS NULL THEN 'true' ELSE strata._key_condition(relation, key, 'o') END;
    history_condition := CASE WHEN key IS NULL THEN 'true' ELSE strata._key_condition(relation, key, 'h') END;
    IF audited.erasable <> '{}' THEN
        erased := format('SELECT count(*) FROM %s h WHERE h.strata_erased IS NOT NULL', audited.history);
    END IF;
    SELECT string_agg(format('t.%1$I = o.%1$I', l.column_name), ' AND ') FILTER (WHERE l.attribute_id = ANY (audited.key_ids)),
           string_agg(format('%1$I = o.%1$I', l.column_name), ', ') FILTER (WHERE w.writable),
           string_agg(format('t.%I', l.column_name), ', ') FILTER (WHERE w.writable),
           string_agg(format('o.%I', l.column_name), ', ') FILTER (WHERE w.writable),
           string_agg(quote_ident(l.column_name), ', ') FILTER (WHERE a.attgenerated = ''),
           string_agg(format('o.%I', l.column_name), ', ') FILTER (WHERE a.attgenerated = ''),
           array_agg(format('o.%I', l.column_name)) FILTER (WHERE a.attgenerated = '')
    INTO same_key, assignments, current_values, old_values, columns, selected, selected_columns
    FROM strata._logged_columns(audited) l
    JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = l.attnum
    CROSS JOIN LATERAL (SELECT a.attgenerated = '' AND NOT l.attribute_id = ANY (audited.key_ids) AS writable) w;
END
$$;
COMMENT ON FUNCTION strata._restore_parts(regclass, text, text) IS 'The parts of the statements that bring the rows of an audited table back.';

CREATE FUNCTION strata._prove_restored(relation regclass, at timestamptz) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables;
BEGIN
    PERFORM strata._authorized(relation, 'HISTORY');
    audited := strata._audited_table(relation);
    IF strata._audit_equal(strata._audit_scan(relation), strata._state_since(audited.audit_id, at, false)) THEN
        RAISE NOTICE 'the rows of % are those its log says it had', relation;
    ELSE
        RAISE WARNING 'the rows of % are not, hash by hash, those its log says it had: columns have been added, dropped or changed their type, values were erased, partitions have expired since, or it was not audited then', relation;
    END IF;
END
$$;
COMMENT ON FUNCTION strata._prove_restored(regclass, timestamptz) IS 'Says whether an audited table has, by hash, the rows that its log says it had at a time.';

CREATE FUNCTION strata._note_erased(relation regclass, counting text) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    erased bigint := 0;
BEGIN
    IF counting IS NOT NULL THEN
        EXECUTE counting INTO erased;
    END IF;
    IF erased > 0 THEN
        RAISE NOTICE 'values of % old versions in % were erased and do not come back: they are NULL', erased, relation;
    END IF;
END
$$;
COMMENT ON FUNCTION strata._note_erased(regclass, text) IS 'Says how many old versions, which a query with the caller''s rights counts, have lost erased values; nothing if there is no query.';

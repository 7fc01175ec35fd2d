-- Promise: every version a row has had since it is audited, in order, with who ended it and what became different.
CREATE FUNCTION strata.row_history(
    relation regclass, key text,
    OUT version jsonb, OUT operation text, OUT changed_at timestamptz, OUT changed jsonb, OUT chunk_id bigint, OUT xid xid8,
    OUT session_role text, OUT role text, OUT application text, OUT context jsonb, OUT erased text[]
) RETURNS SETOF record
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT strata._flush_audit();
    SELECT h.* FROM strata._row_history(strata._authorize(strata._check_history_reader(relation), 'HISTORY'), key) h;
$$;
COMMENT ON FUNCTION strata.row_history(regclass, text) IS
'The versions of a row, oldest first, the last of them the row as it is, if it is. operation (update, delete, truncate), changed_at, xid and who belong to the change that ended the version, and are NULL for the row as it is; changed has the columns that the next version has otherwise, with their values there; erased names columns whose value strata.erase has destroyed, which is NULL in version, and is NULL itself where there are none. A NOTICE says if versions have been pruned. key is the text of a key of one column, or a jsonb object of all of them. Takes SELECT on the table. Errors: ST012 if it is not audited, 22023 for what is no key of it, 42501 also where row security applies to the reader.';

CREATE FUNCTION strata._row_history(
    relation regclass, key text,
    OUT version jsonb, OUT operation text, OUT changed_at timestamptz, OUT changed jsonb, OUT chunk_id bigint, OUT xid xid8,
    OUT session_role text, OUT role text, OUT application text, OUT context jsonb, OUT erased text[]
) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables;
    owner regrole := strata._owner(relation);
BEGIN
    PERFORM strata._authorized(relation, 'HISTORY');
    audited := strata._audited_table(relation);
    IF strata._pruned_until(relation) IS NOT NULL THEN
        RAISE NOTICE 'versions of % that ended before % have been pruned', relation, strata._pruned_until(relation);
    END IF;
    -- (the table may have got another owner)
    IF NOT has_table_privilege(owner, audited.history, 'SELECT') THEN
        EXECUTE format('GRANT SELECT ON %s TO %s WITH GRANT OPTION', audited.history, owner);
    END IF;
    RETURN QUERY
        WITH ordered AS (
            SELECT v.*, lead(v.version) OVER (ORDER BY v.strata_chunk NULLS LAST) AS next
            -- with the owner's rights: types of a table can have casts to json that anybody wrote
            FROM jsonb_to_recordset(strata._execute_as(owner, strata._row_history_query(audited, key))::jsonb)
                AS v (version jsonb, strata_chunk bigint, strata_changed_at timestamptz, strata_xid xid8, strata_operation text, strata_erased int[])
        )
        SELECT o.version, CASE o.strata_operation WHEN 'U' THEN 'update' WHEN 'D' THEN 'delete' WHEN 'T' THEN 'truncate' END, o.strata_changed_at,
               CASE WHEN o.strata_operation = 'U' THEN (SELECT jsonb_object_agg(n.key, n.value) FROM jsonb_each(o.next) n WHERE n.value IS DISTINCT FROM o.version -> n.key) END,
               o.strata_chunk, o.strata_xid, c.session_role, c.role, c.application, c.context::jsonb,
               CASE WHEN o.strata_erased IS NOT NULL THEN ARRAY(SELECT i.attribute_name::text FROM strata._attribute_ids i
                    WHERE i.relation = audited.relation AND i.attribute_id = ANY (o.strata_erased) ORDER BY i.attribute_id) END
        FROM ordered o LEFT JOIN strata._audit_chunks c ON c.chunk_id = o.strata_chunk ORDER BY o.strata_chunk NULLS LAST;
END
$$;
COMMENT ON FUNCTION strata._row_history(regclass, text) IS 'The reading half of row_history.';

CREATE FUNCTION strata._row_history_query(audited strata._audited_tables, key text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format($query$
        SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(v)), '[]') FROM (
            SELECT pg_catalog.to_jsonb(h) OPERATOR(pg_catalog.-) '{strata_chunk,strata_changed_at,strata_xid,strata_operation,strata_made,strata_erased}'::text[] AS version,
                   h.strata_chunk, h.strata_changed_at, h.strata_xid::text, h.strata_operation, %6$s AS strata_erased
            FROM %1$s h WHERE %2$s
            UNION ALL
            SELECT pg_catalog.to_jsonb(t) OPERATOR(pg_catalog.-) %4$L::text[], NULL, NULL, NULL, NULL, NULL FROM %3$s t WHERE %5$s) v$query$,
        audited.history, strata._key_condition(audited.relation, key, 'h'), audited.relation,
        ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = audited.relation AND a.attnum > 0 AND NOT a.attisdropped
              AND a.attnum NOT IN (SELECT l.attnum FROM strata._logged_columns(audited) l)),
        strata._key_condition(audited.relation, key, 't'),
        CASE WHEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = audited.history AND a.attname = 'strata_erased' AND NOT a.attisdropped)
             THEN 'strata._erased_ids(h.strata_erased)' ELSE 'NULL::int[]' END)
$$;
REVOKE ALL ON FUNCTION strata._row_history_query(strata._audited_tables, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._row_history_query(strata._audited_tables, text) IS 'The query of all versions of a key, as one jsonb array.';

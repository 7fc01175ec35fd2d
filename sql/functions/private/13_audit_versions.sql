-- Which rows an audited table had, from the rows it has, its history, and the keys that came meanwhile.

-- The first thing that happened to a key since then tells: an UPDATE or DELETE has left the version of the time in history, an
-- INSERT says that there was none, and nothing that the row is as it was.
CREATE FUNCTION strata._as_of_query(relation regclass) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    -- permit: none needed, it names columns that every catalog shows
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables := strata._audited_table(relation);
    current_columns text;
    old_columns text;
    same_key text;
    key_columns text;
BEGIN
    -- a column that is not logged was not kept
    SELECT string_agg(CASE WHEN l.attribute_id IS NULL THEN format('(NULL::%s).%I', audited.relation, a.attname) ELSE format('t.%I', a.attname) END, ', ' ORDER BY a.attnum)
    INTO current_columns
    FROM pg_attribute a LEFT JOIN strata._logged_columns(audited) l ON l.attnum = a.attnum
    WHERE a.attrelid = audited.relation AND a.attnum > 0 AND NOT a.attisdropped;
    old_columns := strata._old_columns(audited);
    -- (it runs with the reader's search_path, so that every name in it is whole; _came_since, which may read the log, refers to e so
    -- that it is asked of the rows that are left)
    SELECT string_agg(format('e.%1$I OPERATOR(pg_catalog.=) %2$s.%1$I', l.column_name, '%1$s'), ' AND ' ORDER BY l.attribute_id), string_agg(format('%2$s.%1$I', l.column_name, '%1$s'), ', ' ORDER BY l.attribute_id)
    INTO same_key, key_columns
    FROM strata._logged_columns(audited) l WHERE l.attribute_id = ANY (audited.key_ids);
    RETURN format($query$
SELECT %1$s FROM %3$s t LEFT JOIN %4$s e ON %5$s AND e.strata_changed_at OPERATOR(pg_catalog.>) $1
WHERE e.strata_chunk IS NULL AND strata._is_kept(%7$L::pg_catalog.regclass, $1)
  AND NOT strata._came_since(%7$L::pg_catalog.regclass, $1, t.xmin, e.strata_chunk, %8$s)
UNION ALL
SELECT %2$s FROM %4$s h LEFT JOIN %4$s e ON %6$s AND e.strata_changed_at OPERATOR(pg_catalog.>) $1 AND e.strata_chunk OPERATOR(pg_catalog.<) h.strata_chunk
WHERE e.strata_chunk IS NULL AND h.strata_changed_at OPERATOR(pg_catalog.>) $1 AND strata._is_kept(%7$L::pg_catalog.regclass, $1)
  AND NOT strata._came_since(%7$L::pg_catalog.regclass, $1, h.strata_made, coalesce(e.strata_chunk, h.strata_chunk), %9$s)$query$,
        current_columns, old_columns, relation, audited.history, format(same_key, 't'), format(same_key, 'h'), relation, format(key_columns, 't'), format(key_columns, 'h'));
END
$$;
COMMENT ON FUNCTION strata._as_of_query(regclass) IS 'The query that returns the rows an audited table had at $1.';

CREATE FUNCTION strata._old_columns(audited strata._audited_tables) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(CASE WHEN h.attname IS NULL THEN format('(NULL::%s).%I', audited.relation, a.attname)
                           WHEN h.atttypid <> a.atttypid THEN format('h.%I::%s', h.attname, format_type(a.atttypid, a.atttypmod))
                           ELSE format('h.%I', h.attname) END, ', ' ORDER BY a.attnum)
    FROM pg_attribute a
    LEFT JOIN strata._logged_columns(audited) l ON l.attnum = a.attnum
    LEFT JOIN strata._audit_columns c ON c.audit_id = audited.audit_id AND c.attribute_id = l.attribute_id
    LEFT JOIN pg_attribute h ON h.attrelid = audited.history AND h.attname = c.history_column AND NOT h.attisdropped AND (h.atttypid = a.atttypid OR h.atttypid = l.type_oid)
    WHERE a.attrelid = audited.relation AND a.attnum > 0 AND NOT a.attisdropped
$$;
REVOKE ALL ON FUNCTION strata._old_columns(strata._audited_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._old_columns(strata._audited_tables) IS 'The columns of a table as its history h keeps them, NULL where it does not.';

-- A key as people write it: the text of a key of one column, or a jsonb object.
CREATE FUNCTION strata._key_object(relation regclass, key text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables := strata._audited_table(relation);
    columns name[];
    given jsonb;
BEGIN
    SELECT array_agg(l.column_name ORDER BY l.attribute_id) INTO columns
    FROM strata._logged_columns(audited) l WHERE l.attribute_id = ANY (audited.key_ids);
    IF left(ltrim(key), 1) = '{' THEN
        given := key::jsonb;
    ELSIF array_length(columns, 1) = 1 THEN
        given := jsonb_build_object(columns[1], key);
    END IF;
    IF given IS NULL OR (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(given) k) IS DISTINCT FROM (SELECT array_agg(c::text ORDER BY c::text) FROM unnest(columns) c)
    THEN
        RAISE EXCEPTION USING ERRCODE = '22023',
            MESSAGE = format('not a key of %s', relation),
            DETAIL = format('Its key: %s.', (SELECT string_agg(quote_ident(c), ', ') FROM unnest(columns) c)),
            HINT = format('Write it as a jsonb object: ''%s''', (SELECT jsonb_object_agg(c, '…') FROM unnest(columns) c));
    END IF;
    RETURN given;
END
$$;
REVOKE ALL ON FUNCTION strata._key_object(regclass, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._key_object(regclass, text) IS 'A key as an object of the columns of the table''s key; 22023 if it is none of the table.';

CREATE FUNCTION strata._key_condition(relation regclass, key text, alias text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(format('%s.%I = %L::%s', alias, l.column_name, k.given ->> l.column_name::text, l.type_text), ' AND ' ORDER BY l.attribute_id)
    FROM strata._audited_tables a CROSS JOIN strata._key_object(_key_condition.relation, key) k (given) CROSS JOIN strata._logged_columns(a) l
    WHERE a.relation = _key_condition.relation AND l.attribute_id = ANY (a.key_ids)
$$;
REVOKE ALL ON FUNCTION strata._key_condition(regclass, text, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._key_condition(regclass, text, text) IS 'The condition that a row has this key; 22023 if it is none of the table.';

-- Whoever may read the whole of a table may read what it was.
CREATE FUNCTION strata._check_history_reader(relation regclass) RETURNS regclass
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT has_table_privilege(relation, 'SELECT') THEN
        RAISE EXCEPTION USING ERRCODE = '42501',
            MESSAGE = format('permission denied for the history of %s', relation),
            DETAIL = 'It takes the SELECT privilege on the table.',
            HINT = format('Its owner can run: GRANT SELECT ON %s TO <role>;', relation);
    ELSIF row_security_active(relation) THEN
        RAISE EXCEPTION USING ERRCODE = '42501',
            MESSAGE = format('permission denied for the history of %s', relation),
            DETAIL = 'Row security hides rows of the table from you, and the history has no policies.',
            HINT = 'Ask the owner of the table.';
    END IF;
    RETURN relation;
END
$$;
COMMENT ON FUNCTION strata._check_history_reader(regclass) IS 'Checks that the calling role may read all of a table, whatever its policies; 42501 otherwise.';

-- A function of its own for each table: conditions on what it returns reach the indexes. Made anew when columns change. It names
-- columns, not the row type, so that it holds nobody back who drops the table.
CREATE FUNCTION strata._create_as_of_function(relation regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables := strata._audited_table(relation);
    owner regrole := strata._owner(relation);
    function_name text := strata._as_of_function(audited, owner)::oid::regproc::text;
BEGIN
    IF function_name IS NOT NULL THEN
        PERFORM strata._execute_as(owner, format('DROP FUNCTION %s(timestamptz)', function_name));
    ELSE
        function_name := strata._schema(relation) || '.' || quote_ident((
            SELECT strata._with_suffix(c.relname, '_as_of', c.relnamespace) FROM pg_class c WHERE c.oid = relation));
    END IF;
    PERFORM strata._execute_as(owner, format('CREATE FUNCTION %s(at timestamptz) RETURNS TABLE (%s) LANGUAGE sql STABLE AS %L',
        function_name, (SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
                        FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped), strata._as_of_query(relation)));
    PERFORM strata._execute_as(owner, format('COMMENT ON FUNCTION %s(timestamptz) IS %L', function_name, strata._as_of_comment(audited)));
    PERFORM strata._execute_as(owner, format('ALTER FUNCTION %s(timestamptz) DEPENDS ON EXTENSION pg_strata', function_name));
EXCEPTION WHEN insufficient_privilege OR dependent_objects_still_exist OR duplicate_function THEN
    RAISE NOTICE 'the function for rows of % as of a time was not renewed: %', relation, SQLERRM;
END
$$;
REVOKE ALL ON FUNCTION strata._create_as_of_function(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._create_as_of_function(regclass) IS 'Makes or renews <table>_as_of(at), owned by the owner of the table.';

CREATE FUNCTION strata._as_of_comment(audited strata._audited_tables) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT 'pg_strata: rows of audited table ' || audited.table_uuid || ' as of a time' $$;
REVOKE ALL ON FUNCTION strata._as_of_comment(strata._audited_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._as_of_comment(strata._audited_tables) IS 'The comment by which the function <table>_as_of of an audited table is known.';

CREATE FUNCTION strata._as_of_function(audited strata._audited_tables, owner regrole) RETURNS regprocedure
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.oid::regprocedure FROM pg_description d JOIN pg_proc p ON p.oid = d.objoid
    WHERE d.classoid = 'pg_proc'::regclass AND d.description = strata._as_of_comment(audited) AND p.proowner = owner LIMIT 1
$$;
REVOKE ALL ON FUNCTION strata._as_of_function(strata._audited_tables, regrole) FROM PUBLIC;
COMMENT ON FUNCTION strata._as_of_function(strata._audited_tables, regrole) IS 'The function <table>_as_of of an audited table; NULL if there is none of that owner.';

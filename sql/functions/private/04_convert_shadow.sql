-- The partitioned twin of an ordinary table: PostgreSQL cannot partition a table in place. It is made empty, with
-- everything that costs nothing while there are no rows; what names the table waits for the swap.

CREATE FUNCTION strata._make_shadow(relation regclass, time_column name) RETURNS regclass
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(relation);
    shadow_name text := strata._schema(relation) || '.' || (
        SELECT quote_ident(strata._with_suffix(c.relname, '_strata_new', c.relnamespace)) FROM pg_class c WHERE c.oid = relation);
    shadow regclass;
    statement text;
BEGIN
    PERFORM strata._execute_as(owner, format('CREATE TABLE %s (LIKE %s INCLUDING ALL) PARTITION BY RANGE (%I)%s', shadow_name, relation, time_column, (
        SELECT ' TABLESPACE ' || quote_ident(t.spcname) FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE c.oid = relation)));
    shadow := shadow_name::regclass;
    FOR statement IN SELECT strata._shadow_statements(relation, shadow) LOOP
        PERFORM strata._execute_as(owner, statement);
    END LOOP;
    RETURN shadow;
END
$$;
REVOKE ALL ON FUNCTION strata._make_shadow(regclass, name) FROM PUBLIC;
COMMENT ON FUNCTION strata._make_shadow(regclass, name) IS
'Makes an empty table like the given one, partitioned by its time column, readable by its owner alone.';

-- Which index of the twin stands for which: LIKE gives them names of its own.
CREATE FUNCTION strata._twin_indexes(relation regclass, shadow regclass, OUT original regclass, OUT twin regclass) RETURNS SETOF record
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH defined AS (
        SELECT i.indexrelid, i.indrelid, k.contype, k.condeferrable, k.condeferred,
               -- what follows the names
               substr(d.definition, length(format('CREATE %sINDEX %I ON %s%s ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, c.relname,
                   CASE WHEN d.definition LIKE format('CREATE %%INDEX %s ON ONLY %%', replace(replace(replace(quote_ident(c.relname), '\', '\\'), '_', '\_'), '%', '\%')) THEN 'ONLY ' END,
                   i.indrelid::regclass)) + 1) AS body
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x'),
        LATERAL (SELECT pg_get_indexdef(i.indexrelid)) d (definition)
        WHERE i.indrelid IN (relation, shadow)
    ), numbered AS (
        SELECT d.*, row_number() OVER (PARTITION BY d.indrelid, d.body, d.contype, d.condeferrable, d.condeferred ORDER BY d.indexrelid) AS number FROM defined d
    )
    SELECT o.indexrelid::regclass, t.indexrelid::regclass
    FROM numbered o JOIN numbered t USING (body, number)
    WHERE o.indrelid = relation AND t.indrelid = shadow
      AND (o.contype, o.condeferrable, o.condeferred) IS NOT DISTINCT FROM (t.contype, t.condeferrable, t.condeferred)
    ORDER BY o.indexrelid
$$;
COMMENT ON FUNCTION strata._twin_indexes(regclass, regclass) IS 'Indexes of a table with those of its twin.';

CREATE FUNCTION strata._shadow_statements(relation regclass, shadow regclass) RETURNS SETOF text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    -- default privileges would open it to others before it has the table's own
    SELECT DISTINCT format('REVOKE ALL ON %s FROM %s', shadow, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END)
    FROM pg_class c, aclexplode(c.relacl) g WHERE c.oid = shadow AND g.grantee <> c.relowner
    UNION ALL
    SELECT format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', shadow, a.attname, a.attstattarget)
    FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget >= 0
    UNION ALL
    SELECT format('ALTER TABLE %s ALTER COLUMN %I SET (%s)', shadow, a.attname, strata._option_list(a.attoptions))
    FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attoptions IS NOT NULL
    UNION ALL
    SELECT format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s', t.twin, a.attnum, a.attstattarget)
    FROM strata._twin_indexes(relation, shadow) t JOIN pg_attribute a ON a.attrelid = t.original AND a.attstattarget >= 0
    UNION ALL
    SELECT strata._replica_identity_statement(shadow, c.relreplident, (
        SELECT t.twin FROM strata._twin_indexes(relation, shadow) t JOIN pg_index i ON i.indexrelid = t.original AND i.indisreplident))
    FROM pg_class c WHERE c.oid = relation AND c.relreplident <> 'd'
    UNION ALL
    SELECT * FROM (
        SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', shadow, k.conname, pg_get_constraintdef(k.oid))
        FROM pg_constraint k WHERE k.conrelid = relation AND k.contype = 'f' AND k.confrelid <> relation ORDER BY k.oid) f
$$;
REVOKE ALL ON FUNCTION strata._shadow_statements(regclass, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._shadow_statements(regclass, regclass) IS
'What LIKE leaves out and the twin can have from the start: statistics targets, column options, replica identity, foreign keys.';

CREATE FUNCTION strata._option_list(options text[]) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(format('%s = %L', (
            SELECT string_agg(quote_ident(p.part), '.' ORDER BY p.number)
            FROM unnest(string_to_array(split_part(o.option, '=', 1), '.')) WITH ORDINALITY AS p (part, number)),
        substr(o.option, strpos(o.option, '=') + 1)), ', ' ORDER BY o.number)
    FROM unnest(options) WITH ORDINALITY AS o (option, number)
$$;
COMMENT ON FUNCTION strata._option_list(text[]) IS 'Storage parameters, as the catalog holds them, in the form that SET (…) takes.';

CREATE FUNCTION strata._replica_identity_statement(relation regclass, identity "char", index regclass) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('ALTER TABLE %s REPLICA IDENTITY %s', relation, CASE identity
        WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' WHEN 'd' THEN 'DEFAULT'
        ELSE (SELECT format('USING INDEX %I', c.relname) FROM pg_class c WHERE c.oid = index) END)
$$;
COMMENT ON FUNCTION strata._replica_identity_statement(regclass, "char", regclass) IS 'The statement that sets a replica identity.';

-- The storage parameters of a table and, with the prefix toast., of its TOAST table.
CREATE FUNCTION strata._storage_options(relation regclass) RETURNS text[]
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(c.reloptions, '{}') || ARRAY(SELECT 'toast.' || o FROM pg_class t, unnest(t.reloptions) o WHERE t.oid = c.reltoastrelid)
    FROM pg_class c WHERE c.oid = relation
$$;
COMMENT ON FUNCTION strata._storage_options(regclass) IS 'The storage parameters of a table, TOAST included, as name=value.';

-- A new partition is like the table, in what neither LIKE nor ATTACH gives it.
CREATE FUNCTION strata._dress_partition(event_table strata._event_tables, partition regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(event_table.relation);
    leaf regclass;
    statement text;
BEGIN
    FOR leaf IN SELECT p.relid FROM pg_partition_tree(partition) p LOOP
        FOR statement IN SELECT strata._dress_statements(event_table, leaf) LOOP
            PERFORM strata._execute_as(owner, statement);
        END LOOP;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._dress_partition(strata._event_tables, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._dress_partition(strata._event_tables, regclass) IS
'Gives a partition that was just made and attached the event table''s storage parameters, tablespace, access method, statistics targets and replica identity.';

CREATE FUNCTION strata._dress_statements(event_table strata._event_tables, leaf regclass) RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('ALTER TABLE %s SET (%s)', leaf, strata._option_list((event_table).storage_options))
    FROM pg_class c WHERE c.oid = leaf AND c.relkind = 'r' AND (event_table).storage_options <> '{}'
    UNION ALL
    SELECT format('ALTER TABLE %s SET TABLESPACE %I', leaf, t.spcname)
    FROM pg_class p JOIN pg_tablespace t ON t.oid = p.reltablespace JOIN pg_class c ON c.oid = leaf
    WHERE p.oid = (event_table).relation AND c.reltablespace <> p.reltablespace
    UNION ALL
    SELECT format('ALTER TABLE %s SET ACCESS METHOD %I', leaf, (event_table).access_method)
    FROM pg_class c JOIN pg_am m ON m.oid = c.relam
    WHERE c.oid = leaf AND c.relkind = 'r' AND m.amname <> (event_table).access_method
    UNION ALL
    SELECT format('ALTER TABLE ONLY %s ALTER COLUMN %I SET STATISTICS %s', leaf, a.attname, a.attstattarget)
    FROM pg_attribute a WHERE a.attrelid = (event_table).relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget >= 0
    UNION ALL
    SELECT format('ALTER TABLE %s ALTER COLUMN %I SET (%s)', leaf, a.attname, strata._option_list(a.attoptions))
    FROM pg_attribute a WHERE a.attrelid = (event_table).relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attoptions IS NOT NULL
    UNION ALL
    SELECT format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s', i.indexrelid::regclass, a.attnum, a.attstattarget)
    FROM pg_index p JOIN pg_attribute a ON a.attrelid = p.indexrelid AND a.attstattarget >= 0
    JOIN pg_index i ON i.indrelid = leaf AND p.indexrelid IN (SELECT pg_partition_ancestors(i.indexrelid))
    WHERE p.indrelid = (event_table).relation
    UNION ALL
    SELECT strata._replica_identity_statement(leaf, c.relreplident, (
        SELECT i.indexrelid FROM pg_index p JOIN pg_index i ON i.indrelid = leaf AND p.indexrelid IN (SELECT pg_partition_ancestors(i.indexrelid))
        WHERE p.indrelid = c.oid AND p.indisreplident))
    FROM pg_class c WHERE c.oid = (event_table).relation AND c.relreplident <> 'd'
$$;
REVOKE ALL ON FUNCTION strata._dress_statements(strata._event_tables, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._dress_statements(strata._event_tables, regclass) IS 'What _dress_partition runs for one relation.';

-- What audited tables share: looking one up, its history, its triggers.
CREATE FUNCTION strata._audited_table(relation regclass) RETURNS strata._audited_tables
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables;
BEGIN
    SELECT a.* INTO audited FROM strata._audited_tables a WHERE a.relation = _audited_table.relation AND a.disabled_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'ST012',
            MESSAGE = format('%s is not audited', relation),
            DETAIL = 'No change to it is logged.',
            HINT = format('Run: SELECT strata.enable_audit(%L); strata.audited_tables lists what there is.', relation::text);
    END IF;
    RETURN audited;
END
$$;
REVOKE ALL ON FUNCTION strata._audited_table(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._audited_table(regclass) IS 'The catalog row of an audited table; ST012 if it is not one.';

CREATE FUNCTION strata._attribute_id(relation regclass, column_name name) RETURNS int
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id int := (SELECT i.attribute_id FROM strata._attribute_ids i JOIN pg_attribute a ON a.attrelid = i.relation AND a.attnum = i.attribute_number
               WHERE i.relation = _attribute_id.relation AND NOT i.dropped AND a.attname = column_name);
BEGIN
    IF id IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = '42703',
            MESSAGE = format('column %I of %s does not exist', column_name, relation),
            DETAIL = format('Its columns: %s.', (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
                            WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped)),
            HINT = 'Name columns as they are called in the table.';
    END IF;
    RETURN id;
END
$$;
REVOKE ALL ON FUNCTION strata._attribute_id(regclass, name) FROM PUBLIC;
COMMENT ON FUNCTION strata._attribute_id(regclass, name) IS 'The id of a column that is there; 42703 if there is none.';

-- Columns that are logged, with what a column of history needs. Domains count as their base type: nobody's CHECK expressions are
-- to run where the history is written.
CREATE FUNCTION strata._logged_columns(
    audited strata._audited_tables, OUT attribute_id int, OUT column_name name, OUT type_oid oid, OUT type_text text, OUT collation_text text, OUT attnum smallint
) RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i.attribute_id, a.attname, CASE WHEN t.typtype = 'd' THEN strata._base_type(a.atttypid) ELSE a.atttypid END, CASE WHEN t.typtype = 'd' THEN format_type(strata._base_type(a.atttypid), -1) ELSE format_type(a.atttypid, a.atttypmod) END,
           CASE WHEN a.attcollation <> t.typcollation THEN format(' COLLATE %I.%I', n.nspname, c.collname) ELSE '' END, a.attnum
    FROM strata._attribute_ids i
    JOIN pg_attribute a ON a.attrelid = i.relation AND a.attnum = i.attribute_number AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_collation c ON c.oid = a.attcollation
    LEFT JOIN pg_namespace n ON n.oid = c.collnamespace
    WHERE i.relation = audited.relation AND NOT i.dropped AND NOT i.attribute_id = ANY (audited.excluded)
    ORDER BY i.attribute_id
$$;
REVOKE ALL ON FUNCTION strata._logged_columns(strata._audited_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._logged_columns(strata._audited_tables) IS 'The columns of an audited table that are logged, by their ids.';

CREATE FUNCTION strata._create_history(relation regclass, excluded int[], key_ids int[]) RETURNS regclass
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables := jsonb_populate_record(NULL::strata._audited_tables,
        jsonb_build_object('relation', relation::oid::text, 'excluded', excluded));
    history text := strata._schema(relation) || '.' || quote_ident((
        SELECT strata._with_suffix(c.relname, '_history', c.relnamespace) FROM pg_class c WHERE c.oid = _create_history.relation));
BEGIN
    EXECUTE format('CREATE TABLE %s (strata_chunk bigint NOT NULL, strata_changed_at timestamptz NOT NULL, strata_xid xid8 NOT NULL, strata_operation "char" NOT NULL, strata_made xid NOT NULL%s)',
        history, (SELECT string_agg(format(', %I %s%s', l.column_name, l.type_text, l.collation_text), '' ORDER BY l.attnum) FROM strata._logged_columns(audited) l));
    -- what one transaction did lies together, and what pruning takes as well
    EXECUTE format('CREATE INDEX ON %s USING brin (strata_chunk) WITH (pages_per_range = 64, autosummarize = on)', history);
    -- (no two entries are equal: looking for such before a page is split would be in vain)
    EXECUTE format('CREATE INDEX ON %s (%s, strata_chunk) WITH (deduplicate_items = off)', history, (
        SELECT string_agg(quote_ident(l.column_name), ', ' ORDER BY k.place)
        FROM unnest(key_ids) WITH ORDINALITY k (id, place) JOIN strata._logged_columns(audited) l ON l.attribute_id = k.id));
    EXECUTE format('ALTER TABLE %s OWNER TO strata_audit', history);
    EXECUTE format('COMMENT ON TABLE %s IS %L', history, 'pg_strata: old versions of the rows of ' || relation::text);
    EXECUTE format('GRANT SELECT ON %s TO %s WITH GRANT OPTION', history, strata._owner(relation));
    RETURN history::regclass;
END
$$;
REVOKE ALL ON FUNCTION strata._create_history(regclass, int[], int[]) FROM PUBLIC;
COMMENT ON FUNCTION strata._create_history(regclass, int[], int[]) IS 'Makes the relation that takes old versions of an audited table, with the columns it has now.';

-- The triggers of rows reach partitions by themselves, now and later; that of TRUNCATE does not.
CREATE FUNCTION strata._create_audit_triggers(relation regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    leaf regclass;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = 'strata_audit') THEN
        PERFORM strata._execute_as(strata._owner(relation), format(
            'CREATE TRIGGER strata_audit AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION strata._audit_row()', relation));
    END IF;
    PERFORM strata._execute_as(strata._owner(relation), format('ALTER TABLE %s ENABLE ALWAYS TRIGGER strata_audit', relation));
    FOR leaf IN SELECT t.relid FROM strata._tree(relation) t (relid) LOOP
        PERFORM strata._create_truncate_trigger(leaf);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._create_audit_triggers(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._create_audit_triggers(regclass) IS 'Puts the triggers of the audit log on a table and its partitions, and makes them fire always.';

CREATE FUNCTION strata._create_truncate_trigger(relation regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = 'strata_audit_truncate') THEN
        PERFORM strata._execute_as(strata._owner(relation), format(
            'CREATE TRIGGER strata_audit_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION strata._audit_truncate()', relation));
    END IF;
    PERFORM strata._execute_as(strata._owner(relation), format('ALTER TABLE %s ENABLE ALWAYS TRIGGER strata_audit_truncate', relation));
END
$$;
REVOKE ALL ON FUNCTION strata._create_truncate_trigger(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._create_truncate_trigger(regclass) IS 'Puts the TRUNCATE trigger of the audit log on a table or partition.';

CREATE FUNCTION strata._drop_audit_triggers(relation regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_trigger record;
BEGIN
    FOR found_trigger IN
        SELECT t.tgname, t.tgrelid::regclass AS relation FROM strata._tree(_drop_audit_triggers.relation) p (relid)
        JOIN pg_trigger t ON t.tgrelid = p.relid
        WHERE t.tgparentid = 0 AND t.tgfoid IN ('strata._audit_row()'::regprocedure, 'strata._audit_truncate()'::regprocedure)
    LOOP
        PERFORM strata._execute_as(strata._owner(found_trigger.relation), format('DROP TRIGGER %I ON %s', found_trigger.tgname, found_trigger.relation));
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._drop_audit_triggers(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._drop_audit_triggers(regclass) IS 'Takes the triggers of the audit log off a table and its partitions.';

-- Called by the native library, with the rights of the catalog's owner, when a history lacks a column of its table.
CREATE FUNCTION strata._sync_history(audit_id int) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables := (SELECT a FROM strata._audited_tables a WHERE a.audit_id = _sync_history.audit_id);
    logged record;
    kept record;
BEGIN
    -- (who comes second waits here, and finds most of it done)
    UPDATE strata._audited_tables a SET relation_name = a.relation::text WHERE a.audit_id = _sync_history.audit_id AND a.relation_name <> a.relation::text;
    FOR logged IN SELECT l.* FROM strata._logged_columns(audited) l LOOP
        SELECT h.attname, h.atttypid INTO kept
        FROM strata._audit_columns c JOIN pg_attribute h ON h.attrelid = audited.history AND h.attname = c.history_column AND NOT h.attisdropped
        WHERE c.audit_id = audited.audit_id AND c.attribute_id = logged.attribute_id;
        CONTINUE WHEN kept.attname = logged.column_name AND kept.atttypid = logged.type_oid;
        -- a column of the same name that keeps something else gives way
        PERFORM strata._set_aside(audited, logged.column_name);
        IF kept.atttypid = logged.type_oid THEN
            EXECUTE format('ALTER TABLE %s RENAME COLUMN %I TO %I', audited.history, kept.attname, logged.column_name);
            UPDATE strata._audit_erasable e SET history_column = logged.column_name WHERE e.audit_id = audited.audit_id AND e.history_column = kept.attname;
        ELSE
            EXECUTE format('ALTER TABLE %s ADD COLUMN %I %s%s', audited.history, logged.column_name, logged.type_text, logged.collation_text);
            INSERT INTO strata._audit_erasable (audit_id, history_column, attribute_id, since_chunk)
            SELECT e.audit_id, logged.column_name, e.attribute_id, min(e.since_chunk) FROM strata._audit_erasable e
            WHERE e.audit_id = audited.audit_id AND e.attribute_id = logged.attribute_id GROUP BY 1, 3;
        END IF;
        INSERT INTO strata._audit_columns (audit_id, attribute_id, history_column, logged_type)
        VALUES (audited.audit_id, logged.attribute_id, logged.column_name, logged.type_oid)
        ON CONFLICT ON CONSTRAINT _audit_columns_pkey DO UPDATE SET history_column = EXCLUDED.history_column;
    END LOOP;
    PERFORM strata._create_as_of_function(audited.relation) WHERE audited.disabled_at IS NULL;
END
$$;
REVOKE ALL ON FUNCTION strata._sync_history(int) FROM PUBLIC;
COMMENT ON FUNCTION strata._sync_history(int) IS 'Follows the table''s name, and columns of it that came, were renamed or changed their type, in its history. Values of old types stay in a column of another name.';

CREATE FUNCTION strata._set_aside(audited strata._audited_tables, history_column name) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    aside name;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute h WHERE h.attrelid = audited.history AND h.attname = history_column AND NOT h.attisdropped) THEN
        RETURN;
    END IF;
    SELECT min(n.candidate) INTO aside FROM (
        SELECT format('%s_was_%s', left(history_column::text, 40), k)::name AS candidate FROM generate_series(1, 1600) k) n
    WHERE NOT EXISTS (SELECT FROM pg_attribute h WHERE h.attrelid = audited.history AND h.attname = n.candidate);
    EXECUTE format('ALTER TABLE %s RENAME COLUMN %I TO %I', audited.history, history_column, aside);
    UPDATE strata._audit_columns c SET history_column = aside WHERE c.audit_id = audited.audit_id AND c.history_column = _set_aside.history_column;
    UPDATE strata._audit_erasable e SET history_column = aside WHERE e.audit_id = audited.audit_id AND e.history_column = _set_aside.history_column;
END
$$;
REVOKE ALL ON FUNCTION strata._set_aside(strata._audited_tables, name) FROM PUBLIC;
COMMENT ON FUNCTION strata._set_aside(strata._audited_tables, name) IS 'Renames a column of a history whose name another column of the table has now.';

-- Log and history of a table outlive it.
CREATE FUNCTION strata._note_dropped(audited strata._audited_tables) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- one at a time: the second finds it done
    PERFORM FROM strata._audited_tables a WHERE a.audit_id = audited.audit_id AND a.disabled_at IS NULL FOR UPDATE;
    IF FOUND THEN
        PERFORM strata._audit_event(audited.audit_id, audited.table_uuid, 'dropped', audited.relation_name);
        PERFORM strata._execute_as(p.proowner::regrole, format('DROP FUNCTION %s', p.oid::regprocedure))
        FROM pg_description d JOIN pg_proc p ON p.oid = d.objoid
        WHERE d.classoid = 'pg_proc'::regclass AND d.description = strata._as_of_comment(audited);
        UPDATE strata._audited_tables a SET disabled_at = now() WHERE a.audit_id = audited.audit_id;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._note_dropped(strata._audited_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._note_dropped(strata._audited_tables) IS 'Writes into the log that an audited table was found dropped.';

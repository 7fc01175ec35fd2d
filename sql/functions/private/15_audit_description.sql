-- What a table's leaves are made of, in words that outlive it: the log has it (events enabled, rebaselined, columns), so that
-- a verifier need not believe the catalog. docs/formats.md has its form.
CREATE FUNCTION strata._describe_type(type_oid oid) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    base pg_type;
BEGIN
    SELECT t.* INTO base FROM pg_type t WHERE t.oid = type_oid;
    WHILE base.typtype = 'd' LOOP
        SELECT t.* INTO base FROM pg_type t WHERE t.oid = base.typbasetype;
    END LOOP;
    RETURN CASE
        WHEN base.typtype = 'e' THEN jsonb_build_object('enum', base.oid::regtype::text, 'labels', (
            SELECT jsonb_object_agg(i.label_id, e.enumlabel) FROM pg_enum e JOIN strata._label_ids i ON i.enum_type = e.enumtypid
             AND (i.label_oid = e.oid OR (i.label = e.enumlabel AND NOT EXISTS (SELECT FROM pg_enum o WHERE o.oid = i.label_oid AND o.enumtypid = i.enum_type)))
            WHERE e.enumtypid = base.oid))
        WHEN base.typtype = 'r' THEN (SELECT jsonb_build_object('range', strata._describe_type(r.rngsubtype)) FROM pg_range r WHERE r.rngtypid = base.oid)
        WHEN base.typtype = 'm' THEN (SELECT jsonb_build_object('multirange', strata._describe_type(r.rngsubtype)) FROM pg_range r WHERE r.rngmultitypid = base.oid)
        -- in the order in which attributes are sent
        WHEN base.typtype = 'c' THEN jsonb_build_object('composite', base.oid::regtype::text, 'attributes', (
            SELECT jsonb_agg(jsonb_build_object('id', i.attribute_id, 'name', a.attname, 'type', strata._describe_type(a.atttypid)) ORDER BY a.attnum)
            FROM strata._present_attributes(base.typrelid) i JOIN pg_attribute a ON a.attrelid = base.typrelid AND a.attnum = i.attnum))
        WHEN base.typelem <> 0 AND base.typsubscript = 'array_subscript_handler'::regproc THEN jsonb_build_object('array', strata._describe_type(base.typelem))
        ELSE to_jsonb(format_type(base.oid, NULL))
    END;
END
$$;
REVOKE ALL ON FUNCTION strata._describe_type(oid) FROM PUBLIC;
COMMENT ON FUNCTION strata._describe_type(oid) IS 'A type as the description of an audited table has it: the name of a built-in one, domains resolved, or what it is made of.';

CREATE FUNCTION strata._present_attributes(relation oid, OUT attribute_id int, OUT attnum smallint, OUT absent bytea) RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i.attribute_id, a.attnum, i.absent FROM strata._attribute_ids i
    JOIN pg_attribute a ON a.attrelid = i.relation AND a.attnum > 0 AND NOT a.attisdropped
     -- (after a restore, until the next write, a column is known by its name)
     AND CASE WHEN i.relation_oid = i.relation THEN a.attnum = i.attribute_number ELSE a.attname = i.attribute_name END
    WHERE i.relation = _present_attributes.relation AND NOT i.dropped
$$;
REVOKE ALL ON FUNCTION strata._present_attributes(oid) FROM PUBLIC;
COMMENT ON FUNCTION strata._present_attributes(oid) IS 'Columns of a relation, or attributes of a composite type, that are there and have ids.';

-- (a row would give them, but a table may have none yet)
CREATE FUNCTION strata._identify_type(type_oid oid) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind pg_type;
BEGIN
    SELECT t.* INTO kind FROM pg_type t WHERE t.oid = type_oid;
    PERFORM strata._identify_labels(kind.oid::regtype) WHERE kind.typtype = 'e';
    PERFORM strata._identify_attributes(kind.typrelid::regclass) WHERE kind.typtype = 'c';
    PERFORM strata._identify_type(inner_type.oid) FROM (
        SELECT kind.typbasetype WHERE kind.typtype = 'd'
        UNION SELECT kind.typelem WHERE kind.typsubscript = 'array_subscript_handler'::regproc
        UNION SELECT r.rngsubtype FROM pg_range r WHERE kind.oid IN (r.rngtypid, r.rngmultitypid)
        UNION SELECT a.atttypid FROM pg_attribute a WHERE kind.typtype = 'c' AND a.attrelid = kind.typrelid AND a.attnum > 0 AND NOT a.attisdropped) inner_type (oid);
END
$$;
REVOKE ALL ON FUNCTION strata._identify_type(oid) FROM PUBLIC;
COMMENT ON FUNCTION strata._identify_type(oid) IS 'Gives ids to labels of enums and attributes of composites that a type is made of.';

CREATE FUNCTION strata._describe_audited(audited strata._audited_tables) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'relation', (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = audited.relation),
        'key', to_jsonb(audited.key_ids),
        'excluded', (SELECT coalesce(jsonb_object_agg(e.attribute_id, b.attname), '{}') FROM strata._present_attributes(audited.relation) e
                     JOIN pg_attribute b ON b.attrelid = audited.relation AND b.attnum = e.attnum WHERE e.attribute_id = ANY (audited.excluded)),
        'erasable', to_jsonb(audited.erasable),
        'columns', coalesce(jsonb_object_agg(i.attribute_id, jsonb_strip_nulls(jsonb_build_object(
            'name', a.attname, 'type', strata._describe_type(a.atttypid), 'absent', CASE WHEN NOT i.attribute_id = ANY (audited.erasable) THEN encode(i.absent, 'hex') END))), '{}'))
    FROM strata._present_attributes(audited.relation) i
    JOIN pg_attribute a ON a.attrelid = audited.relation AND a.attnum = i.attnum
    WHERE NOT i.attribute_id = ANY (audited.excluded)
$$;
REVOKE ALL ON FUNCTION strata._describe_audited(strata._audited_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._describe_audited(strata._audited_tables) IS 'The description of an audited table (docs/formats.md): what its leaves are made of.';

CREATE FUNCTION strata._log_descriptions() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables;
    description text;
BEGIN
    -- (who holds one of them is about to log it)
    FOR audited IN SELECT a.* FROM strata._audited_tables a JOIN pg_class c ON c.oid = a.relation WHERE a.disabled_at IS NULL
                   ORDER BY a.audit_id FOR UPDATE OF a SKIP LOCKED LOOP
        description := strata._describe_audited(audited)::text;
        IF description IS DISTINCT FROM audited.described THEN
            PERFORM strata._audit_event(audited.audit_id, audited.table_uuid, 'columns', description);
            UPDATE strata._audited_tables a SET described = description WHERE a.audit_id = audited.audit_id;
        END IF;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._log_descriptions() FROM PUBLIC;
COMMENT ON FUNCTION strata._log_descriptions() IS 'Writes into the log the descriptions of audited tables that are others than when they were logged last: columns that came, were renamed or dropped, labels, the name of the table.';

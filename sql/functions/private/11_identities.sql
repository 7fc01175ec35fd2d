-- Ids for the columns of a relation, the attributes of a composite type, the labels of an enum. The native library calls
-- these with the rights of the catalog's owner, whoever writes.

-- A column keeps its id for as long as it is the same column: by its number within one cluster, by its name after a restore.
-- One that was dropped and made again is another column.
CREATE FUNCTION strata._identify_attributes(relation regclass) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- columns that were there when the relation was met first have NULL for an absent value, whatever was their default
    is_known boolean;
BEGIN
    -- one at a time: ids are counted up
    PERFORM pg_advisory_xact_lock('strata._attribute_ids'::regclass::oid::int, relation::oid::int);
    UPDATE strata._attribute_ids i
    SET attribute_number = coalesce(a.attnum, i.attribute_number), dropped = a.attnum IS NULL, relation_oid = i.relation
    FROM strata._attribute_ids k LEFT JOIN pg_attribute a ON a.attrelid = k.relation AND a.attname = k.attribute_name AND a.attnum > 0 AND NOT a.attisdropped
    WHERE k.relation = _identify_attributes.relation AND k.relation_oid <> k.relation AND NOT k.dropped
      AND i.relation = k.relation AND i.attribute_id = k.attribute_id;
    UPDATE strata._attribute_ids i
    SET attribute_name = CASE WHEN a.attisdropped THEN i.attribute_name ELSE a.attname END, dropped = a.attisdropped
    FROM pg_attribute a
    WHERE i.relation = _identify_attributes.relation AND NOT i.dropped AND a.attrelid = i.relation AND a.attnum = i.attribute_number
      AND (a.attisdropped OR a.attname <> i.attribute_name);
    is_known := EXISTS (SELECT FROM strata._attribute_ids i WHERE i.relation = _identify_attributes.relation);
    INSERT INTO strata._attribute_ids (relation, attribute_id, attribute_number, attribute_name, relation_oid, absent)
    SELECT relation, coalesce((SELECT max(i.attribute_id) FROM strata._attribute_ids i WHERE i.relation = _identify_attributes.relation), 0)
               + row_number() OVER (ORDER BY a.attnum), a.attnum, a.attname, relation,
           -- a partitioned table stores no rows, so that its partitions know
           CASE WHEN is_known THEN (
               SELECT strata._absent_value(p.attrelid, p.attnum) FROM strata._tree(relation) t (relid)
               JOIN pg_attribute p ON p.attrelid = t.relid AND p.attname = a.attname AND p.atthasmissing LIMIT 1) END
    FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
      AND NOT EXISTS (SELECT FROM strata._attribute_ids i WHERE i.relation = _identify_attributes.relation AND i.attribute_number = a.attnum AND NOT i.dropped);
END
$$;
REVOKE ALL ON FUNCTION strata._identify_attributes(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._identify_attributes(regclass) IS
'Gives ids to the columns of a relation, or attributes of a composite type, that have none, and follows renames. Called by the native library when it meets a relation.';

CREATE FUNCTION strata._identify_labels(enum_type regtype) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_enum e LEFT JOIN strata._label_ids i ON i.enum_type = e.enumtypid AND i.label_oid = e.oid
                   WHERE e.enumtypid = _identify_labels.enum_type AND i.label IS DISTINCT FROM e.enumlabel)
    THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock('strata._label_ids'::regclass::oid::int, enum_type::oid::int);
    -- a restored label has another OID
    UPDATE strata._label_ids i SET label_oid = e.oid
    FROM pg_enum e
    WHERE i.enum_type = _identify_labels.enum_type AND e.enumtypid = i.enum_type AND e.enumlabel = i.label AND e.oid <> i.label_oid
      AND NOT EXISTS (SELECT FROM pg_enum o WHERE o.oid = i.label_oid AND o.enumtypid = i.enum_type);
    UPDATE strata._label_ids i SET label = e.enumlabel
    FROM pg_enum e
    WHERE i.enum_type = _identify_labels.enum_type AND e.oid = i.label_oid AND e.enumtypid = i.enum_type AND e.enumlabel <> i.label;
    INSERT INTO strata._label_ids (enum_type, label_id, label_oid, label)
    SELECT enum_type, coalesce((SELECT max(i.label_id) FROM strata._label_ids i WHERE i.enum_type = _identify_labels.enum_type), 0)
               + row_number() OVER (ORDER BY e.enumsortorder), e.oid, e.enumlabel
    FROM pg_enum e
    WHERE e.enumtypid = _identify_labels.enum_type
      AND NOT EXISTS (SELECT FROM strata._label_ids i WHERE i.enum_type = e.enumtypid AND i.label_oid = e.oid);
END
$$;
REVOKE ALL ON FUNCTION strata._identify_labels(regtype) FROM PUBLIC;
COMMENT ON FUNCTION strata._identify_labels(regtype) IS
'Gives ids to the labels of an enum that have none, and follows renames. Called by the native library when it meets an enum.';

CREATE FUNCTION strata._base_type(type_oid oid) RETURNS oid
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE base AS (
        SELECT t.oid, t.typbasetype FROM pg_type t WHERE t.oid = type_oid
        UNION ALL
        SELECT t.oid, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.typbasetype
    )
    SELECT b.oid FROM base b WHERE b.typbasetype = 0
$$;
COMMENT ON FUNCTION strata._base_type(oid) IS 'The type beneath a domain, or the type itself.';

-- What stands in the way of giving an ordinary table a partitioned twin.

CREATE FUNCTION strata._check_ordinary(relation regclass, time_attnum smallint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fault record;
BEGIN
    SELECT * INTO fault FROM (
        SELECT 'It is a typed table.' AS detail, format('Run: ALTER TABLE %s NOT OF;', relation) AS hint
        FROM pg_class c WHERE c.oid = relation AND c.reloftype <> 0
        UNION ALL
        SELECT format('It belongs to the extension %s.', e.extname), 'Make a table of your own LIKE it.'
        FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = relation AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
        UNION ALL
        SELECT format('Column %I is generated.', a.attname), 'Name a column that is stored as it comes, or drop its expression.'
        FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum = time_attnum AND a.attgenerated <> ''
        UNION ALL
        SELECT format('Index %s is not valid.', i.indexrelid::regclass), format('Run: DROP INDEX %s;', i.indexrelid::regclass)
        FROM pg_index i WHERE i.indrelid = relation AND NOT i.indisvalid
        UNION ALL
        SELECT format('Constraint %I is marked NO INHERIT, which partitioned tables cannot have.', k.conname),
            format('Run: ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s;', relation, k.conname, k.conname,
                regexp_replace(pg_get_constraintdef(k.oid), ' NO INHERIT', ''))
        FROM pg_constraint k WHERE k.conrelid = relation AND k.contype = 'c' AND k.connoinherit
        UNION ALL
        SELECT format('Constraint %I has not been validated.', k.conname),
            format('Run: ALTER TABLE %s VALIDATE CONSTRAINT %I;', relation, k.conname)
        FROM pg_constraint k WHERE k.conrelid = relation AND k.contype IN ('c', 'f') AND NOT k.convalidated
        UNION ALL
        SELECT format('Trigger %I is fired for each row and names transition tables, which partitions cannot have.', t.tgname),
            format('Run: DROP TRIGGER %I ON %s; and create it FOR EACH STATEMENT.', t.tgname, relation)
        FROM pg_trigger t
        WHERE t.tgrelid = relation AND t.tgtype & 1 = 1 AND (t.tgoldtable IS NOT NULL OR t.tgnewtable IS NOT NULL)
        UNION ALL
        SELECT format('It receives the rows of subscription %I.', s.subname),
            format('Create the table as an event table before the subscription; or run: ALTER SUBSCRIPTION %I DISABLE; and leave the table out of its publication.', s.subname)
        FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid WHERE r.srrelid = relation
        UNION ALL
        SELECT f.detail, f.hint FROM strata._publication_faults(relation) f
        UNION ALL
        SELECT f.detail, f.hint FROM strata._dependent_faults(relation) f
    ) f;
    IF FOUND THEN
        PERFORM strata._refuse_conversion(relation, fault.detail, fault.hint);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._check_ordinary(regclass, smallint) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_ordinary(regclass, smallint) IS
'Refuses an ordinary table of which something could not be kept: ST002.';

CREATE FUNCTION strata._publication_faults(relation regclass, OUT detail text, OUT hint text) RETURNS SETOF record
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(relation);
BEGIN
    RETURN QUERY
    SELECT format('Publication %I, which it is in, belongs to role %s.', p.pubname, p.pubowner::regrole),
        format('Run: ALTER PUBLICATION %I DROP TABLE %s; and add it again afterwards.', p.pubname, relation)
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
    WHERE r.prrelid = relation AND p.pubowner <> owner;
    RETURN QUERY
    SELECT format('Publication %I has a column list or a row filter for it, which for a partitioned table takes publishing via its root.', p.pubname),
        format('Run: ALTER PUBLICATION %I SET (publish_via_partition_root = true);', p.pubname)
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
    WHERE r.prrelid = relation AND NOT p.pubviaroot AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL);
    -- as the owner: planning alone can evaluate functions of the owner's indexes
    IF strata._execute_as(owner, format('SELECT EXISTS (SELECT FROM ONLY %s)', relation))::boolean THEN
        RETURN QUERY
        SELECT format('Publication %I takes every table of the %s, so that moving the rows would publish them once more.', p.pubname,
                CASE WHEN p.puballtables THEN 'database' ELSE 'schema' END),
            'Publish tables by name, or move the rows before you create the publication.'::text
        FROM pg_publication p
        WHERE p.pubinsert AND (p.puballtables OR EXISTS (
            SELECT FROM pg_publication_namespace n JOIN pg_class c ON c.relnamespace = n.pnnspid WHERE n.pnpubid = p.oid AND c.oid = relation));
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._publication_faults(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._publication_faults(regclass) IS 'Publications that a table could not be kept in.';

-- Views, rules and foreign keys are made again for the twin; that takes the same owner. Anything else that PostgreSQL
-- knows to depend on the table, or on its row type, is in the way.
CREATE FUNCTION strata._dependent_faults(relation regclass, OUT detail text, OUT hint text) RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('Table %s, which has a foreign key to it, belongs to role %s.', k.conrelid::regclass, strata._owner(k.conrelid)),
        format('Run: ALTER TABLE %s DROP CONSTRAINT %I; and add it again afterwards.', k.conrelid::regclass, k.conname)
    FROM pg_constraint k
    WHERE k.confrelid = relation AND k.conrelid <> relation AND k.conparentid = 0 AND strata._owner(k.conrelid) <> strata._owner(relation)
    UNION ALL
    SELECT format('The materialized view %s reads it.', v.view), format('Run: DROP MATERIALIZED VIEW %s; and create it again afterwards.', v.view)
    FROM strata._dependent_rules(relation) v WHERE v.relkind = 'm'
    UNION ALL
    SELECT format('%s belongs to role %s.', upper(left(d.name, 1)) || substr(d.name, 2), strata._owner(v.view)),
        format('Give %s to %s, or drop it and create it again afterwards.', v.view, strata._owner(relation))
    FROM strata._dependent_rules(relation) v, pg_describe_object('pg_class'::regclass, v.view, 0) d (name)
    WHERE v.relkind <> 'm' AND strata._owner(v.view) <> strata._owner(relation)
    UNION ALL
    SELECT format('%s depends on it.', upper(left(o.name, 1)) || substr(o.name, 2)), 'Drop it, and create it again afterwards.'
    FROM (
        SELECT DISTINCT d.classid, d.objid, d.objsubid FROM pg_depend d
        JOIN pg_class t ON t.oid = relation
        LEFT JOIN pg_type r ON r.oid = t.reltype
        WHERE ((d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid)
            OR (d.refclassid = 'pg_type'::regclass AND d.refobjid IN (r.oid, r.typarray)))
          AND NOT (d.classid = 'pg_class'::regclass AND (d.objid = t.oid OR (d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))))
          AND NOT (d.classid = 'pg_type'::regclass AND d.objid IN (r.oid, r.typarray))
          AND NOT (d.classid = 'pg_constraint'::regclass AND EXISTS (
              SELECT FROM pg_constraint k WHERE k.oid = d.objid AND t.oid IN (k.conrelid, k.confrelid)))
          AND NOT (d.classid = 'pg_attrdef'::regclass AND EXISTS (SELECT FROM pg_attrdef a WHERE a.oid = d.objid AND a.adrelid = t.oid))
          AND NOT (d.classid = 'pg_trigger'::regclass AND EXISTS (SELECT FROM pg_trigger g WHERE g.oid = d.objid AND g.tgrelid = t.oid))
          AND NOT (d.classid = 'pg_policy'::regclass AND EXISTS (SELECT FROM pg_policy p WHERE p.oid = d.objid AND p.polrelid = t.oid))
          AND NOT (d.classid = 'pg_statistic_ext'::regclass AND EXISTS (SELECT FROM pg_statistic_ext s WHERE s.oid = d.objid AND s.stxrelid = t.oid))
          AND d.classid <> 'pg_publication_rel'::regclass
          AND NOT (d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass)
    ) d, pg_describe_object(d.classid, d.objid, d.objsubid) o (name)
$$;
REVOKE ALL ON FUNCTION strata._dependent_faults(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._dependent_faults(regclass) IS 'What depends on a table and could not be made again for its twin.';

CREATE FUNCTION strata._dependent_rules(relation regclass, OUT rule oid, OUT rule_name name, OUT view regclass, OUT relkind "char")
    RETURNS SETOF record
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.oid, r.rulename, c.oid::regclass, c.relkind
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
    WHERE r.ev_class <> relation AND EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
          AND d.refclassid = 'pg_class'::regclass AND d.refobjid = relation)
    ORDER BY r.oid
$$;
COMMENT ON FUNCTION strata._dependent_rules(regclass) IS 'Views, and rules of other relations, that name a table.';

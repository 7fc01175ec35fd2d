-- Turning an ordinary table into a partitioned one: PostgreSQL cannot do it in place, so a partitioned twin is made,
-- everything that hangs on the old table is moved over, and the twin takes its name.

CREATE FUNCTION strata._refuse_conversion(relation regclass, detail text, hint text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'ST002',
        MESSAGE = format('cannot make %s an event table', relation),
        DETAIL = detail,
        HINT = hint;
END
$$;
REVOKE ALL ON FUNCTION strata._refuse_conversion(regclass, text, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._refuse_conversion(regclass, text, text) IS 'Raises ST002, the error of create_event_table for tables it does not take.';

CREATE FUNCTION strata._check_convertible(relation regclass, time_column name) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    class pg_class;
    col pg_attribute;
    key record;
    filled boolean;
BEGIN
    SELECT c.* INTO class FROM pg_class c WHERE c.oid = relation;
    IF class.relkind NOT IN ('r', 'p') THEN
        PERFORM strata._refuse_conversion(relation, 'It is not a table.', 'Name an ordinary or a partitioned table.');
    ELSIF class.relpersistence <> 'p' THEN
        PERFORM strata._refuse_conversion(relation, 'It is a temporary or unlogged table.', format('Run: ALTER TABLE %s SET LOGGED;', relation));
    ELSIF class.relispartition OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = relation)
        OR (class.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = relation))
    THEN
        PERFORM strata._refuse_conversion(relation, 'It is a partition of another table, or part of an inheritance tree.', 'Name the partitioned table itself.');
    END IF;
    SELECT a.* INTO col FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attname = time_column AND a.attnum > 0 AND NOT a.attisdropped;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = '42703',
            MESSAGE = format('column %I of %s does not exist', time_column, relation),
            DETAIL = format('Columns that could be: %s.', coalesce((
                SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
                WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
                  AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype, 'uuid'::regtype)), 'none')),
            HINT = 'Name the column that holds the time of the event.';
    ELSIF col.atttypid NOT IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype, 'uuid'::regtype) THEN
        PERFORM strata._refuse_conversion(relation,
            format('Column %I is of type %s; it takes timestamptz, timestamp, date, or uuid (version 7).', time_column, format_type(col.atttypid, col.atttypmod)),
            format('Run: ALTER TABLE %s ALTER COLUMN %I TYPE timestamptz USING <an expression of it>;', relation, time_column));
    END IF;
    FOR key IN
        SELECT k.conname, k.contype FROM pg_constraint k
        WHERE k.conrelid = relation AND k.contype IN ('p', 'u', 'x') AND NOT col.attnum = ANY (k.conkey)
    LOOP
        PERFORM strata._refuse_conversion(relation,
            format('Constraint %I does not contain %I; on a partitioned table every unique key must contain the partition key.', key.conname, time_column),
            format('Run: ALTER TABLE %s DROP CONSTRAINT %I, ADD %s;', relation, key.conname, (
                SELECT regexp_replace(pg_get_constraintdef(k.oid), '\)', format(', %I)', time_column)) FROM pg_constraint k
                WHERE k.conrelid = relation AND k.conname = key.conname)));
    END LOOP;
    FOR key IN
        SELECT i.indexrelid::regclass AS index_name FROM pg_index i
        WHERE i.indrelid = relation AND i.indisunique AND NOT col.attnum = ANY (i.indkey::int2[])
          AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
    LOOP
        PERFORM strata._refuse_conversion(relation,
            format('Unique index %s does not contain %I; on a partitioned table every unique key must contain the partition key.', key.index_name, time_column),
            format('Run: DROP INDEX %s; and create it again with %I among its columns.', key.index_name, time_column));
    END LOOP;
    IF class.relkind = 'p' THEN
        PERFORM strata._check_partitioned(relation, col.attnum);
        RETURN;
    END IF;
    -- as the owner: planning alone can evaluate functions of the owner's indexes
    filled := strata._execute_as(strata._owner(relation), format('SELECT EXISTS (SELECT FROM ONLY %s)', relation))::boolean;
    IF filled THEN
        PERFORM strata._refuse_conversion(relation, 'It holds rows already.',
            format('Rename it, create an empty one LIKE it, make that the event table, then: INSERT INTO %s SELECT * FROM <the old table>;', relation));
    ELSIF class.relrowsecurity OR EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = relation) THEN
        PERFORM strata._refuse_conversion(relation, 'It has row security policies, which would have to be made again.',
            format('Create it with PARTITION BY RANGE (%I), with its policies; such a table is taken as it is.', time_column));
    ELSIF EXISTS (SELECT FROM pg_constraint k WHERE k.confrelid = relation AND k.conrelid <> relation) THEN
        PERFORM strata._refuse_conversion(relation, 'Foreign keys of other tables point to it.',
            format('Create it with PARTITION BY RANGE (%I) before those foreign keys.', time_column));
    ELSIF class.relreplident NOT IN ('d', 'n') OR EXISTS (SELECT FROM pg_publication_rel p WHERE p.prrelid = relation) THEN
        PERFORM strata._refuse_conversion(relation, 'It has a replica identity of its own or belongs to a publication.',
            'Take it out of the publication first, and put it back afterwards.');
    ELSIF EXISTS (SELECT FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                  WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = relation) THEN
        PERFORM strata._refuse_conversion(relation, 'Views or rules depend on it.',
            format('Drop them, or create the table with PARTITION BY RANGE (%I) in the first place.', time_column));
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._check_convertible(regclass, name) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_convertible(regclass, name) IS 'Says why a table cannot become an event table: ST002 with what to type.';

CREATE FUNCTION strata._check_partitioned(relation regclass, time_attnum smallint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partitioned pg_partitioned_table;
BEGIN
    SELECT p.* INTO partitioned FROM pg_partitioned_table p WHERE p.partrelid = relation;
    IF partitioned.partstrat <> 'r' OR partitioned.partnatts <> 1 OR partitioned.partattrs[0] <> time_attnum THEN
        PERFORM strata._refuse_conversion(relation, 'It is partitioned, but not by RANGE of its time column alone.',
            'Event tables are partitioned by RANGE (<time column>).');
    ELSIF partitioned.partdefid <> 0 THEN
        PERFORM strata._refuse_conversion(relation,
            format('It has a default partition, %s, which blocks detaching and making partitions.', partitioned.partdefid::regclass),
            format('Move its rows out and run: ALTER TABLE %s DETACH PARTITION %s;', relation, partitioned.partdefid::regclass));
    ELSIF EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = relation AND c.relkind NOT IN ('r', 'p')) THEN
        PERFORM strata._refuse_conversion(relation, 'Some of its partitions are not ordinary tables.',
            'Event tables have one level of ordinary partitions.');
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._check_partitioned(regclass, smallint) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_partitioned(regclass, smallint) IS 'Says why a partitioned table cannot become an event table.';

CREATE FUNCTION strata._make_partitioned(relation regclass, time_column name) RETURNS regclass
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(relation);
    original text := relation::text;
    relation_name name := (SELECT c.relname FROM pg_class c WHERE c.oid = relation);
    old_name name := strata._with_suffix(relation_name, '_strata_old', (SELECT c.relnamespace FROM pg_class c WHERE c.oid = relation));
    -- read while names still resolve to the old table
    definitions text[] := ARRAY(
        SELECT definition FROM (
            SELECT 1 AS step, pg_get_indexdef(i.indexrelid) AS definition FROM pg_index i
            WHERE i.indrelid = relation AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
            UNION ALL
            SELECT 2, format('ALTER TABLE %s ADD CONSTRAINT %I %s', relation, k.conname, pg_get_constraintdef(k.oid)) FROM pg_constraint k
            WHERE k.conrelid = relation AND k.contype IN ('p', 'u', 'x', 'f')
            UNION ALL
            SELECT 3, pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE t.tgrelid = relation AND NOT t.tgisinternal
            UNION ALL
            SELECT 4, format('GRANT %s ON %s TO %s%s', g.privilege_type, relation,
                    CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END, CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
            FROM pg_class c, aclexplode(c.relacl) g WHERE c.oid = relation
            UNION ALL
            SELECT 5, format('GRANT %s (%I) ON %s TO %s', g.privilege_type, a.attname, relation,
                    CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END)
            FROM pg_attribute a, aclexplode(a.attacl) g WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
            UNION ALL
            SELECT 6, format('COMMENT ON TABLE %s IS %L', relation, obj_description(relation, 'pg_class')) WHERE obj_description(relation, 'pg_class') IS NOT NULL
        ) d ORDER BY step);
    sequences text[] := ARRAY(
        SELECT format('ALTER SEQUENCE %s OWNED BY %s.%I', d.objid::regclass, original, a.attname)
        FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = relation AND d.deptype = 'a');
    statement text;
BEGIN
    PERFORM strata._execute_as(owner, format('ALTER TABLE %s RENAME TO %I', relation, old_name));
    PERFORM strata._execute_as(owner, format(
        'CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES) PARTITION BY RANGE (%I)', original, relation, time_column));
    FOREACH statement IN ARRAY sequences LOOP
        PERFORM strata._execute_as(owner, statement);
    END LOOP;
    PERFORM strata._execute_as(owner, format('DROP TABLE %s', relation));
    FOREACH statement IN ARRAY definitions LOOP
        PERFORM strata._execute_as(owner, statement);
    END LOOP;
    RETURN original::regclass;
END
$$;
REVOKE ALL ON FUNCTION strata._make_partitioned(regclass, name) FROM PUBLIC;
COMMENT ON FUNCTION strata._make_partitioned(regclass, name) IS
'Replaces an empty ordinary table by a partitioned one of the same name, columns, defaults, constraints, indexes, triggers, privileges and comments.';

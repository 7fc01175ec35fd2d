-- The swap: the twin takes the table's name and everything that names the table; the table goes. One transaction,
-- under ACCESS EXCLUSIVE. What is to be made again is read here, at the last moment, so that nothing done to the table
-- while its rows were moving is forgotten; the definitions name the table by the name the twin is about to have.

CREATE FUNCTION strata._swap_in(relation regclass, shadow regclass, defer_validation boolean) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(relation);
    relation_name name := (SELECT c.relname FROM pg_class c WHERE c.oid = relation);
    old_name name := strata._with_suffix(relation_name, '_strata_old', (SELECT c.relnamespace FROM pg_class c WHERE c.oid = relation));
    before_drop text[] := ARRAY(SELECT strata._statements_before_drop(relation, shadow));
    after_rename text[] := ARRAY(SELECT strata._statements_after_rename(relation));
    after_drop jsonb := (SELECT jsonb_agg(jsonb_build_array(s.role::oid, s.statement) ORDER BY s.step, s.place)
                         FROM strata._statements_after_drop(relation, shadow) s);
    unvalidated jsonb := '[]';
    statement text;
    step jsonb;
    foreign_key record;
BEGIN
    FOREACH statement IN ARRAY before_drop LOOP
        PERFORM strata._execute_as(owner, statement);
    END LOOP;
    FOR foreign_key IN
        SELECT k.conrelid::regclass AS referencing, k.conname, pg_get_constraintdef(k.oid) AS definition, obj_description(k.oid, 'pg_constraint') AS comment,
               -- a partitioned table takes no foreign key that is not validated
               defer_validation AND k.convalidated AND c.relkind = 'r' AS is_deferred
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        WHERE k.confrelid = relation AND k.conrelid <> relation AND k.conparentid = 0
        ORDER BY k.oid
    LOOP
        PERFORM strata._execute_as(owner, format('ALTER TABLE %s DROP CONSTRAINT %I', foreign_key.referencing, foreign_key.conname));
        after_drop := coalesce(after_drop, '[]') || jsonb_build_array(jsonb_build_array(owner::oid, format('ALTER TABLE %s ADD CONSTRAINT %I %s%s',
            foreign_key.referencing, foreign_key.conname, foreign_key.definition, CASE WHEN foreign_key.is_deferred THEN ' NOT VALID' ELSE '' END)));
        IF foreign_key.comment IS NOT NULL THEN
            after_drop := after_drop || jsonb_build_array(jsonb_build_array(owner::oid,
                format('COMMENT ON CONSTRAINT %I ON %s IS %L', foreign_key.conname, foreign_key.referencing, foreign_key.comment)));
        END IF;
        IF foreign_key.is_deferred THEN
            unvalidated := unvalidated || jsonb_build_array(jsonb_build_array(foreign_key.referencing::oid, foreign_key.conname));
        END IF;
    END LOOP;
    PERFORM strata._execute_as(owner, format('ALTER TABLE %s RENAME TO %I', relation, old_name));
    PERFORM strata._execute_as(owner, format('ALTER TABLE %s RENAME TO %I', shadow, relation_name));
    FOREACH statement IN ARRAY after_rename LOOP
        PERFORM strata._execute_as(owner, statement);
    END LOOP;
    PERFORM strata._execute_as(owner, format('DROP TABLE %s', relation));
    FOR step IN SELECT s.value FROM jsonb_array_elements(after_drop) s LOOP
        PERFORM strata._execute_as((step ->> 0)::oid::regrole, step ->> 1);
    END LOOP;
    RETURN unvalidated;
END
$$;
REVOKE ALL ON FUNCTION strata._swap_in(regclass, regclass, boolean) FROM PUBLIC;
COMMENT ON FUNCTION strata._swap_in(regclass, regclass, boolean) IS
'Replaces a table by its twin, name and all. Returns foreign keys of other tables that were left unvalidated, as [table, name].';

CREATE FUNCTION strata._statements_before_drop(relation regclass, shadow regclass) RETURNS SETOF text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    -- sequences go on where they are; those of identity columns are the table's own and hand their value over
    SELECT CASE d.deptype
        WHEN 'a' THEN format('ALTER SEQUENCE %s OWNED BY %s.%I', s.oid::regclass, shadow, a.attname)
        ELSE format('SELECT setval(%L, last_value, is_called) FROM %s', pg_get_serial_sequence(shadow::text, a.attname), s.oid::regclass) END
    FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = relation AND d.deptype IN ('a', 'i')
$$;
REVOKE ALL ON FUNCTION strata._statements_before_drop(regclass, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._statements_before_drop(regclass, regclass) IS 'What is taken off a table before its name goes to the twin.';

-- Replacing them keeps views as they are: privileges, comments, triggers, and what depends on them.
CREATE FUNCTION strata._statements_after_rename(relation regclass) RETURNS SETOF text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN d.rule_name = '_RETURN'
        THEN format('CREATE OR REPLACE VIEW %s%s AS %s', d.view,
            (SELECT format(' WITH (%s)', strata._option_list(c.reloptions)) FROM pg_class c WHERE c.oid = d.view AND c.reloptions IS NOT NULL),
            pg_get_viewdef(d.view))
        ELSE regexp_replace(pg_get_ruledef(d.rule), '^CREATE RULE', 'CREATE OR REPLACE RULE') END
    FROM strata._dependent_rules(relation) d
$$;
REVOKE ALL ON FUNCTION strata._statements_after_rename(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._statements_after_rename(regclass) IS 'What turns views and rules from a table to the one that has its name by then.';

CREATE FUNCTION strata._statements_after_drop(
    relation regclass, shadow regclass, OUT step int, OUT place bigint, OUT role regrole, OUT statement text
) RETURNS SETOF record
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 1, n.place, strata._owner(relation), n.statement FROM strata._own_names(relation, shadow) WITH ORDINALITY AS n (statement, place)
    UNION ALL
    SELECT 2, t.oid::bigint * 2 + s.place, strata._owner(relation), s.statement FROM pg_trigger t,
        LATERAL (VALUES (0, pg_get_triggerdef(t.oid)), (1, CASE t.tgenabled
            WHEN 'D' THEN format('ALTER TABLE %s DISABLE TRIGGER %I', relation, t.tgname)
            WHEN 'A' THEN format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', relation, t.tgname)
            WHEN 'R' THEN format('ALTER TABLE %s ENABLE REPLICA TRIGGER %I', relation, t.tgname) END)) s (place, statement)
    WHERE t.tgrelid = relation AND NOT t.tgisinternal AND s.statement IS NOT NULL
      AND t.tgname <> 'strata_guard' AND t.tgname NOT IN (SELECT k.trigger_name FROM strata._mark_trigger_kinds() k)
      AND t.tgname NOT IN ('strata_carry_insert', 'strata_carry_update', 'strata_carry_delete', 'strata_carry_truncate')
    UNION ALL
    SELECT 3, r.oid::bigint * 2 + s.place, strata._owner(relation), s.statement FROM pg_rewrite r,
        LATERAL (VALUES (0, pg_get_ruledef(r.oid)), (1, CASE r.ev_enabled
            WHEN 'D' THEN format('ALTER TABLE %s DISABLE RULE %I', relation, r.rulename)
            WHEN 'A' THEN format('ALTER TABLE %s ENABLE ALWAYS RULE %I', relation, r.rulename)
            WHEN 'R' THEN format('ALTER TABLE %s ENABLE REPLICA RULE %I', relation, r.rulename) END)) s (place, statement)
    WHERE r.ev_class = relation AND s.statement IS NOT NULL
    UNION ALL
    SELECT 4, p.oid::bigint, strata._owner(relation), format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, relation,
        CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
        CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
        (SELECT string_agg(CASE r.role WHEN 0 THEN 'PUBLIC' ELSE r.role::regrole::text END, ', ') FROM unnest(p.polroles) r (role)),
        ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
    FROM pg_policy p WHERE p.polrelid = relation
    UNION ALL
    SELECT 5, 0, c.relowner, format('ALTER TABLE %s %s ROW LEVEL SECURITY', relation, s.setting)
    FROM pg_class c, LATERAL (VALUES (c.relrowsecurity, 'ENABLE'), (c.relforcerowsecurity, 'FORCE')) s (is_set, setting)
    WHERE c.oid = relation AND s.is_set
    UNION ALL
    SELECT 6, k.oid::bigint, strata._owner(relation), format('ALTER TABLE %s ADD CONSTRAINT %I %s', relation, k.conname, pg_get_constraintdef(k.oid))
    FROM pg_constraint k WHERE k.conrelid = relation AND k.confrelid = relation
    UNION ALL
    SELECT 7, g.place, g.role, g.statement FROM strata._grant_statements(relation, relation::text) g
    UNION ALL
    SELECT 8, 0, strata._owner(relation), c.statement FROM strata._comment_statements(relation) c (statement)
    UNION ALL
    SELECT 9, p.oid::bigint, p.pubowner, format('ALTER PUBLICATION %I ADD TABLE %s%s%s', p.pubname, relation,
        (SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) || ')' FROM pg_attribute a
         WHERE a.attrelid = relation AND a.attnum = ANY (r.prattrs::int2[])),
        ' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')')
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = relation
$$;
REVOKE ALL ON FUNCTION strata._statements_after_drop(regclass, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._statements_after_drop(regclass, regclass) IS
'What gives the twin, once it has the table''s name, what the table had: names, triggers, rules, policies, privileges, comments, publications.';

CREATE FUNCTION strata._own_names(relation regclass, shadow regclass) RETURNS SETOF text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('ALTER INDEX %s RENAME TO %I', t.twin, c.relname)
    FROM strata._twin_indexes(relation, shadow) t JOIN pg_class c ON c.oid = t.original
    UNION ALL
    -- identity sequences
    SELECT s.statement FROM pg_depend d JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid,
    LATERAL (SELECT format('ALTER SEQUENCE %s RENAME TO %I', pg_get_serial_sequence(shadow::text, a.attname), q.relname)
             UNION ALL SELECT g.statement FROM strata._grant_statements(q.oid::regclass, 'SEQUENCE ' || q.oid::regclass) g
             UNION ALL SELECT format('COMMENT ON SEQUENCE %s IS %L', q.oid::regclass, o.description)
                       FROM (SELECT obj_description(q.oid, 'pg_class')) o (description) WHERE o.description IS NOT NULL) s (statement)
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = relation AND d.deptype = 'i'
    UNION ALL
    -- extended statistics, which may live in another schema
    SELECT s.statement FROM (
        SELECT x.oid, x.stxname, x.stxnamespace, x.stxrelid, x.stxstattarget,
               row_number() OVER (PARTITION BY x.stxrelid, c.columns, x.stxkind ORDER BY x.oid) AS number, c.columns, x.stxkind
        FROM pg_statistic_ext x, pg_get_statisticsobjdef_columns(x.oid) c (columns) WHERE x.stxrelid IN (relation, shadow)
    ) o JOIN (
        SELECT x.oid, x.stxname, x.stxnamespace, x.stxrelid,
               row_number() OVER (PARTITION BY x.stxrelid, c.columns, x.stxkind ORDER BY x.oid) AS number, c.columns, x.stxkind
        FROM pg_statistic_ext x, pg_get_statisticsobjdef_columns(x.oid) c (columns) WHERE x.stxrelid = shadow
    ) t USING (columns, stxkind, number),
    LATERAL (VALUES
        (format('ALTER STATISTICS %s.%I RENAME TO %I', t.stxnamespace::regnamespace, t.stxname, o.stxname)),
        (CASE WHEN t.stxnamespace <> o.stxnamespace
         THEN format('ALTER STATISTICS %s.%I SET SCHEMA %s', t.stxnamespace::regnamespace, o.stxname, o.stxnamespace::regnamespace) END),
        (CASE WHEN o.stxstattarget >= 0
         THEN format('ALTER STATISTICS %s.%I SET STATISTICS %s', o.stxnamespace::regnamespace, o.stxname, o.stxstattarget) END)) s (statement)
    WHERE o.stxrelid = relation AND s.statement IS NOT NULL
$$;
REVOKE ALL ON FUNCTION strata._own_names(regclass, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._own_names(regclass, regclass) IS
'Gives indexes, identity sequences and statistics of the twin the names they had at the table.';

-- Privileges are given again by whom they were given, those who hand on what they were handed after those they have
-- it from.
CREATE FUNCTION strata._grant_statements(relation regclass, target text, OUT place bigint, OUT role regrole, OUT statement text)
    RETURNS SETOF record
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE granted AS (
        SELECT c.relowner, g.grantor, g.grantee, g.privilege_type, g.is_grantable, NULL::name AS column_name
        FROM pg_class c, aclexplode(c.relacl) g WHERE c.oid = relation
        UNION ALL
        SELECT c.relowner, g.grantor, g.grantee, g.privilege_type, g.is_grantable, a.attname
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped, aclexplode(a.attacl) g
        WHERE c.oid = relation AND c.relkind <> 'S'
    ), ranked AS (
        SELECT g.relowner AS grantor, 1 AS depth FROM granted g
        UNION
        SELECT g.grantee, r.depth + 1 FROM ranked r JOIN granted g ON g.grantor = r.grantor
        WHERE g.is_grantable AND g.grantee <> g.relowner AND r.depth < 100
    )
    SELECT 0, c.relowner::regrole, format('REVOKE ALL ON %s FROM %s', target, c.relowner::regrole)
    FROM pg_class c WHERE c.oid = relation AND c.relacl IS NOT NULL
    UNION ALL
    SELECT (SELECT max(r.depth) FROM ranked r WHERE r.grantor = g.grantor), g.grantor::regrole,
        format('GRANT %s%s ON %s TO %s%s', g.privilege_type, ' (' || quote_ident(g.column_name) || ')', target,
            CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END,
            CASE WHEN g.is_grantable AND g.grantee <> g.relowner THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM granted g
    ORDER BY 1
$$;
REVOKE ALL ON FUNCTION strata._grant_statements(regclass, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._grant_statements(regclass, text) IS 'What gives the privileges on a relation to target.';

CREATE FUNCTION strata._comment_statements(relation regclass) RETURNS SETOF text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    -- LIKE took those of columns, checks, indexes and statistics
    SELECT format('COMMENT ON %s IS %L', o.target, d.description)
    FROM (
        SELECT 'pg_class'::regclass AS class, relation::oid AS object, format('TABLE %s', relation) AS target
        UNION ALL SELECT 'pg_constraint'::regclass, k.oid, format('CONSTRAINT %I ON %s', k.conname, relation) FROM pg_constraint k WHERE k.conrelid = relation
        UNION ALL SELECT 'pg_trigger'::regclass, t.oid, format('TRIGGER %I ON %s', t.tgname, relation) FROM pg_trigger t WHERE t.tgrelid = relation
        UNION ALL SELECT 'pg_policy'::regclass, p.oid, format('POLICY %I ON %s', p.polname, relation) FROM pg_policy p WHERE p.polrelid = relation
        UNION ALL SELECT 'pg_rewrite'::regclass, r.oid, format('RULE %I ON %s', r.rulename, relation) FROM pg_rewrite r WHERE r.ev_class = relation
    ) o JOIN pg_description d ON d.classoid = o.class AND d.objoid = o.object AND d.objsubid = 0
$$;
REVOKE ALL ON FUNCTION strata._comment_statements(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._comment_statements(regclass) IS 'The comments of a table and of what hangs on it.';

-- While rows move in chunks, triggers on the table carry every change to its twin at once.

CREATE FUNCTION strata._refuse_while_converting(relation regclass, detail text, hint text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'ST009',
        MESSAGE = format('%s is being converted to an event table', relation),
        DETAIL = detail,
        HINT = hint;
END
$$;
COMMENT ON FUNCTION strata._refuse_while_converting(regclass, text, text) IS 'Raises ST009: not while the table is being converted.';

CREATE FUNCTION strata._refuse_change(relation regclass, command text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM strata._refuse_while_converting(relation,
        format('%s is not possible meanwhile: %s.', command, CASE command WHEN 'TRUNCATE' THEN 'rows that are not copied yet could not be told from new ones'
            ELSE 'without a primary key that is checked at once, the copy of a row cannot be found' END),
        format('Wait until strata.conversions no longer shows it, or run: SELECT strata.cancel_conversion(%L);', relation::text));
END
$$;
COMMENT ON FUNCTION strata._refuse_change(regclass, text) IS 'Raises ST009 for a change that cannot be carried.';

-- The primary key by which changed rows are found in the twin; NULL if there is none that would do.
CREATE FUNCTION strata._carry_key(relation regclass) RETURNS oid
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.conindid FROM pg_constraint k WHERE k.conrelid = relation AND k.contype = 'p' AND NOT k.condeferrable
$$;
COMMENT ON FUNCTION strata._carry_key(regclass) IS 'The index of a table''s primary key, unless it is deferrable.';

CREATE FUNCTION strata._carry_body(relation regclass, shadow regclass) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format(CASE WHEN k.conname IS NULL THEN $body$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM strata._refuse_change(TG_RELID, TG_OP);
    END IF;
    INSERT INTO %1$s (%2$s) OVERRIDING SYSTEM VALUE SELECT %3$s FROM new_rows r;
    RETURN NULL;
END
$body$ ELSE $body$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM strata._refuse_change(TG_RELID, TG_OP);
    END IF;
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM %1$s s USING old_rows r WHERE %4$s;
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            -- a copy that the snapshot of this transaction does not show makes this fail with 40001
            INSERT INTO %1$s (%2$s) OVERRIDING SYSTEM VALUE SELECT %3$s FROM old_rows r ON CONFLICT ON CONSTRAINT %5$s DO NOTHING;
            DELETE FROM %1$s s USING old_rows r WHERE %4$s;
        END IF;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO %1$s (%2$s) OVERRIDING SYSTEM VALUE SELECT %3$s FROM new_rows r;
    END IF;
    RETURN NULL;
END
$body$ END, shadow, c.names, c.sources, key.condition, quote_ident(k.conname))
    FROM (SELECT string_agg(quote_ident(n), ', ') AS names, string_agg('r.' || quote_ident(n), ', ') AS sources
          FROM strata._copied_columns(relation) n) c
    LEFT JOIN pg_constraint k ON k.conrelid = shadow AND k.contype = 'p' AND NOT k.condeferrable
    LEFT JOIN LATERAL (
        SELECT string_agg(format('s.%1$I OPERATOR(%2$I.%3$s) r.%1$I', a.attname, s.nspname, o.oprname), ' AND ') AS condition
        FROM pg_index i
        CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[]) WITH ORDINALITY AS u (attnum, opclass, number)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.attnum
        JOIN pg_opclass oc ON oc.oid = u.opclass
        JOIN pg_amop m ON m.amopfamily = oc.opcfamily AND m.amoplefttype = oc.opcintype AND m.amoprighttype = oc.opcintype AND m.amopstrategy = 3
        JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace s ON s.oid = o.oprnamespace
        WHERE i.indexrelid = k.conindid AND u.number <= i.indnkeyatts
    ) key ON true
$$;
REVOKE ALL ON FUNCTION strata._carry_body(regclass, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._carry_body(regclass, regclass) IS 'The body of the trigger function that carries changes of a table to its twin.';

CREATE FUNCTION strata._create_carry(relation regclass, shadow regclass) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(relation);
    carry text := strata._schema(relation) || '.' || (
        SELECT quote_ident(strata._with_suffix(c.relname, '_strata_carry', c.relnamespace)) FROM pg_class c WHERE c.oid = relation);
    wanted record;
BEGIN
    PERFORM strata._execute_as(owner, format(
        'CREATE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS %L',
        carry, strata._carry_body(relation, shadow)));
    PERFORM strata._execute_as(owner, format('REVOKE ALL ON FUNCTION %s() FROM PUBLIC', carry));
    PERFORM strata._execute_as(owner, format('COMMENT ON FUNCTION %s() IS %L', carry, 'pg_strata: carries changes of ' || relation || ' to ' || shadow));
    PERFORM strata._execute_as(owner, format('ALTER FUNCTION %s() DEPENDS ON EXTENSION pg_strata', carry));
    FOR wanted IN
        SELECT * FROM (VALUES
            ('strata_carry_insert', 'AFTER INSERT', 'REFERENCING NEW TABLE AS new_rows'),
            ('strata_carry_update', 'AFTER UPDATE', 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'),
            ('strata_carry_delete', 'AFTER DELETE', 'REFERENCING OLD TABLE AS old_rows'),
            ('strata_carry_truncate', 'BEFORE TRUNCATE', '')
        ) AS v (trigger_name, event, transition)
    LOOP
        PERFORM strata._execute_as(owner, format('CREATE TRIGGER %I %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION %s()',
            wanted.trigger_name, wanted.event, relation, wanted.transition, carry));
        PERFORM strata._execute_as(owner, format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', relation, wanted.trigger_name));
    END LOOP;
    RETURN carry || '()';
END
$$;
REVOKE ALL ON FUNCTION strata._create_carry(regclass, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._create_carry(regclass, regclass) IS
'Puts the triggers on a table that carry its changes to its twin; returns their function.';

-- pg_trigger.xmin: a trigger that was disabled for a while has missed something.
CREATE FUNCTION strata._conversion_fingerprint(relation regclass) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT encode(sha256(convert_to(string_agg(f.fact, E'\n' ORDER BY f.fact), 'UTF8')), 'hex')
    FROM (
        SELECT concat_ws(' ', 'class', c.relfilenode, c.relowner, c.relnamespace, quote_ident(c.relname)) AS fact FROM pg_class c WHERE c.oid = relation
        UNION ALL
        SELECT concat_ws(' ', 'column', a.attnum, quote_ident(a.attname), a.atttypid, a.atttypmod, a.attnotnull, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid))
        FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT concat_ws(' ', 'constraint', quote_ident(k.conname), pg_get_constraintdef(k.oid)) FROM pg_constraint k
        WHERE k.conrelid = relation AND k.contype IN ('p', 'u', 'x', 'c', 'f')
        UNION ALL
        SELECT concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid)) FROM pg_index i WHERE i.indrelid = relation
        UNION ALL
        SELECT concat_ws(' ', 'trigger', t.tgname, t.tgenabled, t.xmin) FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname LIKE 'strata\_carry\_%'
    ) f
$$;
REVOKE ALL ON FUNCTION strata._conversion_fingerprint(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._conversion_fingerprint(regclass) IS 'Everything about a table that must stay as it is while its rows move.';

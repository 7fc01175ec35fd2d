-- Promise: from its return on no row of the table changes without a trace; what is there already is in the log too.
CREATE FUNCTION strata.enable_audit(relation regclass, exclude name[] DEFAULT '{}', erasable name[] DEFAULT '{}') RETURNS regclass
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._enable_audit(strata._authorize(relation, 'OWNER'), exclude, erasable) $$;
COMMENT ON FUNCTION strata.enable_audit(regclass, name[], name[]) IS
'Audits a table, with its partitions: every row version that comes or goes is hashed into the audit log, old versions are kept in a history relation beside the table, which is returned. Columns of exclude are in neither. Columns of erasable are hashed as salted commitments, so that strata.erase can destroy their values later; they must take NULL, and stay erasable when the table is audited anew. The table needs a primary key. Rows that are there begin the log (baseline). On a table that is audited already it repairs triggers and writes a new baseline: what to do after ALTER COLUMN … TYPE or DROP COLUMN. Takes ownership; holds writers back until the transaction ends. Errors: ST013 if the table cannot be audited, 0A000 for a column of a type without row encoding, 42703 no such column, 25001 in a transaction that is not READ COMMITTED.';

CREATE FUNCTION strata._enable_audit(relation regclass, exclude name[], erasable name[]) RETURNS regclass
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables;
    was_audited boolean;
    excluded_ids int[];
    erasable_ids int[];
    keys int[];
    event_chunk bigint;
    row_count bigint;
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING ERRCODE = '25001',
            MESSAGE = format('cannot begin to audit %s in a %s transaction', relation, current_setting('transaction_isolation')),
            DETAIL = 'The baseline must hold every row, and the snapshot of this transaction may not show them all.',
            HINT = 'Do it in a transaction of isolation level READ COMMITTED.';
    END IF;
    PERFORM strata._forget_dropped_relations();
    PERFORM strata._check_auditable(relation);
    PERFORM strata._execute_as(strata._owner(relation), format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation));
    PERFORM strata._identify_attributes(relation);
    excluded_ids := ARRAY(SELECT strata._attribute_id(relation, e) FROM unnest(exclude) e ORDER BY 1);
    keys := strata._key_ids(relation, exclude);
    SELECT a.* INTO audited FROM strata._audited_tables a WHERE a.relation = _enable_audit.relation;
    erasable_ids := ARRAY(SELECT strata._attribute_id(relation, e) FROM unnest(erasable) e UNION SELECT unnest(audited.erasable) ORDER BY 1);
    PERFORM strata._check_erasable(relation, erasable_ids, excluded_ids, keys);
    was_audited := audited.disabled_at IS NULL AND audited.audit_id IS NOT NULL;
    IF audited.audit_id IS NULL THEN
        INSERT INTO strata._audited_tables (relation, history, excluded, key_ids, erasable, relation_name, enabled_at)
        VALUES (relation, strata._create_history(relation, excluded_ids, keys), excluded_ids, keys, erasable_ids, relation::text, clock_timestamp())
        RETURNING * INTO audited;
        INSERT INTO strata._audit_columns (audit_id, attribute_id, history_column, logged_type)
        SELECT audited.audit_id, l.attribute_id, l.column_name, l.type_oid FROM strata._logged_columns(audited) l;
    ELSE
        UPDATE strata._audited_tables a
        SET disabled_at = NULL, enabled_at = CASE WHEN was_audited THEN a.enabled_at ELSE clock_timestamp() END, excluded = excluded_ids, key_ids = keys, erasable = erasable_ids, relation_name = _enable_audit.relation::text
        WHERE a.audit_id = audited.audit_id
        RETURNING * INTO audited;
        PERFORM strata._sync_history(audited.audit_id);
        -- what was dropped is no part of the rows that begin the log anew, and types are what they are now
        DELETE FROM strata._audit_columns c
        WHERE c.audit_id = audited.audit_id AND NOT EXISTS (SELECT FROM strata._logged_columns(audited) l WHERE l.attribute_id = c.attribute_id);
        UPDATE strata._audit_columns c SET logged_type = l.type_oid
        FROM strata._logged_columns(audited) l WHERE c.audit_id = audited.audit_id AND c.attribute_id = l.attribute_id;
    END IF;
    PERFORM strata._create_audit_triggers(relation);
    PERFORM strata._create_as_of_function(relation);
    PERFORM strata._identify_type(l.type_oid) FROM strata._logged_columns(audited) l;
    UPDATE strata._audited_tables a SET described = strata._describe_audited(audited)::text WHERE a.audit_id = audited.audit_id RETURNING * INTO audited;
    event_chunk := strata._audit_event(audited.audit_id, audited.table_uuid, CASE WHEN was_audited THEN 'rebaselined' ELSE 'enabled' END, audited.described);
    PERFORM strata._keep_erasable(audited, event_chunk);
    row_count := strata._audit_baseline(relation);
    IF row_count > 0 THEN
        RAISE NOTICE '% rows of % are in the log', row_count, relation;
    END IF;
    RETURN audited.history;
END
$$;
COMMENT ON FUNCTION strata._enable_audit(regclass, name[], name[]) IS 'The writing half of enable_audit.';

CREATE FUNCTION strata._check_auditable(relation regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kin regclass;
    fault text;
    advice text := 'Audit an ordinary or partitioned table with a primary key.';
BEGIN
    SELECT CASE WHEN c.relkind NOT IN ('r', 'p') THEN 'It is no table.'
                WHEN c.relpersistence <> 'p' THEN 'A crash empties an unlogged table, and a temporary one ends with its session.'
                WHEN c.relnamespace IN ('pg_catalog'::regnamespace, 'strata'::regnamespace) THEN 'It is a table of the system or of pg_strata.' END
    INTO fault FROM pg_class c WHERE c.oid = relation;
    SELECT a.relation INTO kin FROM strata._audited_tables a
    WHERE a.disabled_at IS NULL AND a.relation <> _check_auditable.relation
      AND (a.relation IN (SELECT p.relid FROM pg_partition_ancestors(_check_auditable.relation) p) OR a.relation IN (SELECT t.relid FROM strata._tree(_check_auditable.relation) t (relid)));
    IF fault IS NULL AND EXISTS (SELECT FROM strata._conversions v WHERE v.relation = _check_auditable.relation OR v.shadow = _check_auditable.relation) THEN
        fault := 'Its rows are being moved into an event table.';
        advice := 'Audit it once strata.convert_to_event_table is done.';
    ELSIF fault IS NULL AND kin IS NOT NULL THEN
        fault := format('%s is audited, and rows of one are rows of the other.', kin);
        advice := format('Run: SELECT strata.disable_audit(%L); first.', kin::text);
    ELSIF fault IS NULL AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = relation) AND (SELECT c.relkind = 'r' FROM pg_class c WHERE c.oid = relation) THEN
        fault := 'Other tables inherit from it.';
        advice := 'Audit each of them, or make it a partitioned table.';
    ELSIF fault IS NULL AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = relation AND i.indisprimary) THEN
        fault := 'It has no primary key: without one a row has no history.';
        advice := coalesce(strata._key_advice(relation), 'Partition it by columns rather than expressions, and give it a primary key.');
    END IF;
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'ST013', MESSAGE = format('%s cannot be audited', relation), DETAIL = fault, HINT = advice;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._check_auditable(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_auditable(regclass) IS 'Checks that a table can be audited; ST013 says why not.';

-- A key of a partitioned table has what it is partitioned by; a column of identity has no values in partitions written to
-- directly, and a sequence takes a right to use it.
CREATE FUNCTION strata._key_advice(relation regclass) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH new_column AS (
        SELECT quote_ident(min(n.name)) AS name FROM (SELECT CASE WHEN k = 0 THEN 'row_id' ELSE 'row_id_' || k END AS name FROM generate_series(0, 99) k) n
        WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = n.name)
    ), parts AS (
        SELECT string_agg(DISTINCT quote_ident(a.attname), ', ') AS columns, coalesce(bool_or(0 = ANY (p.partattrs::int2[])), false) AS by_expression
        FROM strata._tree(relation) t (relid) JOIN pg_partitioned_table p ON p.partrelid = t.relid
        LEFT JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = ANY (p.partattrs::int2[]) AND a.attnum > 0
    )
    SELECT CASE WHEN p.columns IS NULL
        THEN format('Run: ALTER TABLE %s ADD COLUMN %s bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY; or ADD PRIMARY KEY with columns that identify its rows.', relation, n.name)
        ELSE format('Run: ALTER TABLE %s ADD COLUMN %s uuid NOT NULL DEFAULT gen_random_uuid(), ADD PRIMARY KEY (%2$s, %3$s); or ADD PRIMARY KEY with these and columns that identify its rows.', relation, n.name, p.columns) END
    FROM new_column n, parts p WHERE NOT p.by_expression
$$;
REVOKE ALL ON FUNCTION strata._key_advice(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._key_advice(regclass) IS 'The statement that gives a table a primary key; NULL if it is partitioned by expressions and cannot have one.';

CREATE FUNCTION strata._key_ids(relation regclass, exclude name[]) RETURNS int[]
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    left_out name := (SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
                      WHERE i.indrelid = relation AND i.indisprimary AND a.attname = ANY (exclude) LIMIT 1);
BEGIN
    IF left_out IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'ST013',
            MESSAGE = format('%s cannot be audited without column %I', relation, left_out),
            DETAIL = 'It belongs to the primary key, by which rows are told from each other.',
            HINT = 'Leave it out of exclude.';
    END IF;
    RETURN (
        SELECT array_agg(strata._attribute_id(relation, a.attname) ORDER BY k.place)
        FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k (attnum, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        WHERE i.indrelid = relation AND i.indisprimary AND k.place <= i.indnkeyatts);
END
$$;
REVOKE ALL ON FUNCTION strata._key_ids(regclass, name[]) FROM PUBLIC;
COMMENT ON FUNCTION strata._key_ids(regclass, name[]) IS 'Ids of the columns of a table''s primary key, none of which may be excluded (ST013).';

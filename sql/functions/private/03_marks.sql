-- Dirty marks: which groups of which rollups must be recomputed because rows were changed, removed, or came with a
-- batch id whose place in the ledger says nothing about them.

-- Statements are made at each use from the definition views, so that renames reach them.
CREATE FUNCTION strata._mark_statements(table_id int, target regclass, source text, range_of text) RETURNS SETOF text
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    -- permit: none needed, it only reads definitions that every catalog shows
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
DECLARE
    event_table strata._event_tables;
    reference text;
    rollup record;
BEGIN
    -- triggers restored without the catalog belong to nobody: the id may be another table's by now
    SELECT t.* INTO event_table FROM strata._event_tables t
    WHERE t.table_id = _mark_statements.table_id AND t.relation IN (target, pg_partition_root(target));
    IF NOT FOUND THEN
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            RAISE EXCEPTION USING ERRCODE = '40001',
                MESSAGE = format('could not serialize access because %s became an event table meanwhile', target),
                HINT = 'The transaction might succeed if retried.';
        END IF;
        RETURN;
    END IF;
    reference := 'e.' || quote_ident(strata._time_column(event_table.relation));
    FOR rollup IN
        SELECT r.* FROM strata._rollups_of(event_table.table_id) r
    LOOP
        -- to_regclass looks at the catalog as it is now, pg_class as a query would at the transaction's snapshot
        CONTINUE WHEN to_regclass(rollup.dirty::text) IS NULL OR to_regclass(rollup.definition::text) IS NULL;
        RETURN NEXT (
            SELECT format('INSERT INTO %s SELECT DISTINCT %s, coalesce(e.batch_id, 0) FROM (%s) e WHERE %s >= %s%s',
                rollup.dirty, string_agg(d.expression, ', ' ORDER BY d.ordinal), source, reference,
                strata._time_at(event_table.time_type, quote_literal(event_table.retained_from) || '::timestamptz', false),
                coalesce(' AND (' || strata._definition_filter(rollup.definition) || ')', ''))
            FROM strata._definition_columns(rollup.definition) d
            WHERE d.aggregate IS NULL);
    END LOOP;
    IF range_of IS NOT NULL
        AND EXISTS (SELECT FROM strata._batch_checksums c WHERE c.table_id = event_table.table_id)
    THEN
        RETURN NEXT (
            SELECT format(
                'SELECT strata._amend_batches(%L::regclass, array_agg(a.batch_id), array_agg(a.lower), array_agg(a.upper)) '
                'FROM (SELECT e.batch_id, min(%2$s) AS lower, max(%2$s) AS upper FROM (%3$s) e WHERE e.batch_id IS NOT NULL GROUP BY e.batch_id) a '
                'HAVING count(*) > 0',
                event_table.relation, strata._time_value(event_table.time_type, reference), range_of));
    END IF;
END
$$;
COMMENT ON FUNCTION strata._mark_statements(int, regclass, text, text) IS
'The statements that mark groups dirty for the rows of source, which were changed in target, one per rollup, and note batches as amended for the rows of range_of.';

CREATE FUNCTION strata._amend_batches(relation regclass, batch_ids bigint[], lower timestamptz[], upper timestamptz[]) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._note_amended(strata._authorize(relation, 'OWNER'), batch_ids, lower, upper) $$;
COMMENT ON FUNCTION strata._amend_batches(regclass, bigint[], timestamptz[], timestamptz[]) IS
'Notes that rows of these batches, between these event times, were lawfully changed. Called by the triggers of the event table.';

CREATE FUNCTION strata._note_amended(relation regclass, batch_ids bigint[], lower timestamptz[], upper timestamptz[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    -- only batches with a checksum can be verified, and only those are worth a note
    INSERT INTO strata._amended_batches (table_id, batch_id, lower_time, upper_time)
    SELECT t.table_id, a.batch_id, a.lower, a.upper
    FROM strata._event_tables t, unnest(batch_ids, lower, upper) AS a (batch_id, lower, upper)
    WHERE t.relation = _note_amended.relation
      AND EXISTS (SELECT FROM strata._batch_checksums c WHERE c.table_id = t.table_id AND c.batch_id = a.batch_id);
END
$$;
COMMENT ON FUNCTION strata._note_amended(regclass, bigint[], timestamptz[], timestamptz[]) IS 'The writing half of _amend_batches.';

-- A batch id the sequence has yet to draw would be counted a second time when it is drawn.
CREATE FUNCTION strata._admit_batch_id(table_id int, target regclass, batch_id bigint) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT strata._reserve_batch_id(strata._authorize(r.relation, 'OWNER'), batch_id)
    FROM (SELECT strata._relation(table_id) OFFSET 0) AS r (relation)
    WHERE r.relation IN (target, pg_partition_root(target))
$$;
COMMENT ON FUNCTION strata._admit_batch_id(int, regclass, bigint) IS
'Checks a batch id that came with a row instead of from current_batch(), and moves the sequence past it where that is safe. ST006 out of range. Called by the triggers of the event table.';

CREATE FUNCTION strata._relation(table_id int) RETURNS regclass
    LANGUAGE sql STABLE STRICT SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT t.relation FROM strata._event_tables t WHERE t.table_id = _relation.table_id $$;
COMMENT ON FUNCTION strata._relation(int) IS 'The event table of a catalog id.';

CREATE FUNCTION strata._reserve_batch_id(relation regclass, batch_id bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sequence regclass;
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    IF batch_id IS NULL OR batch_id NOT BETWEEN 1 AND strata._batch_id_max() THEN
        RAISE EXCEPTION USING
            ERRCODE = 'ST006',
            MESSAGE = format('batch id %s is out of range', coalesce(batch_id::text, 'NULL')),
            DETAIL = format('Ids supplied with rows lie between 1 and %s.', strata._batch_id_max()),
            HINT = 'Leave batch_id out of the column list, so that its default applies.';
    END IF;
    sequence := (strata._event_table(relation)).batch_sequence;
    -- If others are drawing just now the sequence stays where it is: marks of an id not yet decided are kept until it
    -- is, so that nothing is counted twice either way.
    IF batch_id > coalesce(pg_sequence_last_value(sequence), 0) THEN
        PERFORM strata._raise_sequence(sequence, batch_id);
    END IF;
END
$$;
COMMENT ON FUNCTION strata._reserve_batch_id(regclass, bigint) IS 'The writing half of _admit_batch_id.';

CREATE FUNCTION strata._batch_id_max() RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT 4611686018427387904 $$;
COMMENT ON FUNCTION strata._batch_id_max() IS
'2^62: no row may carry a higher batch id, so that nobody can exhaust the sequence.';

-- The trigger function belongs to the table's owner and runs with the owner's rights, because it evaluates the owner's
-- expressions; it holds nothing but the calls, so that it never has to change.
CREATE FUNCTION strata._create_mark_function(event_table strata._event_tables) RETURNS regprocedure
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relation_name name;
    namespace oid;
    function_name text;
BEGIN
    SELECT strata._base_name(c.oid), c.relnamespace INTO relation_name, namespace FROM pg_class c WHERE c.oid = event_table.relation;
    function_name := strata._schema(event_table.relation) || '.' || quote_ident(strata._with_suffix(relation_name, '_strata_mark', namespace));
    PERFORM strata._execute_as(strata._owner(event_table.relation), format($create$
CREATE FUNCTION %s() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    statement text;
    source text := CASE
        WHEN TG_OP = 'TRUNCATE' THEN format('SELECT * FROM ONLY %%s', TG_RELID::regclass)
        WHEN TG_LEVEL = 'ROW' THEN CASE TG_OP WHEN 'INSERT' THEN 'SELECT ($1).*' WHEN 'DELETE' THEN 'SELECT ($2).*'
            ELSE 'SELECT ($2).* UNION ALL SELECT ($1).*' END
        WHEN TG_OP = 'UPDATE' THEN 'SELECT * FROM old_rows UNION ALL SELECT * FROM new_rows'
        ELSE 'SELECT * FROM old_rows'
    END;
BEGIN
    IF TG_OP = 'TRUNCATE' AND current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING
            ERRCODE = '25001',
            MESSAGE = format('cannot truncate %%s in a %%s transaction', TG_RELID::regclass, current_setting('transaction_isolation')),
            DETAIL = 'Rollups must learn of every row that goes, and the snapshot of this transaction may not show them all.',
            HINT = 'Truncate in a transaction of isolation level READ COMMITTED.';
    END IF;
    IF TG_LEVEL = 'ROW' AND TG_OP <> 'DELETE' THEN
        PERFORM strata._admit_batch_id(TG_ARGV[0]::int, TG_RELID, NEW.batch_id);
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM strata._admit_batch_id(TG_ARGV[0]::int, TG_RELID, m.batch_id)
        FROM (SELECT min(coalesce(n.batch_id, 0)) AS batch_id FROM new_rows n UNION SELECT max(n.batch_id) FROM new_rows n) m
        WHERE m.batch_id IS NOT NULL;
        -- An UPDATE keeps batch ids. A MERGE that inserts before it updates leaves inserted rows where new_rows should hold the
        -- updated ones (PostgreSQL 15): these are then among the rows of the batches that were changed.
        IF EXISTS (SELECT n.batch_id FROM new_rows n EXCEPT ALL SELECT o.batch_id FROM old_rows o) THEN
            source := source || format(' UNION ALL SELECT * FROM %%s WHERE batch_id IN (SELECT o.batch_id FROM old_rows o)', TG_RELID::regclass);
        END IF;
    END IF;
    FOR statement IN
        SELECT strata._mark_statements(TG_ARGV[0]::int, TG_RELID, source, CASE WHEN TG_OP <> 'INSERT' THEN source END)
    LOOP
        IF TG_LEVEL = 'ROW' THEN
            EXECUTE statement USING NEW, OLD;
        ELSE
            EXECUTE statement;
        END IF;
    END LOOP;
    RETURN NULL;
END
$function$
$create$, function_name));
    PERFORM strata._execute_as(strata._owner(event_table.relation), format('REVOKE ALL ON FUNCTION %s() FROM PUBLIC', function_name));
    PERFORM strata._execute_as(strata._owner(event_table.relation), format(
        'COMMENT ON FUNCTION %s() IS %L', function_name, 'pg_strata: tells rollups of changes to ' || event_table.relation::text));
    PERFORM strata._execute_as(strata._owner(event_table.relation), format('ALTER FUNCTION %s() DEPENDS ON EXTENSION pg_strata', function_name));
    RETURN (function_name || '()')::regprocedure;
END
$$;
REVOKE ALL ON FUNCTION strata._create_mark_function(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._create_mark_function(strata._event_tables) IS
'Makes the trigger function of an event table, owned by the table''s owner.';

CREATE FUNCTION strata._mark_function(relation regclass) RETURNS regprocedure
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.tgfoid::regprocedure FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = 'strata_guard'
$$;
COMMENT ON FUNCTION strata._mark_function(regclass) IS 'The trigger function of an event table; NULL if it has none.';

-- The triggers that tell rollups of changes. Row triggers reach partitions by themselves, statement triggers do not: every
-- relation of the tree gets its own. Logical replication fires no statement trigger for the rows it updates or deletes:
-- strata_replica marks them one by one, and is idle in every other session.
CREATE FUNCTION strata._mark_trigger_kinds(OUT trigger_name name, OUT on_parent_only boolean, OUT enabled "char", OUT definition text) RETURNS SETOF record
    LANGUAGE sql IMMUTABLE
    -- no search_path: inlined, it is asked for every partition
AS $$
    VALUES
        ('strata_mark_update'::pg_catalog.name, false, 'A'::pg_catalog."char", 'AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT'),
        ('strata_mark_delete', false, 'A', 'AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT'),
        ('strata_mark_truncate', false, 'A', 'BEFORE TRUNCATE ON %s FOR EACH STATEMENT'),
        ('strata_replica', true, 'R', 'AFTER UPDATE OR DELETE ON %s FOR EACH ROW')
$$;
COMMENT ON FUNCTION strata._mark_trigger_kinds() IS
'The triggers of event tables that mark dirty groups: whether they are made on the parent alone and reach partitions from there, their pg_trigger.tgenabled, and their definition, %s being the relation.';

CREATE FUNCTION strata._create_mark_triggers(event_table strata._event_tables, relation regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(relation);
    mark text := strata._mark_function(event_table.relation)::oid::regproc::text;
    wanted record;
    switches text[] := '{}';
BEGIN
    FOR wanted IN
        SELECT k.*, t.oid IS NULL AS missing
        FROM strata._mark_trigger_kinds() k LEFT JOIN pg_trigger t ON t.tgrelid = relation AND t.tgname = k.trigger_name
        WHERE t.tgenabled IS DISTINCT FROM k.enabled AND (t.oid IS NOT NULL OR NOT k.on_parent_only OR relation = event_table.relation)
    LOOP
        IF wanted.missing THEN
            PERFORM strata._execute_as(owner, format('CREATE TRIGGER %I ', wanted.trigger_name) || format(wanted.definition, relation)
                || format(' EXECUTE FUNCTION %s(%L)', mark, event_table.table_id));
        END IF;
        switches := switches || format('ENABLE %s TRIGGER %I', CASE wanted.enabled WHEN 'A' THEN 'ALWAYS' ELSE 'REPLICA' END, wanted.trigger_name);
    END LOOP;
    IF switches <> '{}' THEN
        PERFORM strata._execute_as(owner, format('ALTER TABLE %s %s', relation, array_to_string(switches, ', ')));
    END IF;
    IF EXISTS (SELECT FROM strata._audited_tables a WHERE a.relation = event_table.relation AND a.disabled_at IS NULL) THEN
        PERFORM strata._create_truncate_trigger(_create_mark_triggers.relation);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._create_mark_triggers(strata._event_tables, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._create_mark_triggers(strata._event_tables, regclass) IS
'Puts the triggers that mark dirty groups on one relation of an event table''s partition tree, and switches on those that are off.';

-- A row whose batch id is not this transaction's open batch looks as if it had been folded: its group is recomputed.
CREATE FUNCTION strata._create_guard(event_table strata._event_tables) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(event_table.relation);
    mark text := strata._create_mark_function(event_table)::oid::regproc::text;
BEGIN
    PERFORM strata._execute_as(owner, format(
        'CREATE TRIGGER strata_guard AFTER INSERT ON %s FOR EACH ROW WHEN (strata._foreign_row(%L::regclass, NEW.batch_id, %s)) EXECUTE FUNCTION %s(%L)',
        event_table.relation, event_table.relation,
        strata._time_value(event_table.time_type, 'NEW.' || quote_ident(strata._time_column(event_table.relation))), mark, event_table.table_id));
    PERFORM strata._execute_as(owner, format('ALTER TABLE %s ENABLE ALWAYS TRIGGER strata_guard', event_table.relation));
END
$$;
REVOKE ALL ON FUNCTION strata._create_guard(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._create_guard(strata._event_tables) IS
'Puts the guard against foreign batch ids on an event table; partitions inherit it.';

CREATE FUNCTION strata._drop_triggers(relation regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_trigger record;
    mark text := strata._mark_function(relation)::text;
BEGIN
    FOR found_trigger IN
        SELECT t.tgname, t.tgrelid::regclass AS relation FROM strata._tree(_drop_triggers.relation) p (relid)
        JOIN pg_trigger t ON t.tgrelid = p.relid
        WHERE t.tgparentid = 0 AND (t.tgname = 'strata_guard' OR t.tgname IN (SELECT k.trigger_name FROM strata._mark_trigger_kinds() k))
        UNION
        -- partitions detached by hand have kept theirs
        SELECT t.tgname, t.tgrelid::regclass FROM pg_depend d JOIN pg_trigger t ON t.oid = d.objid
        WHERE d.classid = 'pg_trigger'::regclass AND d.refclassid = 'pg_proc'::regclass AND d.refobjid = mark::regprocedure AND t.tgparentid = 0
    LOOP
        PERFORM strata._execute_as(strata._owner(found_trigger.relation), format('DROP TRIGGER %I ON %s', found_trigger.tgname, found_trigger.relation));
    END LOOP;
    IF mark IS NOT NULL THEN
        PERFORM strata._execute_as(strata._owner(relation), format('DROP FUNCTION %s', mark));
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._drop_triggers(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._drop_triggers(regclass) IS 'Takes guard, mark triggers and their function off a table and its partitions.';

-- Rows may have come with batch ids that nobody has drawn yet, or whose transaction has not ended. They marked their groups
-- in the rollups of the time; a rollup filled since counts them, and would count them again when the batch comes.
CREATE FUNCTION strata._mark_undecided(rollup strata._rollups) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(strata._relation(rollup.table_id));
    -- what one of the rollups knows to be decided is
    decided bigint := greatest((SELECT l.horizon FROM strata._ledger_progress l WHERE l.table_id = rollup.table_id),
        (SELECT max(p.horizon) FROM strata._rollup_progress p JOIN strata._rollups r ON r.rollup_id = p.rollup_id WHERE r.table_id = rollup.table_id));
BEGIN
    PERFORM strata._execute_as(strata._owner(rollup.dirty), (
        SELECT format('INSERT INTO %s SELECT DISTINCT %s, e.batch_id FROM %s e WHERE e.batch_id > %s AND e.%I >= %s%s '
                'AND NOT e.batch_id <@ (SELECT folded FROM strata._rollup_state WHERE rollup_id = %s) '
                'AND e.batch_id NOT IN (SELECT batch_id FROM strata._pending_batches WHERE rollup_id = %s)',
            rollup.dirty, string_agg(d.expression, ', ' ORDER BY d.ordinal), event_table.relation, decided, strata._time_column(event_table.relation),
            strata._time_at(event_table.time_type, quote_literal(event_table.retained_from) || '::timestamptz', false),
            coalesce(' AND (' || strata._definition_filter(rollup.definition) || ')', ''), rollup.rollup_id, rollup.rollup_id)
        FROM strata._definition_columns(rollup.definition) d
        WHERE d.aggregate IS NULL));
END
$$;
REVOKE ALL ON FUNCTION strata._mark_undecided(strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._mark_undecided(strata._rollups) IS
'Marks, in a rollup about to be filled, the groups of rows whose batch ids are not decided yet.';

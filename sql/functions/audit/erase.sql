-- Promise: values of a key's erasable columns, and the secret that its hashes were made with, are gone from table, history and
-- dead letters; what was proven before stays proven.
CREATE FUNCTION strata.erase(relation regclass, key text, OUT rows bigint, OUT versions bigint, OUT dead_letters bigint, OUT unread_dead_letters bigint)
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT e.* FROM strata._erase(strata._authorize(relation, 'OWNER'), key) e $$;
COMMENT ON FUNCTION strata.erase(regclass, text) IS
'Erases the values of the erasable columns (strata.enable_audit) of one key: NULL in the row, which is an UPDATE like any other and logged, NULL in its old versions, beside which their commitments stay, and the salt that these were made with; dead letters whose record names the key are deleted, with whatever they have of other keys. The log says who did it, when, to which columns and key hash, not what the values were. Returns how many rows and old versions had values, how many dead letters are gone, and how many records of dead letters are compressed and were not looked into. key is the text of a key of one column, or a jsonb object. Not reached, and not to be reached from here: WAL, backups, standbys until they have replayed it, dumps, the stream, pages until VACUUM. Takes ownership; holds writers of the table back until the transaction ends. Errors: ST012 if the table is not audited, 55000 if it has no erasable columns or a trigger or expression puts values back, P0002 if there never was such a key, 22023 for what is no key, 25001 in a transaction that is not READ COMMITTED.';

CREATE FUNCTION strata._erase(relation regclass, key text, OUT rows bigint, OUT versions bigint, OUT dead_letters bigint, OUT unread_dead_letters bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables;
    parts record;
    key_condition text;
    old_condition text;
    key_of_row jsonb;
    key_arguments text;
    salt_key bytea;
    key_hash bigint;
    context text := current_setting('strata.audit_context', true);
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    audited := strata._audited_table(relation);
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING ERRCODE = '25001',
            MESSAGE = format('cannot erase rows of %s in a %s transaction', relation, current_setting('transaction_isolation')),
            DETAIL = 'Every version of the row must be seen, and the snapshot of this transaction may not show them all.',
            HINT = 'Do it in a transaction of isolation level READ COMMITTED.';
    ELSIF audited.erasable = '{}' THEN
        RAISE EXCEPTION USING ERRCODE = '55000',
            MESSAGE = format('%s has no erasable columns', relation),
            DETAIL = 'Hashes of its values are in the log without a salt.',
            HINT = format('Run: SELECT strata.enable_audit(%L, erasable => ''{<columns>}''); values logged from then on can be erased.', relation::text);
    END IF;
    PERFORM strata._execute_as(strata._owner(relation), format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation));
    PERFORM strata._flush_audit();
    key_condition := strata._key_condition(relation, key, 't');
    old_condition := strata._key_condition(relation, key, 'h');
    key_of_row := strata._key_object(relation, key);
    SELECT p.* INTO parts FROM strata._erasable_parts(audited) p;
    SELECT string_agg(format('%L::%s', key_of_row ->> l.column_name::text, l.type_text), ', ' ORDER BY l.attribute_id) INTO key_arguments
    FROM strata._logged_columns(audited) l WHERE l.attribute_id = ANY (audited.key_ids);
    EXECUTE format('SELECT strata._salt_key($1, %1$s), strata._key_hash($1, %1$s)', key_arguments) USING relation INTO salt_key, key_hash;
    PERFORM strata._check_key_known(audited, key_condition, old_condition, salt_key, key_of_row);

    rows := 0;
    IF parts.assignments IS NOT NULL THEN
        PERFORM set_config('strata.audit_context', (coalesce(nullif(context, ''), '{}')::jsonb || jsonb_build_object('erased', parts.columns))::text, true);
        rows := strata._execute_as(strata._owner(relation), format('WITH u AS (UPDATE %s t SET %s WHERE %s AND (%s) RETURNING 1) SELECT count(*) FROM u',
            relation, parts.assignments, key_condition, parts.has_values))::bigint;
        PERFORM strata._flush_audit();
        PERFORM set_config('strata.audit_context', coalesce(context, ''), true);
        PERFORM strata._check_emptied(relation, key_condition, parts.has_values);
    END IF;
    versions := strata._erase_history(audited, old_condition, (SELECT s.salt FROM strata._audit_salts s WHERE s.audit_id = audited.audit_id AND s.key = salt_key));
    DELETE FROM strata._audit_salts s WHERE s.audit_id = audited.audit_id AND s.key = salt_key;
    PERFORM strata._erase_checksums(audited, key_condition, old_condition);
    SELECT d.erased, d.unread INTO dead_letters, unread_dead_letters FROM strata._erase_dead_letters(audited, key_of_row) d;
    IF rows + versions + dead_letters = 0 THEN
        RAISE NOTICE 'nothing of this key of % was left to erase', relation;
        RETURN;
    END IF;
    PERFORM strata._audit_event(audited.audit_id, audited.table_uuid, 'erased', jsonb_build_object('relation', relation::text,
        'columns', (SELECT jsonb_agg(DISTINCT e.attribute_id) FROM strata._audit_erasable e WHERE e.audit_id = audited.audit_id),
        'key_hash', key_hash, 'rows', rows, 'versions', versions, 'dead_letters', dead_letters)::text);
    RAISE NOTICE 'until a VACUUM the values are still in pages and statistics; as a superuser or the owner of the database run: VACUUM (ANALYZE) %, %, strata._audit_salts%;',
        relation, audited.history, CASE WHEN dead_letters > 0 THEN ', strata._dead_letters' ELSE '' END;
END
$$;
COMMENT ON FUNCTION strata._erase(regclass, text) IS 'The writing half of erase.';

CREATE FUNCTION strata._check_key_known(audited strata._audited_tables, key_condition text, old_condition text, salt_key bytea, key_of_row jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_known boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %s t WHERE %s) OR EXISTS (SELECT FROM %s h WHERE %s)', audited.relation, key_condition, audited.history, old_condition) INTO is_known;
    IF NOT is_known AND NOT EXISTS (SELECT FROM strata._audit_salts s WHERE s.audit_id = audited.audit_id AND s.key = salt_key) THEN
        RAISE EXCEPTION USING ERRCODE = 'P0002',
            MESSAGE = format('%s has no row of this key, and never had since it is audited', audited.relation),
            DETAIL = format('The key: %s.', key_of_row),
            HINT = format('strata.row_history(%L, <key>) shows what there is of a key.', audited.relation::text);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._check_key_known(strata._audited_tables, text, text, bytea, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_key_known(strata._audited_tables, text, text, bytea, jsonb) IS 'Checks that a table has, or had, a row of a key; P0002.';

-- (read with the rights of the catalog's owner: policies of the table may hide the row from its own owner)
CREATE FUNCTION strata._check_emptied(relation regclass, key_condition text, has_values text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_left boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %s t WHERE %s AND (%s))', relation, key_condition, has_values) INTO is_left;
    IF is_left THEN
        RAISE EXCEPTION USING ERRCODE = '55000',
            MESSAGE = format('an erasable column of %s did not stay NULL', relation),
            DETAIL = 'A trigger or the expression of a generated column gives it a value again, or a policy hides the row from the owner of the table.',
            HINT = 'Make the trigger or expression keep NULL, or let policies pass the owner (ALTER TABLE … NO FORCE ROW LEVEL SECURITY).';
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._check_emptied(regclass, text, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_emptied(regclass, text, text) IS 'Checks that a row has no erasable value any more; 55000.';

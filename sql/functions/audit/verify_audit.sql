-- Promise: silent on clean data, whatever runs beside it; any difference between digest, log and tables is a row with its class.
CREATE FUNCTION strata.verify_audit(digest text DEFAULT NULL, OUT fault text, OUT relation regclass, OUT place jsonb, OUT detail text) RETURNS SETOF record
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT strata._flush_audit();
    -- partitions that leave the log while it is read stay until all of it was
    SELECT strata._hold_audited();
    SELECT v.* FROM strata._verify_audit(digest) v;
$$;
REVOKE ALL ON FUNCTION strata.verify_audit(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata.verify_audit(text) TO strata_auditor;
COMMENT ON FUNCTION strata.verify_audit(text) IS
'Compares, under one snapshot, the log with a digest (the text of a checkpoint, with or without signatures, whose signature is checked by strata verify --audit), the log with its chunks and tiles, and every audited table, row by row, with its log. No row means sound; a NOTICE says how much was compared. Faults: edited, missing, extra (rows of a table), reordered, log_edited, log_missing, truncated, forked (the log), trigger_disabled, schema_changed. It reads the whole log and every audited table. For members of strata_auditor.';

CREATE FUNCTION strata._hold_audited() RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER
    -- permit: none needed, only members of strata_auditor may execute it
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT strata._audit_hold(a.relation) FROM strata._audited_tables a JOIN pg_class c ON c.oid = a.relation WHERE a.disabled_at IS NULL ORDER BY a.relation
$$;
REVOKE ALL ON FUNCTION strata._hold_audited() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata._hold_audited() TO strata_auditor;
COMMENT ON FUNCTION strata._hold_audited() IS 'Keeps audited tables and their partitions from being detached or dropped until the transaction ends.';

-- STABLE: everything in it reads by the snapshot of the statement that calls it.
CREATE FUNCTION strata._verify_audit(digest text, OUT fault text, OUT relation regclass, OUT place jsonb, OUT detail text) RETURNS SETOF record
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    -- permit: none needed, only members of strata_auditor may execute it
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables;
    row_count bigint := 0;
    replayed strata._replayed[] := ARRAY(SELECT r FROM strata._audit_replay() r);
    state bytea;
    logged bytea;
BEGIN
    RETURN QUERY SELECT d.fault, NULL::regclass, d.place, d.detail FROM strata._verify_digest(digest) d;
    RETURN QUERY SELECT g.fault, NULL::regclass, g.place, g.detail FROM strata._verify_log(replayed) g;
    RETURN QUERY SELECT r.fault, NULL::regclass, r.place, r.detail FROM strata._verify_records() r;
    FOR audited IN SELECT a.* FROM strata._audited_tables a JOIN pg_class c ON c.oid = a.relation WHERE a.disabled_at IS NULL ORDER BY a.audit_id LOOP
        RETURN QUERY SELECT 'trigger_disabled', audited.relation, jsonb_build_object('partition', t.partition::text, 'trigger', t.trigger_name), t.detail
            FROM strata._verify_triggers(audited) t;
        state := strata._audit_scan(audited.relation);
        row_count := row_count + strata._audit_rows(state);
        SELECT r.whole INTO logged FROM unnest(replayed) r WHERE r.audit_id = audited.audit_id;
        IF NOT FOUND THEN
            logged := strata._logged_state(audited);
        END IF;
        IF NOT strata._audit_equal(state, logged) THEN
            RETURN QUERY SELECT 'schema_changed', audited.relation, jsonb_build_object('column', s.column_name), s.detail FROM strata._verify_schema(audited) s;
            IF NOT FOUND THEN
                RETURN QUERY SELECT f.fault, audited.relation, f.place, f.detail FROM strata._verify_rows(audited) f;
            END IF;
        END IF;
    END LOOP;
    RAISE NOTICE '% rows of % audited tables and % leaves of the log compared', row_count,
        (SELECT count(*) FROM strata._audited_tables a WHERE a.disabled_at IS NULL), coalesce((SELECT l.size FROM strata._audit_log l), 0);
END
$$;
REVOKE ALL ON FUNCTION strata._verify_audit(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata._verify_audit(text) TO strata_auditor;
COMMENT ON FUNCTION strata._verify_audit(text) IS 'The reading half of verify_audit.';

CREATE FUNCTION strata._verify_digest(digest text, OUT fault text, OUT place jsonb, OUT detail text) RETURNS SETOF record
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lines text[] := string_to_array(digest, E'\n');
    log strata._audit_log;
    signed_root bytea;
BEGIN
    IF digest IS NULL THEN
        RETURN;
    END IF;
    SELECT l.* INTO log FROM strata._audit_log l;
    IF coalesce(array_length(lines, 1), 0) < 3 OR lines[2] !~ '^(0|[1-9][0-9]{0,17})$' OR lines[3] !~ '^[A-Za-z0-9+/]{43}=$' THEN
        RAISE EXCEPTION USING ERRCODE = '22023',
            MESSAGE = 'not the text of a checkpoint',
            DETAIL = 'Its lines are origin, size and root in base64, possibly followed by signatures.',
            HINT = 'Pass the file that strata seal published, or the checkpoint of strata.audit_digest(), as it is.';
    END IF;
    signed_root := decode(lines[3], 'base64');
    place := jsonb_build_object('size', lines[2]::bigint);
    IF lines[1] IS DISTINCT FROM log.origin THEN
        fault := 'forked';
        detail := format('the digest is of log %s, this one is %s', lines[1], coalesce(log.origin, 'empty'));
    ELSIF lines[2]::bigint > log.size THEN
        fault := 'truncated';
        detail := format('the digest has %s leaves, the log %s', lines[2], log.size);
    -- (where only tiles were tampered with, _verify_log says so)
    ELSIF signed_root IS DISTINCT FROM strata._tree_root(lines[2]::bigint) AND signed_root IS DISTINCT FROM (
        SELECT strata._tree_root_of(array_agg(CASE WHEN c.chunk_id IS NULL THEN substr(t.hashes, (e.log_index % 256)::int * 32 + 1, 32) ELSE strata._chunk_leaf(c) END ORDER BY e.log_index))
        FROM strata._audit_entries e LEFT JOIN strata._audit_chunks c ON c.chunk_id = e.chunk_id
        LEFT JOIN strata._audit_tiles t ON t.level = 0 AND t.tile_index = e.log_index / 256 WHERE e.log_index < lines[2]::bigint) THEN
        fault := 'forked';
        detail := format('the first %s leaves are other ones than those the digest was signed for', lines[2]);
    ELSE
        RETURN;
    END IF;
    RETURN NEXT;
END
$$;
REVOKE ALL ON FUNCTION strata._verify_digest(text) FROM PUBLIC;
COMMENT ON FUNCTION strata._verify_digest(text) IS 'In what the log contradicts a digest; 22023 for what is none.';

CREATE FUNCTION strata._verify_log(replayed strata._replayed[], OUT fault text, OUT place jsonb, OUT detail text) RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH sealed AS MATERIALIZED (
        SELECT e.log_index, e.chunk_id, e.audit_id, c.audit_id AS chunk_audit_id, c.chunk_id IS NOT NULL AS is_there
        FROM strata._audit_entries e LEFT JOIN strata._audit_chunks c ON c.chunk_id = e.chunk_id
    ), covered AS MATERIALIZED (
        -- (that these are the chunks the record says, _verify_records checks)
        SELECT a.audit_id, (SELECT max(r.through) FROM strata._state_records(a.audit_id) r WHERE r.is_sealed) AS through
        FROM (SELECT DISTINCT c.audit_id FROM strata._audit_chunks c WHERE c.operation = 'state') a
    ), log AS (
        SELECT l.size, l.root, (SELECT count(*) FROM sealed) AS entries, (SELECT max(s.log_index) + 1 FROM sealed s) AS reached FROM strata._audit_log l
    )
    SELECT 'log_missing', jsonb_build_object('log_index', s.log_index, 'chunk_id', s.chunk_id), 'the chunk of this leaf is gone'
    FROM sealed s WHERE NOT s.is_there AND NOT EXISTS (SELECT FROM covered v WHERE v.audit_id = s.audit_id AND s.chunk_id <= v.through)
    UNION ALL
    SELECT 'log_edited', jsonb_build_object('log_index', s.log_index, 'chunk_id', s.chunk_id), 'the place is told to be of another table than its chunk'
    FROM sealed s WHERE s.chunk_audit_id <> s.audit_id
    UNION ALL
    SELECT CASE r.fault WHEN 'reordered' THEN 'reordered' ELSE 'log_edited' END, jsonb_build_object('log_index', r.log_index, 'chunk_id', r.chunk_id),
           CASE r.fault WHEN 'not_held' THEN 'the row leaves of the chunk are not those of its root' ELSE 'the chunk is not the one that was sealed at this place' END
    FROM unnest(replayed) r WHERE r.fault IS NOT NULL
    UNION ALL
    SELECT 'log_missing', jsonb_build_object('log_index', g.log_index), 'no chunk has this place in the log'
    FROM log l CROSS JOIN LATERAL generate_series(0, l.reached - 1) g (log_index)
    WHERE l.reached > l.entries AND NOT EXISTS (SELECT FROM sealed s WHERE s.log_index = g.log_index)
    UNION ALL
    SELECT 'truncated', jsonb_build_object('size', l.size), format('the log says that it has %s leaves, and %s are there', l.size, coalesce(l.reached, 0))
    FROM log l WHERE coalesce(l.reached, 0) < l.size
    UNION ALL
    SELECT 'log_edited', jsonb_build_object('size', l.size), 'the root of the log is not that of its tiles'
    FROM log l WHERE l.size > 0 AND (l.root IS DISTINCT FROM strata._tree_root(l.size) OR l.root IS DISTINCT FROM strata._leaf_root(l.size))
    UNION ALL
    SELECT 'log_edited', jsonb_build_object('relation', a.relation_name), 'the state kept of the table is not that of its sealed chunks'
    FROM strata._audited_tables a LEFT JOIN strata._audit_states k ON k.audit_id = a.audit_id
    WHERE NOT strata._audit_equal(k.state, coalesce((SELECT r.sealed FROM unnest(replayed) r WHERE r.audit_id = a.audit_id), strata._state_since(a.audit_id, NULL, true)))
    UNION ALL
    SELECT 'trigger_disabled', jsonb_build_object('table', u.table_uuid), 'the catalog has forgotten a table that the log says is audited'
    FROM (SELECT DISTINCT ON (c.table_uuid) c.table_uuid, c.operation FROM strata._audit_chunks c
          WHERE c.operation IN ('enabled', 'rebaselined', 'disabled', 'dropped') ORDER BY c.table_uuid, c.chunk_id DESC) u
    WHERE u.operation IN ('enabled', 'rebaselined') AND NOT EXISTS (SELECT FROM strata._audited_tables a WHERE a.table_uuid = u.table_uuid AND a.disabled_at IS NULL)
$$;
REVOKE ALL ON FUNCTION strata._verify_log(strata._replayed[]) FROM PUBLIC;
COMMENT ON FUNCTION strata._verify_log(strata._replayed[]) IS 'In what the log contradicts itself: entries, chunks, tiles, root, states.';

CREATE FUNCTION strata._verify_triggers(audited strata._audited_tables, OUT partition regclass, OUT trigger_name name, OUT detail text) RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    -- the partitions that the snapshot shows, as it shows the triggers
    WITH RECURSIVE tree (relid) AS (
        SELECT audited.relation::oid
        UNION ALL
        SELECT i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid WHERE NOT i.inhdetachpending
    )
    SELECT p.relid, 'strata_audit', CASE WHEN g.tgname IS NULL THEN 'the trigger is gone' ELSE 'the trigger does not fire always' END
    FROM tree p
    LEFT JOIN pg_trigger g ON g.tgrelid = p.relid AND g.tgfoid = 'strata._audit_row()'::regprocedure
    WHERE g.tgenabled IS DISTINCT FROM 'A'
    UNION ALL
    SELECT p.relid, 'strata_audit_truncate', CASE WHEN g.tgname IS NULL THEN 'the trigger is gone' ELSE 'the trigger does not fire always' END
    FROM tree p
    LEFT JOIN pg_trigger g ON g.tgrelid = p.relid AND g.tgfoid = 'strata._audit_truncate()'::regprocedure
    -- (a partition made since has none, which is for health to say)
    WHERE g.tgenabled <> 'A' OR (g.tgname IS NULL AND p.relid = audited.relation)
$$;
COMMENT ON FUNCTION strata._verify_triggers(strata._audited_tables) IS 'Triggers of an audited table that are gone or would not fire for everybody.';

CREATE FUNCTION strata._verify_schema(audited strata._audited_tables, OUT column_name name, OUT detail text) RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.history_column, CASE WHEN a.attisdropped THEN 'the column was dropped' ELSE 'the column is of another type now' END
           || format('; SELECT strata.enable_audit(%L); begins anew with the rows as they are', audited.relation::text)
    FROM strata._audit_columns c
    JOIN strata._attribute_ids i ON i.relation = audited.relation AND i.attribute_id = c.attribute_id AND i.relation_oid = i.relation
    JOIN pg_attribute a ON a.attrelid = i.relation AND a.attnum = i.attribute_number
    WHERE c.audit_id = audited.audit_id AND (a.attisdropped OR strata._base_type(a.atttypid) <> c.logged_type)
$$;
REVOKE ALL ON FUNCTION strata._verify_schema(strata._audited_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._verify_schema(strata._audited_tables) IS 'Columns of an audited table that were dropped or changed their type since its last baseline.';

CREATE FUNCTION strata._logged_state(audited strata._audited_tables) RETURNS bytea
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._state_since(audited.audit_id, NULL, false) $$;
REVOKE ALL ON FUNCTION strata._logged_state(strata._audited_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._logged_state(strata._audited_tables) IS 'The state of a table by all chunks that are visible, sealed or not.';

CREATE FUNCTION strata._verify_rows(audited strata._audited_tables, OUT fault text, OUT place jsonb, OUT detail text) RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE d.fault WHEN 'detached' THEN 'missing' ELSE d.fault END,
           jsonb_strip_nulls(jsonb_build_object('key', CASE WHEN d.key_names IS NOT NULL AND d.fault <> 'detached' THEN jsonb_object(d.key_names, d.key_values) END,
               'key_hash', CASE WHEN d.key_names IS NULL THEN d.key_hash END, 'rows', CASE WHEN d.fault = 'detached' THEN d.key_values[1]::bigint END, 'partition', d.partition::text, 'chunk_id', d.chunk_id)),
           CASE d.fault WHEN 'detached' THEN format('%s rows are in %s, which is no partition any more; if that is as it should be: SELECT strata.acknowledge_audit(%L, ''<why>'');',
                                         d.key_values[1], d.partition, audited.relation::text)
                        WHEN 'edited' THEN 'the row is not as the log says it was left' WHEN 'extra' THEN 'the log knows of no such row' ELSE 'the log knows of a row that is not there' END
               || coalesce((SELECT format(' (%s at %s by %s)', c.operation, c.changed_at, c.session_role) FROM strata._audit_chunks c WHERE c.chunk_id = d.chunk_id), '')
    FROM strata._audit_differences(audited.relation, audited.audit_id) d
$$;
REVOKE ALL ON FUNCTION strata._verify_rows(strata._audited_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._verify_rows(strata._audited_tables) IS 'The rows in which an audited table differs from its log.';

-- Pruning of log and histories. A state record says which rows a table had by its log, and which chunks that covers: its rows are
-- chunks of operation state_rows, behind them a chunk of operation state has the rest in its detail. Chunks with rows
-- that a sealed record covers may go, with the old versions of their time; their leaves stay in the tree.
CREATE FUNCTION strata._read_json(document text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN document::jsonb;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION strata._read_json(text) IS 'A text as jsonb; NULL if it is none.';

CREATE FUNCTION strata._state_records(
    audit_id int,
    OUT record_id bigint, OUT is_sealed boolean, OUT rows_from bigint, OUT after bigint, OUT through bigint, OUT until timestamptz,
    OUT chunks bigint, OUT root text, OUT row_count bigint, OUT state text
) RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.chunk_id, EXISTS (SELECT FROM strata._audit_entries e WHERE e.chunk_id = c.chunk_id), d.rows_from, d.after, d.through, d.until, d.chunks, d.root, d.rows, d.state
    FROM strata._audit_chunks c
    CROSS JOIN LATERAL jsonb_to_record(strata._read_json(c.detail)) d (rows_from bigint, after bigint, through bigint, until timestamptz, chunks bigint, root text, rows bigint, state text)
    WHERE c.audit_id = _state_records.audit_id AND c.operation = 'state'
    ORDER BY c.chunk_id
$$;
REVOKE ALL ON FUNCTION strata._state_records(int) FROM PUBLIC;
COMMENT ON FUNCTION strata._state_records(int) IS 'The state records of a table, oldest first, as their chunks have them.';

CREATE FUNCTION strata._chunks_since(
    audit_id int, at timestamptz, sealed_only boolean, OUT place int, OUT chunk_id bigint, OUT operation text, OUT added bytea, OUT removed bytea
) RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH base AS MATERIALIZED (
        SELECT r.* FROM strata._state_records(_chunks_since.audit_id) r
        WHERE (at IS NULL OR r.until <= at) AND (r.is_sealed OR NOT sealed_only)
        ORDER BY r.record_id DESC LIMIT 1
    )
    SELECT 0, b.record_id, 'baseline', NULL::bytea, NULL::bytea FROM base b
    UNION ALL
    SELECT 1, c.chunk_id, 'baseline_more', c.added, c.removed
    FROM base b JOIN strata._audit_chunks c ON c.chunk_id >= b.rows_from AND c.chunk_id < b.record_id
    WHERE c.audit_id = _chunks_since.audit_id AND c.operation = 'state_rows'
    UNION ALL
    SELECT 2, c.chunk_id, c.operation, c.added, c.removed
    FROM strata._audit_chunks c
    WHERE c.audit_id = _chunks_since.audit_id AND c.operation NOT IN ('state', 'state_rows')
      AND c.chunk_id > coalesce((SELECT b.through FROM base b), 0)
      AND (at IS NULL OR c.changed_at <= at)
      AND (NOT sealed_only OR EXISTS (SELECT FROM strata._audit_entries e WHERE e.chunk_id = c.chunk_id))
$$;
REVOKE ALL ON FUNCTION strata._chunks_since(int, timestamptz, boolean) FROM PUBLIC;
COMMENT ON FUNCTION strata._chunks_since(int, timestamptz, boolean) IS
'The chunks that make the state of a table (as it was at a time; or as far as it is sealed), in the order of place and chunk: the rows of the newest state record, if there is one, and what came behind the chunks it covers.';

CREATE FUNCTION strata._state_since(audit_id int, at timestamptz, sealed_only boolean) RETURNS bytea
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT strata._audit_state_of(s.operation, s.added, s.removed ORDER BY s.place, s.chunk_id) FROM strata._chunks_since(audit_id, at, sealed_only) s
$$;
REVOKE ALL ON FUNCTION strata._state_since(int, timestamptz, boolean) FROM PUBLIC;
COMMENT ON FUNCTION strata._state_since(int, timestamptz, boolean) IS 'The state of a table by its log: of all chunks, of those up to a time, or of the sealed ones.';

-- LtHash16 as it is compared and shown: SHA-256 over the lanes.
CREATE FUNCTION strata._state_checksum(state bytea) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT encode(sha256(substr(state, 10)), 'hex') $$;
COMMENT ON FUNCTION strata._state_checksum(bytea) IS 'The checksum of a state''s LtHash16, in hexadecimal digits.';

CREATE FUNCTION strata._is_whole(audit_id int, after bigint, through bigint) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT NOT EXISTS (
        SELECT FROM strata._audit_entries e LEFT JOIN strata._audit_chunks c ON c.chunk_id = e.chunk_id
        WHERE e.audit_id = _is_whole.audit_id AND e.chunk_id > after AND e.chunk_id <= through AND c.chunk_id IS NULL)
$$;
REVOKE ALL ON FUNCTION strata._is_whole(int, bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION strata._is_whole(int, bigint, bigint) IS 'Whether all sealed chunks of a table between two chunk ids are there.';

-- The state that a record has to be: rows of the one before, and what the chunks it covers did to them.
CREATE FUNCTION strata._recorded_state(audit_id int, base_from bigint, base_to bigint, after bigint, through bigint) RETURNS bytea
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT strata._audit_follow(NULL, strata._audit_state_of(s.operation, s.added, s.removed ORDER BY s.place, s.chunk_id))
    FROM (
        SELECT 1 AS place, c.chunk_id, 'baseline_more' AS operation, c.added, c.removed FROM strata._audit_chunks c
        WHERE c.audit_id = _recorded_state.audit_id AND c.operation = 'state_rows' AND c.chunk_id >= base_from AND c.chunk_id < base_to
        UNION ALL
        SELECT 2, c.chunk_id, c.operation, c.added, c.removed FROM strata._audit_chunks c
        WHERE c.audit_id = _recorded_state.audit_id AND c.operation NOT IN ('state', 'state_rows') AND c.chunk_id > after AND c.chunk_id <= through
    ) s
$$;
REVOKE ALL ON FUNCTION strata._recorded_state(int, bigint, bigint, bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION strata._recorded_state(int, bigint, bigint, bigint, bigint) IS
'The state that the rows of one state record (chunks from base_from to below base_to) and the chunks behind it make.';

-- In what state records are not borne out by the chunks they cover, as far as those are there.
CREATE FUNCTION strata._verify_records(OUT fault text, OUT place jsonb, OUT detail text) RETURNS SETOF record
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    recorded_id int;
    table_name text;
    known record;
    covered record;
    reached bigint;
    base_from bigint;
    base_to bigint;
    recorded bytea;
BEGIN
    FOR recorded_id, table_name IN
        SELECT r.audit_id, a.relation_name FROM (SELECT DISTINCT c.audit_id FROM strata._audit_chunks c WHERE c.operation = 'state') r
        LEFT JOIN strata._audited_tables a ON a.audit_id = r.audit_id ORDER BY r.audit_id
    LOOP
        reached := 0;
        base_from := 0;
        base_to := 0;
        FOR known IN SELECT r.* FROM strata._state_records(recorded_id) r LOOP
            place := jsonb_build_object('relation', table_name, 'chunk_id', known.record_id);
            IF known.after IS DISTINCT FROM reached OR known.through IS NULL OR known.through < reached OR known.rows_from IS NULL THEN
                fault := 'log_edited';
                detail := 'the state record does not begin where the one before it ends';
                RETURN NEXT;
                CONTINUE;
            END IF;
            SELECT v.* INTO covered FROM strata._audit_covered(recorded_id, known.after, known.through) v;
            IF covered.chunks IS DISTINCT FROM known.chunks OR encode(covered.root, 'hex') IS DISTINCT FROM known.root THEN
                fault := 'log_missing';
                detail := format('the state record covers %s chunks, and these are others: gone chunks are not accounted for', known.chunks);
                RETURN NEXT;
            END IF;
            IF strata._is_whole(recorded_id, known.rows_from - 1, known.record_id) THEN
                recorded := strata._recorded_state(recorded_id, known.rows_from, known.record_id, 0, 0);
                IF strata._state_checksum(recorded) IS DISTINCT FROM known.state OR strata._audit_rows(recorded) IS DISTINCT FROM known.row_count THEN
                    fault := 'log_edited';
                    detail := 'the rows of the state record are not those it was made with';
                    RETURN NEXT;
                END IF;
            END IF;
            IF strata._is_whole(recorded_id, known.after, known.through)
                AND strata._state_checksum(strata._recorded_state(recorded_id, base_from, base_to, known.after, known.through)) IS DISTINCT FROM known.state
            THEN
                fault := 'log_edited';
                detail := 'the state record is not what the chunks it covers make of the one before';
                RETURN NEXT;
            END IF;
            reached := known.through;
            base_from := known.rows_from;
            base_to := known.record_id;
        END LOOP;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._verify_records() FROM PUBLIC;
COMMENT ON FUNCTION strata._verify_records() IS 'In what the state records of tables contradict the log.';

-- What is past a table's retention: nothing, or how far a record may reach. Every chunk of the table up to there is older.
CREATE FUNCTION strata._prunable_through(audited strata._audited_tables, retention interval, present timestamptz, after bigint) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    due timestamptz := present - retention;
    oldest timestamptz;
    reach bigint;
BEGIN
    SELECT c.changed_at INTO oldest FROM strata._audit_chunks c
    WHERE c.audit_id = audited.audit_id AND c.chunk_id > after AND c.added_count + c.removed_count > 0 AND c.operation <> 'state_rows' ORDER BY c.chunk_id LIMIT 1;
    -- a record costs what the table has of rows: not for every little
    IF oldest IS NULL OR oldest > due - retention / 10 THEN
        RETURN NULL;
    END IF;
    SELECT c.chunk_id - 1 INTO reach FROM strata._audit_chunks c
    WHERE c.audit_id = audited.audit_id AND c.chunk_id > after AND c.changed_at > due ORDER BY c.chunk_id LIMIT 1;
    -- up to the horizon every chunk is sealed, or never was
    reach := least(coalesce(reach, 9223372036854775807), (SELECT l.horizon FROM strata._audit_log l));
    RETURN CASE WHEN EXISTS (SELECT FROM strata._audit_chunks c WHERE c.audit_id = audited.audit_id AND c.chunk_id > after AND c.chunk_id <= reach
                             AND c.added_count + c.removed_count > 0 AND c.operation <> 'state_rows') THEN reach END;
END
$$;
REVOKE ALL ON FUNCTION strata._prunable_through(strata._audited_tables, interval, timestamptz, bigint) FROM PUBLIC;
COMMENT ON FUNCTION strata._prunable_through(strata._audited_tables, interval, timestamptz, bigint) IS
'The last chunk id up to which all chunks of a table are sealed and past retention; NULL where there are too few to make a state record for.';

CREATE FUNCTION strata._record_state(audited strata._audited_tables, horizon strata._audit_horizons, through bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- what was before the last baseline does not count
    begun bigint := (SELECT max(c.chunk_id) FROM strata._audit_chunks c
                     WHERE c.audit_id = audited.audit_id AND c.operation = 'baseline' AND c.chunk_id > horizon.through AND c.chunk_id <= _record_state.through);
    base record;
    covered record;
    first_id bigint;
    state bytea;
    last_at timestamptz;
    new_id bigint;
BEGIN
    SELECT r.* INTO base FROM strata._state_records(audited.audit_id) r WHERE r.record_id = horizon.record_id;
    SELECT v.* INTO covered FROM strata._audit_covered(audited.audit_id, horizon.through, through) v;
    SELECT max(c.changed_at) INTO last_at FROM strata._audit_chunks c
    WHERE c.audit_id = audited.audit_id AND c.chunk_id > horizon.through AND c.chunk_id <= _record_state.through AND c.operation NOT IN ('state', 'state_rows');
    first_id := nextval('strata._audit_chunk_id_seq');
    state := strata._audit_write_record(audited.audit_id, audited.table_uuid,
        CASE WHEN begun IS NULL THEN coalesce(base.rows_from, 0) ELSE 0 END, CASE WHEN begun IS NULL THEN coalesce(base.record_id, 0) ELSE 0 END,
        coalesce(begun - 1, horizon.through), through);
    new_id := strata._audit_event(audited.audit_id, audited.table_uuid, 'state', jsonb_build_object(
        'after', horizon.through, 'through', through, 'until', greatest(last_at, horizon.recorded_until), 'chunks', covered.chunks, 'root', encode(covered.root, 'hex'),
        'rows_from', first_id, 'rows', strata._audit_rows(state), 'state', strata._state_checksum(state))::text);
    UPDATE strata._audit_horizons h
    SET record_id = new_id, through = _record_state.through, recorded_at = now(), recorded_until = greatest(last_at, h.recorded_until)
    WHERE h.audit_id = audited.audit_id;
END
$$;
REVOKE ALL ON FUNCTION strata._record_state(strata._audited_tables, strata._audit_horizons, bigint) FROM PUBLIC;
COMMENT ON FUNCTION strata._record_state(strata._audited_tables, strata._audit_horizons, bigint) IS 'Writes the next state record of a table.';

-- A batch of chunks that a record covers, and the old versions that they brought.
CREATE FUNCTION strata._prune_chunks(audited strata._audited_tables, horizon strata._audit_horizons) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    chunks_max CONSTANT int := 5000;
    rows_max CONSTANT int := 200000;
    reach bigint;
    pruned bigint;
    last_xid xid8;
BEGIN
    SELECT max(s.chunk_id) INTO reach FROM (
        SELECT c.chunk_id, row_number() OVER w AS place, sum(c.added_count + c.removed_count) OVER w - c.added_count - c.removed_count AS rows_before
        FROM (SELECT c.chunk_id, c.added_count, c.removed_count FROM strata._audit_chunks c
              WHERE c.audit_id = audited.audit_id AND c.chunk_id > horizon.pruned_through AND c.chunk_id <= horizon.through AND c.added_count + c.removed_count > 0
              ORDER BY c.chunk_id LIMIT chunks_max) c
        WINDOW w AS (ORDER BY c.chunk_id)) s
    WHERE s.rows_before < rows_max;
    IF reach IS NULL THEN
        UPDATE strata._audit_horizons h SET pruned_through = h.through WHERE h.audit_id = audited.audit_id;
        RETURN 1;
    END IF;
    -- what is gone cannot be read, and not be undone in part
    SELECT max(c.xid) INTO last_xid FROM strata._audit_chunks c
    WHERE c.audit_id = audited.audit_id AND c.chunk_id > horizon.pruned_through AND c.chunk_id <= reach AND c.system_identifier = (SELECT s.system_identifier FROM pg_control_system() s);
    IF EXISTS (SELECT FROM pg_class h WHERE h.oid = audited.history) THEN
        EXECUTE format('DELETE FROM %s h WHERE h.strata_chunk > $1 AND h.strata_chunk <= $2', audited.history) USING horizon.pruned_through, reach;
    END IF;
    WITH gone AS (
        DELETE FROM strata._audit_chunks c
        WHERE c.audit_id = audited.audit_id AND c.chunk_id > horizon.pruned_through AND c.chunk_id <= reach AND c.added_count + c.removed_count > 0
        RETURNING 1
    )
    SELECT count(*) INTO pruned FROM gone;
    UPDATE strata._audit_horizons h
    SET pruned_through = reach, pruned_until = h.recorded_until, pruned_xid = greatest(h.pruned_xid, last_xid),
        system_identifier = (SELECT s.system_identifier FROM pg_control_system() s)
    WHERE h.audit_id = audited.audit_id;
    RETURN pruned;
END
$$;
REVOKE ALL ON FUNCTION strata._prune_chunks(strata._audited_tables, strata._audit_horizons) FROM PUBLIC;
COMMENT ON FUNCTION strata._prune_chunks(strata._audited_tables, strata._audit_horizons) IS 'Deletes some of the chunks that the newest state record of a table covers, and their old versions; returns how many, 1 at least.';

-- One step for one table, each a transaction. Nobody waits for it, it waits for nobody, and it deletes what nobody writes.
CREATE FUNCTION strata._prune_step(audit_id int, present timestamptz, anyway boolean) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables := (SELECT a FROM strata._audited_tables a WHERE a.audit_id = _prune_step.audit_id);
    setting strata._audit_retention;
    horizon strata._audit_horizons;
    through bigint;
BEGIN
    SELECT r.* INTO setting FROM strata._audit_retention r WHERE r.audit_id IN (0, _prune_step.audit_id) ORDER BY r.audit_id DESC LIMIT 1;
    IF NOT FOUND OR audited.audit_id IS NULL THEN
        RETURN 0;
    END IF;
    -- who comes second passes by
    IF NOT pg_try_advisory_xact_lock('strata._audit_horizons'::regclass::oid::int, audited.audit_id) THEN
        RETURN 0;
    END IF;
    INSERT INTO strata._audit_horizons (audit_id) VALUES (audited.audit_id) ON CONFLICT DO NOTHING;
    SELECT h.* INTO horizon FROM strata._audit_horizons h WHERE h.audit_id = _prune_step.audit_id;
    IF horizon.pruned_through < horizon.through THEN
        -- a record is in a digest, and verified, before what it is of goes
        IF horizon.recorded_at + setting.verify_within > clock_timestamp() OR NOT EXISTS (SELECT FROM strata._audit_entries e WHERE e.chunk_id = horizon.record_id) THEN
            RETURN 0;
        END IF;
        RETURN strata._prune_chunks(audited, horizon);
    ELSIF NOT anyway AND horizon.checked_at + setting.retention / 50 > now() THEN
        RETURN 0;
    END IF;
    UPDATE strata._audit_horizons h SET checked_at = now() WHERE h.audit_id = audited.audit_id;
    through := strata._prunable_through(audited, setting.retention, present, horizon.through);
    IF through IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM strata._record_state(audited, horizon, through);
    RETURN 1;
END
$$;
REVOKE ALL ON FUNCTION strata._prune_step(int, timestamptz, boolean) FROM PUBLIC;
COMMENT ON FUNCTION strata._prune_step(int, timestamptz, boolean) IS
'The next step of pruning the log of a table: a state record, or a batch of what the last one covers once that is sealed and had its time to be verified; 0 if there is none now. anyway: look even if it was looked a short while ago.';

-- For maintenance, whoever runs it: it does what auditors have set, and nothing else.
CREATE FUNCTION strata._prune_audits() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    -- permit: none needed, it does what the settings of auditors say
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited_id int;
    outcome bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM strata._audit_retention) THEN
        RETURN 0;
    END IF;
    FOR audited_id IN SELECT a.audit_id FROM strata._audited_tables a ORDER BY a.audit_id LOOP
        outcome := strata._prune_step(audited_id, now(), false);
        IF outcome > 0 THEN
            RETURN outcome;
        END IF;
    END LOOP;
    RETURN 0;
END
$$;
COMMENT ON FUNCTION strata._prune_audits() IS 'The next step of pruning any audited table''s log, if retention is set; 0 if there is none now. Call it until it returns 0.';

-- A condition that costs one call for a whole query.
CREATE FUNCTION strata._is_kept(relation regclass, at timestamptz) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    -- permit: none needed, it tells how far back the history of a table goes
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pruned_until timestamptz := strata._pruned_until(relation);
    enabled_at timestamptz := (SELECT a.enabled_at FROM strata._audited_tables a WHERE a.relation = _is_kept.relation);
BEGIN
    IF at < enabled_at THEN
        RAISE EXCEPTION USING ERRCODE = 'ST016',
            MESSAGE = format('%s cannot be seen as it was at %s', relation, at),
            DETAIL = format('It is audited since %s: what its rows were before is in no log.', enabled_at),
            HINT = format('Ask for a time from %s on; strata.audited_tables has it as enabled_at.', enabled_at);
    ELSIF at < pruned_until THEN
        RAISE EXCEPTION USING ERRCODE = 'ST016',
            MESSAGE = format('%s cannot be seen as it was at %s', relation, at),
            DETAIL = format('What was before %s has been pruned from its log and history.', pruned_until),
            HINT = format('Ask for a time from %s on; strata.audited_tables has it as kept_from.', pruned_until);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION strata._is_kept(regclass, timestamptz) IS 'True; ST016 for a time before the table was audited, or before which its log has been pruned.';

CREATE FUNCTION strata._pruned_until(relation regclass) RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.pruned_until FROM strata._audited_tables a JOIN strata._audit_horizons h ON h.audit_id = a.audit_id WHERE a.relation = _pruned_until.relation
$$;
REVOKE ALL ON FUNCTION strata._pruned_until(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._pruned_until(regclass) IS 'From when on log and history of an audited table are kept; NULL where nothing was pruned.';

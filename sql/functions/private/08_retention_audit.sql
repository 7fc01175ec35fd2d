-- Partitions of audited event tables leave the log before they are detached: a chunk of operation expired for every 65,536 rows.
-- From the first step on nobody changes these rows, from the second on they are not the log's affair.
CREATE FUNCTION strata._expiry(relation regclass, partition regclass) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((
        SELECT CASE WHEN x.is_gone THEN 'gone' WHEN x.is_gone IS NOT NULL THEN 'going' ELSE 'to go' END
        FROM strata._audited_tables a
        LEFT JOIN strata._audit_expired x ON x.audit_id = a.audit_id AND x.partition = _expiry.partition
        WHERE a.relation = _expiry.relation AND a.disabled_at IS NULL), 'none')
$$;
REVOKE ALL ON FUNCTION strata._expiry(regclass, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._expiry(regclass, regclass) IS
'How far a partition of an audited event table is on its way out of the log: to go, going (its rows stand still), gone; none where the table is not audited.';

CREATE FUNCTION strata._to_expire(event_table strata._event_tables, OUT partition regclass, OUT lower timestamptz, OUT upper timestamptz, OUT expiry text)
    RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.partition, l.lower, l.upper, x.expiry
    FROM (SELECT greatest(strata._due_until(event_table), strata._overridden_until(event_table)) OFFSET 0) d (due),
         strata._leaves((event_table).relation) l,
         LATERAL (SELECT strata._expiry((event_table).relation, l.partition) OFFSET 0) x (expiry)
    WHERE l.upper <= (event_table).retained_from AND strata._is_sealed(l.partition)
      AND CASE x.expiry WHEN 'going' THEN true WHEN 'to go' THEN l.upper <= d.due AND strata._unarchived(event_table, l.partition) IS NULL ELSE false END
$$;
REVOKE ALL ON FUNCTION strata._to_expire(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._to_expire(strata._event_tables) IS 'The partitions of an audited event table that could be detached, but for their rows in the log.';

CREATE FUNCTION strata._expire_audited(relation regclass) RETURNS int
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._expire_partition(strata._authorize(relation, 'INGEST')) $$;
COMMENT ON FUNCTION strata._expire_audited(regclass) IS
'Makes the rows of the oldest partition that is to leave the audit log stand still, or, called again in a later transaction, writes them into the log as expired; returns 1, or 0 if there is none. Call it until it returns 0.';

CREATE FUNCTION strata._expire_partition(relation regclass) RETURNS int
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    owner regrole := strata._owner(relation);
    audited strata._audited_tables;
    leaf record;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    PERFORM strata._require_read_committed('take partitions out of the audit log');
    IF NOT EXISTS (SELECT FROM strata._to_expire(event_table)) THEN
        RETURN 0;
    END IF;
    event_table := strata._lock_event_table(relation);
    -- not beside enable_audit and disable_audit; writers and readers go on
    PERFORM strata._execute_as(owner, format('LOCK TABLE ONLY %s IN ROW EXCLUSIVE MODE', relation));
    SELECT a.* INTO audited FROM strata._audited_tables a WHERE a.relation = _expire_partition.relation AND a.disabled_at IS NULL;
    SELECT l.* INTO leaf FROM strata._to_expire(event_table) l
    WHERE l.expiry = 'going' OR strata._referenced_by(event_table, l.partition) IS NULL
    ORDER BY l.expiry, l.lower LIMIT 1;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    IF leaf.expiry = 'to go' THEN
        -- those at work end before, later ones find that the rows stand still
        PERFORM strata._execute_as(owner, format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', leaf.partition));
        INSERT INTO strata._audit_expired (audit_id, partition) VALUES (audited.audit_id, leaf.partition);
    ELSE
        PERFORM strata._audit_take_partition(leaf.partition, 'expired', jsonb_build_object('partition', leaf.partition::text,
            'lower', strata._from_axis(event_table.time_type, event_table.timezone, leaf.lower),
            'upper', strata._from_axis(event_table.time_type, event_table.timezone, leaf.upper))::text, false);
        UPDATE strata._audit_expired x SET is_gone = true WHERE x.audit_id = audited.audit_id AND x.partition = leaf.partition;
        PERFORM strata._log_retention(event_table, 'expired', leaf.partition, leaf.lower, leaf.upper);
    END IF;
    PERFORM strata._audit_forget_target(leaf.partition);
    RETURN 1;
END
$$;
COMMENT ON FUNCTION strata._expire_partition(regclass) IS 'The writing half of _expire_audited.';

-- For a table that stops being an event table, locked against everyone: what was to go stays.
CREATE FUNCTION strata._readmit_expired(relation regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    leaf record;
BEGIN
    FOR leaf IN
        DELETE FROM strata._audit_expired x USING strata._audited_tables a
        WHERE x.audit_id = a.audit_id AND a.relation = _readmit_expired.relation
        RETURNING x.partition, x.is_gone AND a.disabled_at IS NULL AND EXISTS (SELECT FROM strata._tree(a.relation) t (relid) WHERE t.relid = x.partition) AS is_to_return
    LOOP
        PERFORM strata._audit_forget_target(leaf.partition);
        PERFORM strata._audit_take_partition(leaf.partition, 'attached', jsonb_build_object('partition', leaf.partition::text)::text, true) WHERE leaf.is_to_return;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._readmit_expired(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._readmit_expired(regclass) IS 'Puts rows that have left the audit log and are still there back into it.';

-- Promise: nothing of log and history goes that is younger, and nothing that no sealed state record accounts for.
CREATE FUNCTION strata.set_audit_retention(relation regclass, retention interval, verify_within interval DEFAULT '1 day') RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    -- permit: none needed, only members of strata_auditor may execute it
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables;
BEGIN
    IF retention < '0'::interval OR verify_within < '0'::interval OR verify_within IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22023',
            MESSAGE = 'retention and verify_within of an audit log are no negative intervals',
            DETAIL = format('They are %s and %s.', retention, coalesce(verify_within::text, 'NULL')),
            HINT = 'Pass something like: retention => ''1 year''; NULL keeps everything.';
    END IF;
    IF relation IS NOT NULL THEN
        SELECT a.* INTO audited FROM strata._audited_tables a WHERE a.relation = set_audit_retention.relation;
        IF NOT FOUND THEN
            -- ST012
            audited := strata._audited_table(relation);
        END IF;
    END IF;
    DELETE FROM strata._audit_retention r WHERE r.audit_id = coalesce(audited.audit_id, 0);
    INSERT INTO strata._audit_retention (audit_id, retention, verify_within)
    SELECT coalesce(audited.audit_id, 0), set_audit_retention.retention, set_audit_retention.verify_within WHERE set_audit_retention.retention IS NOT NULL;
    PERFORM strata._audit_event(coalesce(audited.audit_id, 0), coalesce(audited.table_uuid, '00000000-0000-0000-0000-000000000000'), 'retention',
        jsonb_build_object('relation', relation::text, 'retention', retention::text, 'verify_within', verify_within::text)::text);
END
$$;
REVOKE ALL ON FUNCTION strata.set_audit_retention(regclass, interval, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata.set_audit_retention(regclass, interval, interval) TO strata_auditor;
COMMENT ON FUNCTION strata.set_audit_retention(regclass, interval, interval) IS
'How long log and history of an audited table are kept: an age past which maintenance (maintain_partitions, strata run, strata maintain) and prune_audit take them away; NULL, as from the beginning, for ever. relation NULL: of all tables that have no setting of their own, those that are audited no more included. Before anything goes, a state record of the rows the table had by its log is sealed, and verify_within (default 1 day) passes, in which a witness can verify it. The setting itself is an entry of the log. For members of strata_auditor. Errors: ST012 if the table is not audited, 22023 for a negative interval.';

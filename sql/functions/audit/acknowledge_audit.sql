-- Promise: from here on the log says what the table has, and also who said so, why, and which rows that was about.
CREATE FUNCTION strata.acknowledge_audit(relation regclass, reason text, OUT added bigint, OUT removed bigint)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    -- permit: none needed, only members of strata_auditor may execute it
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables := strata._audited_table(relation);
BEGIN
    IF coalesce(btrim(reason), '') = '' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'to acknowledge what the log did not see takes a reason',
            DETAIL = 'It stands in the log beside the rows that it is about.',
            HINT = 'Say why table and log may differ: reason => ''partition clicks_p2026_01_01 was detached by hand''.';
    END IF;
    PERFORM strata._require_read_committed('acknowledge what the audit log did not see');
    PERFORM strata._flush_audit();
    -- not beside enable_audit and disable_audit; writers go on, and what they do meanwhile adds to this
    PERFORM strata._execute_as(strata._owner(relation), format('LOCK TABLE ONLY %s IN ROW EXCLUSIVE MODE', relation));
    PERFORM strata._audit_hold(relation);
    SELECT k.added, k.removed INTO added, removed
    FROM strata._audit_acknowledge(relation, audited.audit_id, jsonb_build_object('reason', reason)::text) k;
END
$$;
REVOKE ALL ON FUNCTION strata.acknowledge_audit(regclass, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata.acknowledge_audit(regclass, text) TO strata_auditor;
COMMENT ON FUNCTION strata.acknowledge_audit(regclass, text) IS
'Writes the rows in which an audited table differs from its log (edited, missing, extra in verify_audit) into the log, as chunks of operation acknowledged with the reason: after a partition was detached or dropped by hand, or a fault was looked into. Afterwards verify_audit is silent about them; that they were acknowledged, by whom and why stays in the log. Returns how many rows came and went for the log. It reads table and log whole; writers go on. Old versions are not kept. Not for changed columns: enable_audit begins anew after those. For members of strata_auditor. Errors: ST012 if the table is not audited, 22023 without a reason, 25001 in a transaction that is not READ COMMITTED.';

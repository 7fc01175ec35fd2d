-- Promise: what retention lets go is gone when it returns, as far as its state record has had its time to be verified.
CREATE PROCEDURE strata.prune_audit(relation regclass DEFAULT NULL)
    LANGUAGE plpgsql
    -- no search_path: a procedure that sets it cannot commit
AS $$
DECLARE
    outcome pg_catalog.int8;
    target pg_catalog.int4;
    present pg_catalog.timestamptz := pg_catalog.now();
BEGIN
    -- the sealer's horizon passes what is sealed with the next seal
    PERFORM strata.seal_audit();
    COMMIT;
    FOREACH target IN ARRAY strata._prunable(prune_audit.relation)
    LOOP
        LOOP
            -- (a record is pruned by once it is sealed)
            PERFORM strata.seal_audit();
            COMMIT;
            outcome := strata._prune_audit(target, present);
            COMMIT;
            EXIT WHEN outcome OPERATOR(pg_catalog.=) 0;
        END LOOP;
    END LOOP;
END
$$;
REVOKE ALL ON PROCEDURE strata.prune_audit(regclass) FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE strata.prune_audit(regclass) TO strata_auditor;
COMMENT ON PROCEDURE strata.prune_audit(regclass) IS
'Takes log and history past retention away (set_audit_retention), of one audited table or of all, now instead of at the next maintenance: writes and seals a state record, and deletes, in small transactions, what a record covers that was made verify_within ago. Writers, readers and sealers go on. Call it outside a transaction block. For members of strata_auditor. Errors: ST012 if the table is not audited.';

CREATE FUNCTION strata._prunable(relation regclass) RETURNS int[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    -- permit: none needed, only members of strata_auditor may execute it
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF relation IS NOT NULL AND NOT EXISTS (SELECT FROM strata._audited_tables a WHERE a.relation = _prunable.relation) THEN
        -- ST012
        PERFORM strata._audited_table(relation);
    END IF;
    RETURN ARRAY(SELECT a.audit_id FROM strata._audited_tables a WHERE _prunable.relation IS NULL OR a.relation = _prunable.relation ORDER BY a.audit_id);
END
$$;
REVOKE ALL ON FUNCTION strata._prunable(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata._prunable(regclass) TO strata_auditor;
COMMENT ON FUNCTION strata._prunable(regclass) IS 'The audited tables that a call of prune_audit is about.';

CREATE FUNCTION strata._prune_audit(audit_id int, present timestamptz) RETURNS bigint
    LANGUAGE sql VOLATILE SECURITY DEFINER
    -- permit: none needed, only members of strata_auditor may execute it
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._prune_step(audit_id, present, true) $$;
REVOKE ALL ON FUNCTION strata._prune_audit(int, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata._prune_audit(int, timestamptz) TO strata_auditor;
COMMENT ON FUNCTION strata._prune_audit(int, timestamptz) IS 'The next step of pruning an audited table''s log, for prune_audit.';

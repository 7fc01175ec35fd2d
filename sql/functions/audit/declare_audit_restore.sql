-- Promise: after it no digest of before is contradicted unseen: the log has another name, and says since when and why.
CREATE FUNCTION strata.declare_audit_restore(reason text, former_origin text, former_size bigint, former_root bytea) RETURNS text
    LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
    -- permit: none needed, only members of strata_auditor may execute it
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log strata._audit_log;
    begun text := 'pg_strata/' || gen_random_uuid();
BEGIN
    IF trim(reason) = '' THEN
        RAISE EXCEPTION USING ERRCODE = '22023',
            MESSAGE = 'a restore is declared with a reason',
            DETAIL = 'It stands in the log for good.',
            HINT = 'Say what was restored, from what, and who decided it.';
    END IF;
    PERFORM strata._flush_audit();
    SELECT l.* INTO log FROM strata._audit_log l FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'ST014',
            MESSAGE = 'there is no audit log to be restored',
            DETAIL = 'Nothing has been sealed in this database.',
            HINT = 'Run: SELECT strata.seal_audit(); a log that is new takes a place for digests of its own.';
    END IF;
    -- (of no table)
    PERFORM strata._audit_event(0, '00000000-0000-0000-0000-000000000000', 'restored', jsonb_build_object('reason', reason, 'restored_origin', log.origin,
        'restored_size', log.size, 'origin', begun, 'former_origin', former_origin, 'former_size', former_size, 'former_root', encode(former_root, 'hex'))::text);
    UPDATE strata._audit_log l SET origin = begun;
    RETURN begun;
END
$$;
REVOKE ALL ON FUNCTION strata.declare_audit_restore(text, text, bigint, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata.declare_audit_restore(text, text, bigint, bytea) TO strata_auditor;
COMMENT ON FUNCTION strata.declare_audit_restore(text, text, bigint, bytea) IS
'Declares that the database was restored to an earlier time than that of the last digest (origin, size and root of it): writes an event restored into the log, with the reason and that digest, and gives the log another origin, which is returned. Digests of before hold for what was restored, and contradict the log beyond that. strata seal --declare-restore does it, seals, and signs. For members of strata_auditor. Errors: 22023 without a reason, ST014 if nothing was ever sealed.';

-- Promise: nothing is lost of what was logged, and that logging ended is in the log as well.
CREATE FUNCTION strata.disable_audit(relation regclass) RETURNS void
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._disable_audit(strata._authorize(relation, 'OWNER')) $$;
COMMENT ON FUNCTION strata.disable_audit(regclass) IS
'Ends the auditing of a table. Log and history stay, and the log says who ended it and when; strata.enable_audit goes on from there, with a new baseline. Takes ownership; holds writers back. Errors: ST012 if it is not audited.';

CREATE FUNCTION strata._disable_audit(relation regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    audited strata._audited_tables;
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    audited := strata._audited_table(relation);
    PERFORM strata._execute_as(strata._owner(relation), format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation));
    PERFORM strata._audit_event(audited.audit_id, audited.table_uuid, 'disabled', NULL);
    PERFORM strata._drop_audit_triggers(relation);
    UPDATE strata._audited_tables a SET disabled_at = now() WHERE a.audit_id = audited.audit_id;
END
$$;
COMMENT ON FUNCTION strata._disable_audit(regclass) IS 'The writing half of disable_audit.';

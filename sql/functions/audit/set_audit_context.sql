-- Promise: what the application says of itself stands with every change of this transaction, and of no other.
CREATE FUNCTION strata.set_audit_context(context jsonb) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF octet_length(context::text) > 8192 OR jsonb_typeof(context) <> 'object' THEN
        RAISE EXCEPTION USING ERRCODE = '22023',
            MESSAGE = 'an audit context is a jsonb object of 8192 bytes at most',
            DETAIL = format('This one is of type %s and has %s bytes.', jsonb_typeof(context), octet_length(context::text)),
            HINT = 'Pass something like: {"request": "42", "user": "ada"}.';
    END IF;
    PERFORM set_config('strata.audit_context', coalesce(context::text, ''), true);
END
$$;
COMMENT ON FUNCTION strata.set_audit_context(jsonb) IS
'Puts an object of the application''s choice (request, user, reason) beside every change that this transaction logs from here on; NULL takes it back. It ends with the transaction, so that a pooled connection leaks nothing, and with a savepoint that is rolled back. A claim of the application, not authentication. Errors: 22023 unless an object of 8192 bytes at most.';

-- Promise: whoever holds two digests can check with this that the log only grew between them.
CREATE FUNCTION strata.prove_consistency(from_size bigint, to_size bigint) RETURNS bytea[]
    LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER
    -- permit: none needed, only members of strata_auditor may execute it
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    log_size bigint := coalesce((SELECT l.size FROM strata._audit_log l), 0);
BEGIN
    IF from_size < 0 OR from_size > to_size OR to_size > log_size THEN
        RAISE EXCEPTION USING ERRCODE = 'ST014',
            MESSAGE = format('there is no proof from size %s to size %s', from_size, to_size),
            DETAIL = format('The sealed log has %s leaves.', log_size),
            HINT = 'Sizes ascend, and neither is larger than strata.audit_digest() says.';
    END IF;
    RETURN strata._prove_consistency(from_size, to_size);
END
$$;
REVOKE ALL ON FUNCTION strata.prove_consistency(bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata.prove_consistency(bigint, bigint) TO strata_auditor;
COMMENT ON FUNCTION strata.prove_consistency(bigint, bigint) IS
'The proof of RFC 9162 (2.1.4) that the log of from_size leaves is a prefix of the log of to_size leaves. For members of strata_auditor. Errors: ST014 for sizes that the log does not have.';

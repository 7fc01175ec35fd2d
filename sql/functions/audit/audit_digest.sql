-- Promise: what a witness signs; one digest of each size at most is ever right.
CREATE FUNCTION strata.audit_digest(OUT origin text, OUT size bigint, OUT root bytea, OUT sealed_at timestamptz, OUT checkpoint text)
    LANGUAGE sql STABLE SECURITY DEFINER
    -- permit: none needed, only members of strata_auditor may execute it
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.origin, l.size, l.root, l.sealed_at, format(E'%s\n%s\n%s\n', l.origin, l.size, encode(l.root, 'base64')) FROM strata._audit_log l
$$;
REVOKE ALL ON FUNCTION strata.audit_digest() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata.audit_digest() TO strata_auditor;
COMMENT ON FUNCTION strata.audit_digest() IS
'The sealed log at its present size: origin, number of leaves, root of the tree, and the three as the text of a C2SP checkpoint, which a witness outside signs and keeps. Read it in the transaction that sealed, and publish it after that has committed. All NULL before the first seal. For members of strata_auditor.';

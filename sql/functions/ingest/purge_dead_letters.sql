-- Promise: dead letters set aside before a time are gone, and nothing else.
CREATE FUNCTION strata.purge_dead_letters(relation regclass, before timestamptz = now()) RETURNS bigint
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._purge_dead_letters(strata._authorize(relation, 'OWNER'), before) $$;
COMMENT ON FUNCTION strata.purge_dead_letters(regclass, timestamptz) IS
'Deletes the dead letters of an event table, or of a target of changes, that were set aside before a time (created_at), all of them by default; returns how many. Takes ownership.';

CREATE FUNCTION strata._purge_dead_letters(relation regclass, before timestamptz) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ingest_id int := strata._ingest_id(relation);
    purged bigint;
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    DELETE FROM strata._dead_letters d WHERE d.table_id = ingest_id AND d.created_at < before;
    GET DIAGNOSTICS purged = ROW_COUNT;
    RETURN purged;
END
$$;
COMMENT ON FUNCTION strata._purge_dead_letters(regclass, timestamptz) IS 'The writing half of purge_dead_letters.';

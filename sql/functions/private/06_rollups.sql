-- The names of the four relations of a rollup, quoted.
CREATE TYPE strata._rollup_place AS (rollup text, definition text, storage text, dirty text);

-- A lock taken under an older snapshot shows rows as they were before those it waited for.
CREATE FUNCTION strata._require_read_committed(purpose text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING
            ERRCODE = '25001',
            MESSAGE = format('cannot %s in a %s transaction', purpose, current_setting('transaction_isolation')),
            DETAIL = 'Its snapshot may be older than rows that were changed meanwhile.',
            HINT = 'Do it in a transaction of isolation level READ COMMITTED.';
    END IF;
END
$$;
COMMENT ON FUNCTION strata._require_read_committed(text) IS 'Raises 25001 in transactions that keep one snapshot.';

CREATE FUNCTION strata._managed(relation regclass) RETURNS regclass
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    RETURN (strata._event_table(relation)).relation;
END
$$;
COMMENT ON FUNCTION strata._managed(regclass) IS 'The relation itself, if it is an event table of the caller; ST001 or 42501 otherwise.';

-- The permit is for the event table, so the rollup must be one of it.
CREATE FUNCTION strata._rollup_of(source regclass, rollup regclass) RETURNS strata._rollups
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry strata._rollups;
BEGIN
    SELECT r.* INTO entry FROM strata._rollups r WHERE r.rollup = _rollup_of.rollup;
    IF strata._relation(entry.table_id) IS DISTINCT FROM source THEN
        RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = format('permission denied for rollup %s', rollup),
            DETAIL = format('It is no rollup of %s.', source), HINT = 'Call the public function, which finds the source by itself.';
    END IF;
    RETURN entry;
END
$$;
REVOKE ALL ON FUNCTION strata._rollup_of(regclass, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._rollup_of(regclass, regclass) IS 'The catalog row of a rollup of this event table; 42501 if it is not one of it.';

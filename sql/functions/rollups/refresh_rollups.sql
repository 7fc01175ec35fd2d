-- Promise: afterwards every rollup is filled and nothing is pending that was there when it began, in small transactions.
CREATE PROCEDURE strata.refresh_rollups(source regclass DEFAULT NULL)
    LANGUAGE plpgsql
    -- no search_path: a procedure that sets it cannot commit
AS $$
DECLARE
    rollup pg_catalog.regclass;
    goes_on pg_catalog.bool;
BEGIN
    FOREACH rollup IN ARRAY strata._refreshable(refresh_rollups.source)
    LOOP
        LOOP
            goes_on := strata._refresh_part(rollup, refresh_rollups.source IS NULL);
            COMMIT;
            EXIT WHEN NOT goes_on;
        END LOOP;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE strata.refresh_rollups(regclass) IS
'Refreshes the rollups of one event table, or of all the caller may refresh (as owner or by grant_ingest), one transaction each; fills rollups created without data partition by partition, newest first, with a commit after each and a NOTICE of how far it is (strata.rollups shows filled_from). Cancelled or killed, the next call goes on where it stood. Call it outside a transaction block. With one table named an error ends the call; otherwise it is a warning.';

CREATE FUNCTION strata._refreshable(source regclass) RETURNS regclass[]
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF source IS NOT NULL THEN
        -- raises 42501 and ST001
        PERFORM strata._maintenance_steps(source);
    END IF;
    RETURN (
        SELECT coalesce(array_agg(r.rollup ORDER BY r.rollup::text), '{}')
        FROM unnest(strata._maintainable(_refreshable.source)) t (target) JOIN strata.rollups r ON r.source = t.target
        WHERE r.suspended_at IS NULL);
END
$$;
COMMENT ON FUNCTION strata._refreshable(regclass) IS 'The rollups that a call of refresh_rollups is about.';

CREATE FUNCTION strata._refresh_part(rollup regclass, tolerant boolean) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before timestamptz;
    filled_from timestamptz;
    what text;
    state text;
BEGIN
    SELECT r.filled_from INTO before FROM strata.rollups r WHERE r.rollup = _refresh_part.rollup;
    PERFORM strata._refresh_rollup(strata._authorize(strata._source(rollup), 'INGEST'), rollup, false);
    SELECT r.filled_from INTO filled_from FROM strata.rollups r WHERE r.rollup = _refresh_part.rollup;
    IF before IS NULL THEN
        RETURN false;
    ELSIF filled_from IS NOT DISTINCT FROM before THEN
        RAISE NOTICE USING MESSAGE = format('rollup %s cannot be filled yet', rollup),
            DETAIL = 'Transactions are at work that began before it was created.', HINT = 'Call it again when they have ended; reading is exact meanwhile.';
        RETURN false;
    END IF;
    RAISE NOTICE 'rollup % is filled%', rollup, coalesce(' from ' || filled_from::text, '');
    RETURN filled_from IS NOT NULL;
EXCEPTION WHEN SQLSTATE 'ST004' THEN
    -- dropped or replaced meanwhile: there is nothing left to refresh
    RETURN false;
WHEN OTHERS THEN
    IF NOT tolerant OR SQLSTATE = '57014' THEN
        RAISE;
    END IF;
    GET STACKED DIAGNOSTICS what = MESSAGE_TEXT, state = RETURNED_SQLSTATE;
    RAISE WARNING USING ERRCODE = state, MESSAGE = format('rollup %s could not be refreshed: %s', rollup, what);
    RETURN false;
END
$$;
COMMENT ON FUNCTION strata._refresh_part(regclass, boolean) IS
'Refreshes a rollup and takes one step of its backfill; returns whether there is more to fill. tolerant: an error is a warning.';

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

-- Transactions that write and then read wait for the table first and the view second, those that read and then write the
-- other way round; who writes a partition by its own name and then the table takes these in that order. Whoever waits for one
-- such lock while it holds another will some day meet somebody who does the opposite. So only the first is waited for; the
-- rest are tried for a moment, and if one is not to be had all are given back, and the next attempt begins with that one. The
-- moment is short, since somebody who waits for us looks for a circle once, whenever that is, and grows with each attempt:
-- among many writers nothing else comes to an end.
CREATE FUNCTION strata._lock_views(source regclass, rollups regclass[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(source);
    before text := current_setting('lock_timeout');
    patience int := (SELECT s.setting::int FROM pg_settings s WHERE s.name = 'lock_timeout');
    -- (LOCK TABLE of a view would lock all it reads)
    locks text[] := ARRAY(SELECT format('LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE', t.relid) FROM strata._tree(source) t (relid))
        || ARRAY(SELECT format('ALTER VIEW %s RESET (security_barrier)', r) FROM unnest(rollups) r);
    moment int := least(nullif(patience, 0), 200, (SELECT s.setting::int / 2 FROM pg_settings s WHERE s.name = 'deadlock_timeout'));
    first int := 0;
    held int;
BEGIN
    FOR attempt IN 1 .. 100 LOOP
        held := 0;
        BEGIN
            WHILE held < cardinality(locks) LOOP
                PERFORM strata._execute_as(owner, locks[1 + (first + held) % cardinality(locks)]);
                held := held + 1;
                PERFORM set_config('lock_timeout', least(moment, 2 ^ least(attempt - 1, 10))::int || 'ms', true);
            END LOOP;
            PERFORM set_config('lock_timeout', before, true);
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            IF held = 0 OR moment = patience THEN
                RAISE;
            END IF;
            first := first + held;
        END;
    END LOOP;
    RAISE EXCEPTION USING ERRCODE = '55P03', MESSAGE = format('could not lock %s and its rollups', source),
        DETAIL = 'Transactions that hold some of them and wait for others followed one another.',
        HINT = 'Try again.';
END
$$;
REVOKE ALL ON FUNCTION strata._lock_views(regclass, regclass[]) FROM PUBLIC;
COMMENT ON FUNCTION strata._lock_views(regclass, regclass[]) IS
'Locks an event table against writers and views of its rollups against readers, without deadlock whatever order others take them in; 55P03 if that does not come about.';

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
    -- (the public function has seen it a moment ago; an old snapshot goes on seeing it, its name is no longer found)
    IF NOT FOUND OR rollup::text = rollup::oid::text THEN
        RAISE EXCEPTION USING ERRCODE = 'ST004', MESSAGE = 'the rollup was dropped or replaced meanwhile',
            DETAIL = format('Another transaction did so to a rollup of %s.', source), HINT = 'Try again; strata.rollups lists what there is.';
    ELSIF strata._relation(entry.table_id) IS DISTINCT FROM source THEN
        RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = format('permission denied for rollup %s', rollup),
            DETAIL = format('It is no rollup of %s.', source), HINT = 'Call the public function, which finds the source by itself.';
    END IF;
    RETURN entry;
END
$$;
REVOKE ALL ON FUNCTION strata._rollup_of(regclass, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._rollup_of(regclass, regclass) IS 'The catalog row of a rollup of this event table; ST004 if it is gone, 42501 if it is one of another.';

-- Promise: partitions exist premake intervals ahead, every relation of the tree has its triggers, the catalog knows
-- nothing that is gone, what is past retention and held by nothing is gone, the ledger is short. Small transactions, one
-- after the other; a lock that is not to be had soon is tried again and then left to the next run, so that nobody
-- queues behind this.
CREATE PROCEDURE strata.maintain_partitions(relation regclass DEFAULT NULL)
    LANGUAGE plpgsql
    -- no search_path: a procedure that sets it cannot commit
AS $$
DECLARE
    target pg_catalog.regclass;
    step pg_catalog.text;
    outcome pg_catalog.int8;
    failures pg_catalog.int4;
BEGIN
    IF maintain_partitions.relation IS NOT NULL THEN
        -- raises 42501 and ST001
        PERFORM strata._maintenance_steps(maintain_partitions.relation);
    END IF;
    PERFORM strata._heal_catalog();
    COMMIT;
    FOREACH target IN ARRAY strata._maintainable(maintain_partitions.relation)
    LOOP
        FOREACH step IN ARRAY strata._try_steps(target, maintain_partitions.relation IS NULL)
        LOOP
            failures := 0;
            LOOP
                outcome := strata._try_step(target, step, maintain_partitions.relation IS NULL);
                COMMIT;
                IF outcome IS NULL THEN
                    failures := failures OPERATOR(pg_catalog.+) 1;
                    EXIT WHEN failures OPERATOR(pg_catalog.>=) 20;
                    PERFORM pg_catalog.pg_sleep(pg_catalog.random() OPERATOR(pg_catalog.*) 0.2);
                END IF;
                EXIT WHEN outcome OPERATOR(pg_catalog.=) 0;
            END LOOP;
            IF failures OPERATOR(pg_catalog.>=) 20 THEN
                RAISE WARNING USING MESSAGE = pg_catalog.format('%s is in use: step %s is left to the next run', target, step),
                    HINT = 'Sessions that keep a transaction open for long hold it; pg_stat_activity shows them.';
            END IF;
        END LOOP;
    END LOOP;
    LOOP
        EXIT WHEN maintain_partitions.relation IS NOT NULL;
        outcome := strata._try_prune_audits();
        COMMIT;
        EXIT WHEN outcome OPERATOR(pg_catalog.=) 0;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE strata.maintain_partitions(regclass) IS
'Makes partitions ahead of time (premake), puts missing triggers back, lets go of partitions past retention and of groups past the retention of their rollup, prunes the ledger, for one event table or for all the caller may maintain (as owner or by grant_ingest); with none named it also prunes the logs of audited tables as strata.set_audit_retention says. Retention seals a partition, refreshes the rollups, moves retained_from, takes the rows of audited tables out of the log, detaches and drops; a partition that something holds back stays (strata.expired_partitions says why). Commits after each step and waits 200 ms for a lock, 20 times; call it outside a transaction block, from cron or from strata run. With one table named an error ends the call; otherwise it is a warning and the other tables are maintained.';

-- The steps that could find work now: most tables have nothing to let go of most of the time.
CREATE FUNCTION strata._maintenance_steps(relation regclass) RETURNS text[]
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._steps_to_take(strata._authorize(relation, 'INGEST')) $$;
COMMENT ON FUNCTION strata._maintenance_steps(regclass) IS 'The steps of maintenance that an event table needs now, in order.';

CREATE FUNCTION strata._steps_to_take(relation regclass) RETURNS text[]
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    retains boolean := event_table.retention IS NOT NULL OR event_table.retention_bytes IS NOT NULL
        OR EXISTS (SELECT FROM strata._detached_partitions d WHERE d.table_id = event_table.table_id)
        OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = relation AND i.inhdetachpending)
        -- sealed under a retention that is no more
        OR EXISTS (SELECT FROM pg_inherits i JOIN pg_constraint k ON k.conrelid = i.inhrelid AND k.conname = 'strata_expired'
                   WHERE i.inhparent = relation);
    trims boolean := EXISTS (SELECT FROM strata._rollups r WHERE r.table_id = event_table.table_id AND (r.retention IS NOT NULL OR r.kept_from > '-infinity'));
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    RETURN ARRAY['prepare'] || CASE WHEN retains THEN ARRAY['seal', 'refresh', 'freeze', 'expire', 'detach', 'drop'] ELSE '{}' END
        || CASE WHEN trims THEN ARRAY['trim'] ELSE '{}' END || ARRAY['prune'];
END
$$;
COMMENT ON FUNCTION strata._steps_to_take(regclass) IS 'The reading half of _maintenance_steps.';

CREATE FUNCTION strata._try_prune_audits() RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    what text;
    state text;
BEGIN
    RETURN strata._prune_audits();
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS what = MESSAGE_TEXT, state = RETURNED_SQLSTATE;
    RAISE WARNING USING ERRCODE = state, MESSAGE = format('the audit log could not be pruned: %s', what);
    RETURN 0;
END
$$;
COMMENT ON FUNCTION strata._try_prune_audits() IS 'Like _prune_audits; an error is a warning, and the end.';

-- A table that is dropped meanwhile needs nothing more, and nobody need hear of it, unless it was asked for by name.
CREATE FUNCTION strata._is_gone(relation regclass, tolerant boolean) RETURNS boolean
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_class c WHERE c.oid = relation) THEN
        RETURN false;
    ELSIF NOT tolerant THEN
        RAISE EXCEPTION USING ERRCODE = 'ST001', MESSAGE = 'the event table was dropped meanwhile',
            DETAIL = format('There is no relation with OID %s any more.', relation::oid), HINT = 'strata.event_tables lists what there is.';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION strata._is_gone(regclass, boolean) IS 'Whether a relation has been dropped; if not tolerant, ST001 when it has.';

CREATE FUNCTION strata._try_steps(relation regclass, tolerant boolean) RETURNS text[]
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN strata._maintenance_steps(relation);
EXCEPTION WHEN OTHERS THEN
    IF strata._is_gone(relation, tolerant) THEN
        RETURN '{}';
    END IF;
    RAISE;
END
$$;
COMMENT ON FUNCTION strata._try_steps(regclass, boolean) IS 'Like _maintenance_steps; no steps, or ST001 if not tolerant, for a table that was dropped meanwhile.';

-- 0: done; more: call again; NULL: a lock was not to be had, call again a little later.
CREATE FUNCTION strata._try_step(relation regclass, step text, tolerant boolean) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    outcome bigint := 0;
    what text;
    state text;
BEGIN
    PERFORM set_config('lock_timeout', '200ms', true);
    CASE step
        WHEN 'prepare' THEN PERFORM strata._maintain_event_table(strata._authorize(relation, 'INGEST'));
        WHEN 'seal' THEN outcome := strata._seal_expired(relation);
        WHEN 'refresh' THEN PERFORM strata._try_refresh(r) FROM strata._rollups_in_the_way(relation) r;
        WHEN 'freeze' THEN PERFORM strata._freeze_expired(relation);
        WHEN 'expire' THEN outcome := strata._expire_audited(relation);
        WHEN 'detach' THEN
            FOR what IN SELECT d.partition FROM strata._detachable(relation) d LIMIT 1 LOOP
                PERFORM strata._detach_partition(relation, what);
                outcome := 1;
            END LOOP;
        WHEN 'drop' THEN outcome := strata._drop_detached(relation);
        WHEN 'trim' THEN outcome := strata._trim_rollups(relation);
        WHEN 'prune' THEN outcome := strata._prune_ledger(relation);
    END CASE;
    RETURN outcome;
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
        RETURN NULL;
    WHEN OTHERS THEN
        IF strata._is_gone(relation, tolerant) THEN
            RETURN 0;
        ELSIF NOT tolerant THEN
            RAISE;
        END IF;
        GET STACKED DIAGNOSTICS what = MESSAGE_TEXT, state = RETURNED_SQLSTATE;
        RAISE WARNING USING ERRCODE = state, MESSAGE = format('maintenance of %s failed at step %s: %s', relation, step, what);
        RETURN 0;
END
$$;
COMMENT ON FUNCTION strata._try_step(regclass, text, boolean) IS
'One step of maintenance within a lock timeout of 200 ms: 0 done, more to be called again, NULL if a lock was not to be had. tolerant: an error is a warning.';

-- A rollup that cannot be refreshed holds retention back, which expired_partitions shows; it must not hold up the rest.
CREATE FUNCTION strata._try_refresh(rollup regclass) RETURNS void
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    what text;
    state text;
BEGIN
    PERFORM strata.refresh_rollup(rollup);
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
        RAISE;
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS what = MESSAGE_TEXT, state = RETURNED_SQLSTATE;
        RAISE WARNING USING ERRCODE = state, MESSAGE = format('rollup %s could not be refreshed: %s', rollup, what),
            HINT = format('Mend what it stumbles over, or take it out of the way: SELECT strata.suspend_rollup(%L);', rollup::text);
END
$$;
COMMENT ON FUNCTION strata._try_refresh(regclass) IS 'Refreshes a rollup; an error is a warning.';

CREATE FUNCTION strata._maintainable(relation regclass) RETURNS regclass[]
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN relation IS NOT NULL THEN ARRAY[relation]
        ELSE coalesce((SELECT array_agg(e.relation ORDER BY e.relation) FROM strata.event_tables e WHERE strata._may(e.relation, 'INGEST')), '{}') END
$$;
COMMENT ON FUNCTION strata._maintainable(regclass) IS 'The event tables that a call of maintain_partitions is about.';

CREATE FUNCTION strata._maintain_event_table(relation regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    PERFORM strata._sync_columns(event_table);
    PERFORM strata._make_partitions(event_table, strata._axis_now(event_table), strata._premade_until(event_table));
    PERFORM strata._cover_leaves(relation, r) FROM strata._active_rollups(event_table) r;
    PERFORM strata._align_owners(event_table);
    PERFORM strata._create_mark_triggers(event_table, m.partition), strata._mark_leaf(event_table, m.partition)
    FROM strata._without_mark_triggers(relation) m (partition);
END
$$;
COMMENT ON FUNCTION strata._maintain_event_table(regclass) IS 'The writing half of maintain_partitions, for one table.';

-- Rows may have been changed behind a missing trigger: every group of that partition is recomputed, those that only
-- storage still knows included.
CREATE FUNCTION strata._mark_leaf(event_table strata._event_tables, leaf regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
DECLARE
    statement text;
    bounds record;
    rollup strata._rollups;
    groups text;
    bucket_type regtype := strata._bucket_type(event_table.time_type);
BEGIN
    SELECT l.lower, l.upper INTO bounds FROM strata._leaves(event_table.relation) l WHERE l.partition = leaf;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    FOR statement IN SELECT strata._mark_statements(event_table.table_id, leaf, format('SELECT * FROM %s', leaf), NULL) LOOP
        PERFORM strata._execute_as(strata._owner(event_table.relation), statement);
    END LOOP;
    FOR rollup IN SELECT r.* FROM strata._rollups r JOIN pg_class c ON c.oid = r.storage WHERE r.table_id = event_table.table_id LOOP
        SELECT string_agg(quote_ident(d.column_name), ', ' ORDER BY d.ordinal) INTO groups
        FROM strata._definition_columns(rollup.definition) d WHERE d.aggregate IS NULL;
        PERFORM strata._execute_as(strata._owner(rollup.storage), format(
            'INSERT INTO %s SELECT %s, 0 FROM %s WHERE bucket >= %s AND bucket < %s',
            rollup.dirty, groups, rollup.storage,
            strata._time_at(bucket_type, format('%L::timestamptz - %L::interval', bounds.lower, strata._bucket_span(rollup.bucket, rollup.timezone)), false),
            strata._time_at(bucket_type, format('%L::timestamptz', bounds.upper), false)));
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._mark_leaf(strata._event_tables, regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._mark_leaf(strata._event_tables, regclass) IS 'Marks every group dirty that rows of one partition belong, or belonged, to.';

-- ALTER TABLE … OWNER TO reaches neither partitions nor rollups with their readers nor the trigger function.
CREATE FUNCTION strata._align_owners(event_table strata._event_tables) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(event_table.relation);
    mark regprocedure := strata._mark_function(event_table.relation);
    stray regclass;
    reader regprocedure;
BEGIN
    FOR stray IN SELECT s.relation FROM strata._strays(event_table.relation) s (relation) LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO %s', stray, owner);
    END LOOP;
    IF (SELECT p.proowner FROM pg_proc p WHERE p.oid = mark) <> owner THEN
        EXECUTE format('ALTER FUNCTION %s OWNER TO %s', mark, owner);
    END IF;
    FOR reader IN
        SELECT f.name FROM strata._rollups r CROSS JOIN LATERAL strata._readers(r.storage) f (name) JOIN pg_proc p ON p.oid = f.name
        WHERE r.table_id = event_table.table_id AND p.proowner <> owner
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO %s', reader, owner);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._align_owners(strata._event_tables) FROM PUBLIC;
COMMENT ON FUNCTION strata._align_owners(strata._event_tables) IS
'Gives what belongs to an event table to the table''s owner, after the table was given to another.';

CREATE FUNCTION strata._strays(relation regclass) RETURNS SETOF regclass
    LANGUAGE sql STABLE STRICT SECURITY DEFINER ROWS 1
    -- permit: none needed, strata.health shows it to everybody
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.oid::regclass
    FROM (
        SELECT t.oid FROM strata._tree(relation) t (oid)
        UNION ALL SELECT t.batch_sequence FROM strata._event_tables t WHERE t.relation = _strays.relation
        UNION ALL SELECT p.part FROM strata._rollups r JOIN strata._event_tables t ON t.table_id = r.table_id
            CROSS JOIN LATERAL (SELECT unnest(ARRAY[r.rollup, r.definition, r.dirty]) UNION ALL SELECT s.* FROM strata._tree(r.storage) s) p (part)
            WHERE t.relation = _strays.relation
    ) AS ours (oid)
    JOIN pg_class c ON c.oid = ours.oid
    WHERE c.relowner <> (SELECT p.relowner FROM pg_class p WHERE p.oid = relation)
$$;
COMMENT ON FUNCTION strata._strays(regclass) IS 'Partitions, rollups and sequence of an event table that have another owner than the table.';

CREATE FUNCTION strata._without_mark_triggers(relation regclass) RETURNS SETOF regclass
    LANGUAGE sql STABLE STRICT ROWS 1
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.relid FROM strata._tree(relation) t (relid)
    WHERE EXISTS (SELECT FROM strata._mark_trigger_kinds() k
                  WHERE NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.relid AND g.tgname = k.trigger_name AND g.tgenabled = k.enabled))
$$;
COMMENT ON FUNCTION strata._without_mark_triggers(regclass) IS
'Relations of an event table''s partition tree that lack a trigger which tells rollups of changes.';

-- Promise: the streamed batches with records of a time are out of the table, rollups exact, and what they held is known to
-- the record, so that a replay puts back the same records and no other.
CREATE FUNCTION strata.revert_batches(
    relation regclass, arrived tstzrange, dry_run boolean = false,
    OUT reversion_id bigint, OUT batches bigint, OUT rows bigint, OUT dead_letters bigint,
    OUT first_arrived_at timestamptz, OUT last_arrived_at timestamptz
)
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM strata._revert_batches(strata._authorize(relation, 'OWNER'), arrived, dry_run) $$;
COMMENT ON FUNCTION strata.revert_batches(regclass, tstzrange, boolean) IS
'Takes streamed batches out of an event table: every batch that has a record which arrived in the stream within the range, whole, with its dead letters, and with the rows that were dead letters of it before. Returns what was taken out, and when its records arrived, which is the range or more. With dry_run it only tells (reversion_id is NULL). strata replay --reversion puts the same records back, through the mapping as it is then. Takes ownership. Rows that an upsert has replaced are not brought back; batches of other writers have no records and stay.';

CREATE FUNCTION strata._revert_batches(
    relation regclass, arrived tstzrange, dry_run boolean,
    OUT reversion_id bigint, OUT batches bigint, OUT rows bigint, OUT dead_letters bigint,
    OUT first_arrived_at timestamptz, OUT last_arrived_at timestamptz
)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    chosen bigint[];
    all_chosen bigint[];
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    -- one at a time a table: nothing is taken out twice
    PERFORM pg_advisory_xact_lock('strata._reversions'::regclass::oid::int, event_table.table_id);
    SELECT coalesce(array_agg(DISTINCT o.batch_id), '{}') INTO chosen FROM strata._batch_origins o
    WHERE o.table_id = event_table.table_id AND o.retry_of IS NULL
      AND tstzrange(o.first_arrived_at, o.last_arrived_at, '[]') && arrived;
    SELECT min(o.first_arrived_at), max(o.last_arrived_at) INTO first_arrived_at, last_arrived_at FROM strata._batch_origins o
    WHERE o.table_id = event_table.table_id AND o.batch_id = ANY (chosen);
    SELECT chosen || coalesce(array_agg(DISTINCT o.batch_id), '{}') INTO all_chosen FROM strata._batch_origins o
    WHERE o.table_id = event_table.table_id AND o.retry_of = ANY (chosen);
    batches := cardinality(all_chosen);
    IF dry_run THEN
        rows := (SELECT coalesce(sum(b.row_count), 0) FROM strata._batches b WHERE b.table_id = event_table.table_id AND b.batch_id = ANY (all_chosen));
        dead_letters := (SELECT count(*) FROM strata._dead_letters d WHERE d.table_id = event_table.table_id AND d.batch_id = ANY (all_chosen));
        RETURN;
    END IF;
    rows := strata._execute_as(strata._owner(relation),
        format('WITH gone AS (DELETE FROM %s WHERE batch_id = ANY (%L::bigint[]) RETURNING 1) SELECT count(*) FROM gone', relation, all_chosen))::bigint;
    DELETE FROM strata._dead_letters d WHERE d.table_id = event_table.table_id AND d.batch_id = ANY (all_chosen);
    GET DIAGNOSTICS dead_letters = ROW_COUNT;
    -- (rows put in by hand with these ids are gone as well: nothing is left)
    UPDATE strata._batches b SET row_count = 0 WHERE b.table_id = event_table.table_id AND b.batch_id = ANY (all_chosen);
    INSERT INTO strata._reversions AS r (table_id, arrived, batches, row_count, dead_letters, role)
    VALUES (event_table.table_id, _revert_batches.arrived, _revert_batches.batches, _revert_batches.rows, _revert_batches.dead_letters, session_user)
    RETURNING r.reversion_id INTO reversion_id;
    INSERT INTO strata._reversion_origins (reversion_id, table_id, batch_id, stream, shard, first_sequence, last_sequence)
    SELECT _revert_batches.reversion_id, o.table_id, o.batch_id, o.stream, o.shard, o.first_sequence, o.last_sequence
    FROM strata._batch_origins o
    WHERE o.table_id = event_table.table_id AND o.batch_id = ANY (chosen) AND o.retry_of IS NULL;
    DELETE FROM strata._batch_origins o WHERE o.table_id = event_table.table_id AND o.batch_id = ANY (all_chosen);
END
$$;
COMMENT ON FUNCTION strata._revert_batches(regclass, tstzrange, boolean) IS 'The writing half of revert_batches.';

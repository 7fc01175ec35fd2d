-- Dead letters that became rows after all: they leave in the transaction that puts the rows in.
CREATE FUNCTION strata._resolve_dead_letters(relation regclass, batch_id bigint, letters bigint[], row_counts bigint[]) RETURNS void
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._end_dead_letters(strata._authorize(relation, 'INGEST'), batch_id, letters, row_counts) $$;
COMMENT ON FUNCTION strata._resolve_dead_letters(regclass, bigint, bigint[], bigint[]) IS
'Takes dead letters of one batch away that became rows (row_counts: how many each) of the batch this transaction has open, and records where these rows are from. 40001 if one of them is gone: somebody else has tried it again.';

CREATE FUNCTION strata._end_dead_letters(relation regclass, batch_id bigint, letters bigint[], row_counts bigint[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    gone bigint;
    origins bigint;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    PERFORM strata._require_open_batch(relation, batch_id);
    -- a record is kept with the first of its dead letters: it goes on to the first that stays
    UPDATE strata._dead_letters d SET payload = h.payload, payload_bytes = h.payload_bytes
    FROM strata._dead_letters h
    WHERE h.table_id = event_table.table_id AND h.dead_letter_id = ANY (letters) AND h.payload_bytes > 0
      AND d.dead_letter_id = (
        SELECT min(o.dead_letter_id) FROM strata._dead_letters o
        WHERE o.table_id = h.table_id AND o.batch_id = h.batch_id AND o.stream = h.stream AND o.shard = h.shard
          AND o.sequence_number = h.sequence_number AND o.dead_letter_id <> ALL (letters));
    WITH deleted AS (
        DELETE FROM strata._dead_letters d
        WHERE d.table_id = event_table.table_id AND d.dead_letter_id = ANY (letters)
        RETURNING d.dead_letter_id, d.batch_id, strata._source(d.stream) AS stream, d.shard, d.sequence_number, d.arrived_at
    ), places AS (
        INSERT INTO strata._batch_origins (table_id, batch_id, stream, shard, first_sequence, last_sequence, row_count,
            first_arrived_at, last_arrived_at, retry_of)
        SELECT event_table.table_id, _end_dead_letters.batch_id, d.stream, d.shard,
               (array_agg(d.sequence_number ORDER BY length(d.sequence_number), d.sequence_number COLLATE "C"))[1],
               (array_agg(d.sequence_number ORDER BY length(d.sequence_number) DESC, d.sequence_number COLLATE "C" DESC))[1],
               sum(u.n), min(d.arrived_at), max(d.arrived_at), min(d.batch_id)
        FROM deleted d JOIN unnest(letters, row_counts) AS u (id, n) ON u.id = d.dead_letter_id
        GROUP BY d.stream, d.shard
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM deleted), (SELECT count(*) FROM places) INTO gone, origins;
    IF gone <> cardinality(letters) THEN
        RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = format('%s of %s dead letters are gone', cardinality(letters) - gone, cardinality(letters)),
            DETAIL = 'They were tried again, or purged, at the same time.',
            HINT = 'Try again with those that are left.';
    END IF;
END
$$;
COMMENT ON FUNCTION strata._end_dead_letters(regclass, bigint, bigint[], bigint[]) IS 'The writing half of _resolve_dead_letters.';

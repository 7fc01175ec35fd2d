-- The fence and the progress of a streamed batch, last before COMMIT.
CREATE FUNCTION strata._advance_checkpoints(
    relation regclass, batch_id bigint, streams text[], shards text[], epochs bigint[], previous_sequences text[],
    first_sequences text[], last_sequences text[], arrivals timestamptz[], row_counts bigint[], endings boolean[],
    first_arrivals timestamptz[] = NULL, OUT stream text, OUT shard text
) RETURNS SETOF record
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM strata._write_checkpoints(strata._authorize(relation, 'INGEST'), batch_id, streams, shards, epochs,
        previous_sequences, first_sequences, last_sequences, arrivals, row_counts, endings, first_arrivals)
$$;
COMMENT ON FUNCTION strata._advance_checkpoints(regclass, bigint, text[], text[], bigint[], text[], text[], text[], timestamptz[], bigint[], boolean[], timestamptz[]) IS
'Moves the checkpoints of the shards in a batch and records them as its origins. Returns the shards that the batch does not follow on: the epoch is gone because another worker has taken the shard, or the checkpoint is not where the worker left it (previous_sequences, NULL for a new one) because the database lost commits in a crash or a failover. If there is any, nothing was written and the transaction must be rolled back. Locks checkpoint rows in order.';

CREATE FUNCTION strata._write_checkpoints(
    relation regclass, batch_id bigint, streams text[], shards text[], epochs bigint[], previous_sequences text[],
    first_sequences text[], last_sequences text[], arrivals timestamptz[], row_counts bigint[], endings boolean[],
    first_arrivals timestamptz[] = NULL, OUT stream text, OUT shard text
) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target_id int := strata._ingest_id(relation);
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    PERFORM FROM strata._checkpoints c
    WHERE c.table_id = target_id AND (c.stream, c.shard) IN (SELECT u.s, u.h FROM unnest(streams, shards) AS u (s, h))
    ORDER BY c.stream, c.shard
    FOR NO KEY UPDATE;
    -- a statement of its own, so that it sees what was committed while the locks were waited for
    RETURN QUERY
    SELECT u.s, u.h FROM unnest(streams, shards, epochs, previous_sequences) AS u (s, h, e, previous)
    WHERE NOT EXISTS (SELECT FROM strata._checkpoints c
                      WHERE c.table_id = target_id AND c.stream = u.s AND c.shard = u.h AND c.epoch = u.e
                        AND c.sequence_number IS NOT DISTINCT FROM u.previous);
    IF FOUND THEN
        RETURN;
    END IF;
    UPDATE strata._checkpoints c
    SET sequence_number = coalesce(u.last_sequence, c.sequence_number),
        arrived_at = coalesce(u.arrived, c.arrived_at),
        ended = c.ended OR u.ending,
        row_count = c.row_count + u.row_count
    FROM unnest(streams, shards, last_sequences, arrivals, row_counts, endings) AS u (s, h, last_sequence, arrived, row_count, ending)
    WHERE c.table_id = target_id AND c.stream = u.s AND c.shard = u.h;
    -- (a replay keeps checkpoints of its own, under the stream's name with a word of its own before it)
    INSERT INTO strata._batch_origins (table_id, batch_id, stream, shard, first_sequence, last_sequence, row_count, first_arrived_at, last_arrived_at)
    SELECT target_id, _write_checkpoints.batch_id, strata._source(u.s), u.h, u.first_sequence, u.last_sequence, u.row_count,
           least(coalesce(u.first_arrived, u.arrived), u.arrived), greatest(u.first_arrived, u.arrived)
    FROM unnest(streams, shards, first_sequences, last_sequences, row_counts, arrivals, first_arrivals)
        AS u (s, h, first_sequence, last_sequence, row_count, arrived, first_arrived)
    WHERE u.last_sequence IS NOT NULL
      AND EXISTS (SELECT FROM strata._batches b WHERE b.table_id = target_id AND b.batch_id = _write_checkpoints.batch_id
                  AND b.xmin = pg_current_xact_id()::xid);
END
$$;
COMMENT ON FUNCTION strata._write_checkpoints(regclass, bigint, text[], text[], bigint[], text[], text[], text[], timestamptz[], bigint[], boolean[], timestamptz[]) IS
'The writing half of _advance_checkpoints.';

CREATE FUNCTION strata._source(stream text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT regexp_replace(stream, '^.* ', '') $$;
COMMENT ON FUNCTION strata._source(text) IS 'The stream itself, of the name its checkpoints are kept under.';

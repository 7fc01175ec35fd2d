-- The ledger's half of a streamed batch: dead letters, counts, checksums, and the checkpoints that fence it. All of it
-- in the transaction of the COPY.
CREATE FUNCTION strata._add_dead_letters(
    relation regclass, batch_id bigint, stream text[], shard text[], sequence_number text[], sub_sequence int[],
    partition_key text[], arrived_at timestamptz[], reason text[], sqlstate text[], column_name text[],
    payload bytea[], payload_bytes int[]
) RETURNS bigint
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT strata._write_dead_letters(strata._authorize(relation, 'INGEST'), batch_id, stream, shard, sequence_number, sub_sequence,
        partition_key, arrived_at, reason, sqlstate, column_name, payload, payload_bytes)
$$;
COMMENT ON FUNCTION strata._add_dead_letters(regclass, bigint, text[], text[], text[], int[], text[], timestamptz[], text[], text[], text[], bytea[], int[]) IS
'Keeps records that could not become rows, with the reason, in the batch''s transaction; returns how many. Payloads are LZ4 blocks, payload_bytes their size before compression.';

CREATE FUNCTION strata._write_dead_letters(
    relation regclass, batch_id bigint, stream text[], shard text[], sequence_number text[], sub_sequence int[],
    partition_key text[], arrived_at timestamptz[], reason text[], sqlstate text[], column_name text[],
    payload bytea[], payload_bytes int[]
) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    -- (changes of a target have no batch in a ledger: it is kept for rows that stay)
    IF NOT strata._is_target(relation) THEN
        PERFORM strata._require_open_batch(relation, batch_id);
    END IF;
    INSERT INTO strata._dead_letters (table_id, batch_id, stream, shard, sequence_number, sub_sequence, partition_key, arrived_at,
        reason, sqlstate, column_name, payload, payload_bytes)
    SELECT strata._ingest_id(relation), _write_dead_letters.batch_id, d.*
    FROM unnest(stream, shard, sequence_number, sub_sequence, partition_key, arrived_at, reason, sqlstate, column_name,
        payload, payload_bytes) AS d;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
COMMENT ON FUNCTION strata._write_dead_letters(regclass, bigint, text[], text[], text[], int[], text[], timestamptz[], text[], text[], text[], bytea[], int[]) IS
'The writing half of _add_dead_letters.';

-- The ledger takes words only about the batch that this very transaction has open.
CREATE FUNCTION strata._require_open_batch(relation regclass, batch_id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF batch_id IS NULL OR NOT strata._is_open_batch(relation, batch_id) THEN
        RAISE EXCEPTION USING ERRCODE = 'ST008',
            MESSAGE = format('batch %s of %s is not open in this transaction', coalesce(batch_id::text, 'NULL'), relation),
            DETAIL = 'The ledger row of a batch is written in the transaction that puts its rows in.',
            HINT = format('Take the id from SELECT strata.current_batch(%L) in the same transaction.', relation::text);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._require_open_batch(regclass, bigint) FROM PUBLIC;
COMMENT ON FUNCTION strata._require_open_batch(regclass, bigint) IS 'Raises ST008 unless this transaction has the batch open.';

CREATE FUNCTION strata._finish_batch(
    relation regclass, batch_id bigint, row_count bigint, lower_time timestamptz, upper_time timestamptz,
    column_ids int[], partitions oid[], partition_rows bigint[], roots bytea[]
) RETURNS void
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT strata._write_batch(strata._authorize(relation, 'INGEST'), batch_id, row_count, lower_time, upper_time,
        column_ids, partitions, partition_rows, roots)
$$;
COMMENT ON FUNCTION strata._finish_batch(regclass, bigint, bigint, timestamptz, timestamptz, int[], oid[], bigint[], bytea[]) IS
'Completes the ledger row of this transaction''s batch, which closes it: row count, and per partition the number of rows and the sorted-leaf root over the columns column_ids. The event times kept are those of the rows as stored, lower_time and upper_time are what the caller believes. ST008 if the batch is not open.';

CREATE FUNCTION strata._write_batch(
    relation regclass, batch_id bigint, row_count bigint, lower_time timestamptz, upper_time timestamptz,
    column_ids int[], partitions oid[], partition_rows bigint[], roots bytea[]
) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    seen record;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    PERFORM strata._require_open_batch(relation, batch_id);
    -- What was stored decides, not what the caller says: a trigger may have changed event times, or another statement
    -- may have put rows in. If the guard saw fewer rows than there are, nothing is known.
    SELECT e.row_count, e.lower_time, e.upper_time INTO seen FROM strata._batch_extent(relation) e;
    UPDATE strata._batches b
    SET row_count = _write_batch.row_count, column_ids = _write_batch.column_ids,
        lower_time = CASE WHEN seen.row_count >= _write_batch.row_count THEN coalesce(seen.lower_time, 'infinity') END,
        upper_time = CASE WHEN seen.row_count >= _write_batch.row_count THEN coalesce(seen.upper_time, '-infinity') END
    WHERE b.table_id = event_table.table_id AND b.batch_id = _write_batch.batch_id;
    INSERT INTO strata._batch_checksums (table_id, batch_id, partition, row_count, root)
    SELECT event_table.table_id, _write_batch.batch_id, c.partition, c.row_count, c.root
    FROM unnest(partitions, partition_rows, roots) AS c (partition, row_count, root);
    -- Rows put in from here on would lie outside what was just written down: they draw a batch of their own.
    PERFORM strata._close_batch(relation);
END
$$;
COMMENT ON FUNCTION strata._write_batch(regclass, bigint, bigint, timestamptz, timestamptz, int[], oid[], bigint[], bytea[]) IS
'The writing half of _finish_batch.';

-- The batch ledger: one row per batch, written in the batch's own transaction.
-- The native library inserts rows by position: keep the order of columns, and no defaults.
CREATE TABLE strata._batches (
    table_id int NOT NULL,
    batch_id bigint NOT NULL,
    created_at timestamptz NOT NULL,
    -- NULL where the batch came in through the column default and nobody counted
    row_count bigint,
    -- lowest and highest event time; NULL or infinite outwards means not known, which readers take for unbounded. Never NULL
    -- in batches of the column default: the native library writes over them in place
    lower_time timestamptz,
    upper_time timestamptz,
    -- identity of the column set the checksums of this batch are computed over
    column_ids int[],
    PRIMARY KEY (table_id, batch_id)
);

CREATE TABLE strata._batch_origins (
    table_id int NOT NULL,
    batch_id bigint NOT NULL,
    stream text NOT NULL,
    shard text NOT NULL,
    first_sequence text,
    last_sequence text,
    row_count bigint NOT NULL,
    PRIMARY KEY (table_id, batch_id, stream, shard)
);

-- Per leaf partition the sorted-leaf root over the columns the sidecar supplied (docs/formats.md).
CREATE TABLE strata._batch_checksums (
    table_id int NOT NULL,
    batch_id bigint NOT NULL,
    partition regclass NOT NULL,
    row_count bigint NOT NULL,
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    PRIMARY KEY (table_id, batch_id, partition)
);

-- Batches whose rows were lawfully updated or deleted, and the event times concerned.
CREATE TABLE strata._amended_batches (
    table_id int NOT NULL,
    batch_id bigint NOT NULL,
    lower_time timestamptz NOT NULL,
    upper_time timestamptz NOT NULL,
    amended_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON strata._amended_batches (table_id, batch_id);
-- without a key, and in a publication FOR ALL TABLES: rows could not be deleted otherwise
ALTER TABLE strata._amended_batches REPLICA IDENTITY FULL;

-- What pruning has left of batches that every rollup has folded: one row an hour.
CREATE TABLE strata._merged_batches (
    table_id int NOT NULL,
    hour timestamptz NOT NULL,
    lower_batch bigint NOT NULL,
    upper_batch bigint NOT NULL,
    batches bigint NOT NULL,
    PRIMARY KEY (table_id, hour)
);

-- How far the ledger may be pruned: a horizon of its own, for tables that have no rollup.
CREATE TABLE strata._ledger_progress (
    table_id int PRIMARY KEY,
    horizon bigint NOT NULL DEFAULT 0,
    candidate bigint,
    candidate_xid xid8,
    system_identifier bigint,
    -- no batch at or below is left but streamed ones
    pruned_through bigint NOT NULL DEFAULT 0
);

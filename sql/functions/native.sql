-- The functions the library computes: the seam at which a flavour for hosts without the library will put SQL of the
-- same signatures.

CREATE FUNCTION strata.current_batch(relation regclass) RETURNS bigint
    LANGUAGE C STABLE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'current_batch_wrapper';
COMMENT ON FUNCTION strata.current_batch(regclass) IS
'The batch that rows inserted into this event table by this transaction belong to; opened, with its ledger row, on first use. The default of column batch_id; for defaults and for loaders that supply batch_id themselves. Takes INSERT on the event table. Marked STABLE so that COPY keeps its multi-insert path.';

CREATE FUNCTION strata._foreign_row(relation regclass, batch_id bigint, ts timestamptz) RETURNS boolean
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'foreign_row_wrapper';
COMMENT ON FUNCTION strata._foreign_row(regclass, bigint, timestamptz) IS
'Whether batch_id is not the batch this transaction has open for the event table; takes down the event time of a row that belongs to it. A row without a batch id is foreign. The condition of the guard trigger.';

CREATE FUNCTION strata._is_open_batch(relation regclass, batch_id bigint) RETURNS boolean
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'is_open_batch_wrapper';
COMMENT ON FUNCTION strata._is_open_batch(regclass, bigint) IS
'Whether batch_id is the batch this transaction has open for the event table.';

CREATE FUNCTION strata._batch_extent(relation regclass, OUT row_count bigint, OUT lower_time timestamptz, OUT upper_time timestamptz)
    RETURNS SETOF record
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'batch_extent_wrapper';
COMMENT ON FUNCTION strata._batch_extent(regclass) IS
'Rows that went into this transaction''s open batch, as the guard saw them stored, and their lowest and highest event time.';

CREATE FUNCTION strata._rollups_of(table_id int, OUT rollup_id int, OUT definition regclass, OUT dirty regclass)
    RETURNS SETOF record
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'rollups_of_wrapper';
COMMENT ON FUNCTION strata._rollups_of(int) IS
'The rollups of an event table that are kept up, as of now, whatever the transaction''s snapshot: a writer of old snapshot must tell a younger rollup of its changes too.';

CREATE FUNCTION strata._definition_filter_is_mutable(definition regclass) RETURNS boolean
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'definition_filter_is_mutable_wrapper';
COMMENT ON FUNCTION strata._definition_filter_is_mutable(regclass) IS
'Whether the WHERE condition of a rollup''s definition view calls a function that is not immutable.';

CREATE FUNCTION strata._close_batch(relation regclass) RETURNS void
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'close_batch_wrapper';
COMMENT ON FUNCTION strata._close_batch(regclass) IS
'Closes this transaction''s open batch of the event table: rows inserted later draw a new one. A refresh in the writer''s own transaction must not count an id that later rows would carry.';

CREATE FUNCTION strata._execute_as(role regrole, statement text) RETURNS text
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'strata_execute_as';
REVOKE ALL ON FUNCTION strata._execute_as(regrole, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._execute_as(regrole, text) IS
'Runs one statement with the rights of a role, in a security-restricted context; returns the first column of its first row. Users'' expressions are evaluated through this and never with the rights of the extension.';

CREATE FUNCTION strata._fold_as(role regrole, bounds text, statement text, plain text, horizon bigint) RETURNS text
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'strata_fold_as';
REVOKE ALL ON FUNCTION strata._fold_as(regrole, text, text, text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION strata._fold_as(regrole, text, text, text, bigint) IS
'Like _execute_as, for statements that conclude from the ledger what they have read of the rows: the snapshot is taken before the statement is planned, so that the plan reads every partition that the snapshot has rows of. bounds: a query under the same snapshot, with horizon as its parameter, whose one row gives the parameters of the statement, which is planned for them. If the first is NULL nothing is run, and NULL returned; if the last is true plain is run in place of statement.';

CREATE FUNCTION strata._kept(key text) RETURNS text
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'kept_wrapper';
REVOKE ALL ON FUNCTION strata._kept(text) FROM PUBLIC;
COMMENT ON FUNCTION strata._kept(text) IS
'What _keep has kept in this session under a name, if nothing has changed since that a statement may name: no relation, type, function, operator, collation or schema.';

CREATE FUNCTION strata._keep(key text, value text) RETURNS text
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'keep_wrapper';
REVOKE ALL ON FUNCTION strata._keep(text, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._keep(text, text) IS
'Keeps a statement, written since _kept of the same name last gave NULL, for this session; returns it.';

CREATE FUNCTION strata._read_as(role regrole, statement text) RETURNS text
    LANGUAGE C STABLE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'strata_read_as';
REVOKE ALL ON FUNCTION strata._read_as(regrole, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._read_as(regrole, text) IS
'Like _execute_as, for a query under the snapshot of the statement that calls it.';

CREATE FUNCTION strata._definition_columns(
    definition regclass,
    OUT ordinal int, OUT column_name text, OUT type_oid oid, OUT type_modifier int, OUT expression text,
    OUT aggregate oid, OUT arguments text[], OUT filter text, OUT is_ordered boolean, OUT is_mutable boolean,
    OUT argument_types oid[], OUT collation_oid oid
) RETURNS SETOF record
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'definition_columns_wrapper';
COMMENT ON FUNCTION strata._definition_columns(regclass) IS
'The output columns of a rollup''s definition view, each expression deparsed with the source relation named e.';

CREATE FUNCTION strata._definition_shape(definition regclass, OUT source regclass, OUT bucket_arguments text[], OUT fault text)
    RETURNS SETOF record
    LANGUAGE C STABLE STRICT ROWS 1
    AS 'MODULE_PATHNAME', 'definition_shape_wrapper';
COMMENT ON FUNCTION strata._definition_shape(regclass) IS
'The table that a definition view reads, and the arguments of the strata.time_bucket call that is its first column, deparsed with the table named e, all but the second constants; fault says what keeps the view from being the definition of a rollup.';

CREATE FUNCTION strata._definition_filter(definition regclass) RETURNS text
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'definition_filter_wrapper';
COMMENT ON FUNCTION strata._definition_filter(regclass) IS
'The WHERE condition of a rollup''s definition view, deparsed with the source relation named e; NULL without one.';

CREATE FUNCTION strata.time_bucket(width interval, ts timestamptz, timezone text DEFAULT 'UTC', origin timestamptz DEFAULT NULL)
    RETURNS timestamptz
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'time_bucket_wrapper';
COMMENT ON FUNCTION strata.time_bucket(interval, timestamptz, text, timestamptz) IS
'Start of the bucket of the given width that ts lies in, on calendar boundaries of timezone. Widths of months take no days or time. Buckets are counted from origin; by default Monday 2000-01-03, and 2000-01-01 for widths of months, both local midnight. Always start <= ts, idempotent and monotone, daylight saving changes included; infinite ts come back unchanged. NULL ts or width gives NULL. Errors: 22023 for a width that is not positive or mixes months with days, 22023 for an unknown time zone, 22008 out of range.';

CREATE FUNCTION strata.time_bucket(width interval, ts timestamp, origin timestamp DEFAULT NULL) RETURNS timestamp
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'time_bucket_timestamp_wrapper';
COMMENT ON FUNCTION strata.time_bucket(interval, timestamp, timestamp) IS
'Start of the bucket of the given width that a timestamp without time zone lies in: wall-clock time as it stands. Origins, infinities, NULLs and errors as for timestamptz.';

CREATE FUNCTION strata.time_bucket(width interval, day date, origin date DEFAULT NULL) RETURNS date
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'time_bucket_date_wrapper';
COMMENT ON FUNCTION strata.time_bucket(interval, date, date) IS
'First day of the bucket of the given width that a date lies in; the width is in whole days or months (22023). Origins, infinities and NULLs as for timestamptz.';

CREATE FUNCTION strata.uuid_time(id uuid) RETURNS timestamptz
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'uuid_time_wrapper';
COMMENT ON FUNCTION strata.uuid_time(uuid) IS
'The time in a UUID of version 7, to the millisecond (RFC 9562: the first 48 bits are Unix milliseconds). Of another version it reads the same bits, which then mean nothing.';

CREATE FUNCTION strata._uuid_bound(ts timestamptz, high boolean) RETURNS uuid
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'uuid_bound_wrapper';
COMMENT ON FUNCTION strata._uuid_bound(timestamptz, boolean) IS
'The lowest UUID whose time is at or after ts; with high the highest UUID whose time is at or before it.';

CREATE FUNCTION strata.uuid_at(ts timestamptz) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    -- no search_path: inlined, so that a condition on it reaches indexes and partitions
AS $$ SELECT strata._uuid_bound(ts, false) $$;
COMMENT ON FUNCTION strata.uuid_at(timestamptz) IS
'The lowest UUID whose version 7 time is at or after ts: WHERE id >= strata.uuid_at(''2026-11-01'') AND id < strata.uuid_at(''2026-11-02'') reads one day of an event table partitioned by such ids.';

CREATE FUNCTION strata._row_leaf(table_uuid uuid, column_ids int[], tags int[], VARIADIC column_values bytea[]) RETURNS bytea
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'row_leaf_wrapper';
COMMENT ON FUNCTION strata._row_leaf(uuid, int[], int[], bytea[]) IS
'SHA-256 of a row in row encoding version 1 (docs/formats.md); column_values are the columns'' wire bytes, NULL for NULL.';

CREATE FUNCTION strata._sorted_root(leaves bytea[]) RETURNS bytea
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'sorted_root_wrapper';
COMMENT ON FUNCTION strata._sorted_root(bytea[]) IS
'RFC 9162 Merkle root over row leaves in ascending order: the checksum of a batch within one partition.';

CREATE FUNCTION strata._jsonb_canonical(value text) RETURNS bytea
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'jsonb_canonical_wrapper';
COMMENT ON FUNCTION strata._jsonb_canonical(text) IS
'Canonical bytes of a jsonb value, given as its text, in row encoding version 1 (docs/formats.md).';

CREATE FUNCTION strata._key_digest(value text) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    AS $$ SELECT sha256(convert_to(value, getdatabaseencoding())) $$;
COMMENT ON FUNCTION strata._key_digest(text) IS
'SHA-256 of a text key: what a rollup''s unique index holds where a key has no bound on its length.';

CREATE FUNCTION strata._authorize(relation regclass, privilege text) RETURNS regclass
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'authorize_wrapper';
COMMENT ON FUNCTION strata._authorize(regclass, text) IS
'Checks the calling role''s right on an event table (OWNER, INGEST or INSERT) or a rollup (SELECT; 42501 without) and leaves a permit that the next _authorized() of the same relation and privilege takes. A SECURITY DEFINER function cannot see its caller; this is how it knows.';

CREATE FUNCTION strata._authorized(relation regclass, privilege text) RETURNS void
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'authorized_wrapper';
COMMENT ON FUNCTION strata._authorized(regclass, text) IS
'Takes the permit that _authorize() left; 42501 without one. The first statement of every SECURITY DEFINER function that writes the catalog.';

CREATE FUNCTION strata._raise_sequence(sequence regclass, at_least bigint) RETURNS boolean
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'raise_sequence_wrapper';
REVOKE ALL ON FUNCTION strata._raise_sequence(regclass, bigint) FROM PUBLIC;
COMMENT ON FUNCTION strata._raise_sequence(regclass, bigint) IS
'Moves a sequence to at least the given value, never backward; false if other transactions are drawing from it just now, and nothing was done.';

CREATE FUNCTION strata._may(relation regclass, privilege text) RETURNS boolean
    LANGUAGE C STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'may_wrapper';
COMMENT ON FUNCTION strata._may(regclass, text) IS
'Whether the current role has a right on an event table: OWNER, INGEST (owner or grant_ingest) or INSERT (any of these, or INSERT on the table).';

CREATE FUNCTION strata._type_tag(type oid) RETURNS int
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'type_tag_wrapper';
COMMENT ON FUNCTION strata._type_tag(oid) IS
'The tag of a base type in row encoding version 1 (docs/formats.md); NULL for a type without a pinned encoding.';

CREATE FUNCTION strata._build() RETURNS text
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'build_wrapper';
COMMENT ON FUNCTION strata._build() IS 'Version and target of the library.';

CREATE FUNCTION strata._next_xid() RETURNS xid8
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'next_xid_wrapper';
COMMENT ON FUNCTION strata._next_xid() IS
'The next transaction id to be given out: every transaction that has one by now is below it.';

CREATE FUNCTION strata._leaves(relation regclass, OUT partition regclass, OUT lower timestamptz, OUT upper timestamptz)
    RETURNS SETOF record
    LANGUAGE C STABLE STRICT ROWS 30
    AS 'MODULE_PATHNAME', 'leaves_wrapper';
COMMENT ON FUNCTION strata._leaves(regclass) IS
'The partitions of an event table with their bounds, in order: lower inclusive, upper exclusive, infinite where unbounded. Bounds of type timestamp and date are read as UTC, of type uuid as UUIDv7. No rows for what is not RANGE-partitioned by one column of these types or timestamptz.';

CREATE FUNCTION strata._leaves_between(
    relation regclass, low timestamptz, high timestamptz, OUT partition regclass, OUT lower timestamptz, OUT upper timestamptz
) RETURNS SETOF record
    LANGUAGE C STABLE STRICT ROWS 10
    AS 'MODULE_PATHNAME', 'leaves_between_wrapper';
COMMENT ON FUNCTION strata._leaves_between(regclass, timestamptz, timestamptz) IS
'Those of _leaves that can hold a place on the axis from low to high, both inclusive.';

CREATE FUNCTION strata._tree(relation regclass) RETURNS SETOF regclass
    LANGUAGE C STABLE STRICT ROWS 100
    AS 'MODULE_PATHNAME', 'tree_wrapper';
COMMENT ON FUNCTION strata._tree(regclass) IS
'A relation and everything below it, partitions of partitions too. Unlike pg_partition_tree it takes no locks, which for thousands of partitions fill the lock table and wait for whoever alters one.';

CREATE FUNCTION strata._partition_bytes(partition regclass) RETURNS bigint
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'partition_bytes_wrapper';
COMMENT ON FUNCTION strata._partition_bytes(regclass) IS
'pg_total_relation_size of a partition with what lies below it; NULL if it is gone. Marked STABLE so that a view which shows it can be planned without it where nobody asks.';

CREATE FUNCTION strata._disk_space(OUT total_bytes bigint, OUT free_bytes bigint) RETURNS SETOF record
    LANGUAGE C VOLATILE STRICT ROWS 1
    AS 'MODULE_PATHNAME', 'disk_space_wrapper';
COMMENT ON FUNCTION strata._disk_space() IS
'Size of the file system that holds the data directory, and what is free of it for PostgreSQL; NULL where that cannot be known. Tablespaces are not looked at.';

CREATE FUNCTION strata._stored_leaf(table_uuid uuid, relation regclass, stored anyelement) RETURNS bytea
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'stored_leaf_wrapper';
COMMENT ON FUNCTION strata._stored_leaf(uuid, regclass, anyelement) IS
'The leaf of a stored row (docs/formats.md, "Row leaf"), of all its columns. 0A000 names a column whose type has no encoding.';

CREATE FUNCTION strata._absent_value(relation regclass, attribute_number int) RETURNS bytea
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'absent_value_wrapper';
COMMENT ON FUNCTION strata._absent_value(regclass, int) IS
'The bytes, in row encoding version 1, of the value that rows older than a column have in it; NULL if that is NULL.';

CREATE FUNCTION strata._audit_row() RETURNS trigger
    LANGUAGE C
    AS 'MODULE_PATHNAME', 'strata_audit_row';
COMMENT ON FUNCTION strata._audit_row() IS 'AFTER ROW trigger of an audited table: takes down which row versions come and go.';

CREATE FUNCTION strata._audit_truncate() RETURNS trigger
    LANGUAGE C
    AS 'MODULE_PATHNAME', 'strata_audit_truncate';
COMMENT ON FUNCTION strata._audit_truncate() IS 'BEFORE TRUNCATE trigger of an audited table and of each of its partitions.';

CREATE FUNCTION strata._flush_audit() RETURNS void
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'flush_audit_wrapper';
COMMENT ON FUNCTION strata._flush_audit() IS
'Writes what the triggers of audited tables have taken down in this transaction and not written yet; otherwise that is done before it commits.';

CREATE FUNCTION strata._audit_event(audit_id int, table_uuid uuid, operation text, detail text) RETURNS bigint
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'audit_event_wrapper';
REVOKE ALL ON FUNCTION strata._audit_event(int, uuid, text, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._audit_event(int, uuid, text, text) IS 'Writes a chunk without rows into the log: something that happened to the table. Returns its id.';

CREATE FUNCTION strata._audit_baseline(relation regclass) RETURNS bigint
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'audit_baseline_wrapper';
REVOKE ALL ON FUNCTION strata._audit_baseline(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._audit_baseline(regclass) IS 'Writes all rows of a table that is locked against writers into the log as those its state begins with; returns how many.';

CREATE FUNCTION strata._chunk_leaf(chunk strata._audit_chunks) RETURNS bytea
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'chunk_leaf_wrapper';
COMMENT ON FUNCTION strata._chunk_leaf(strata._audit_chunks) IS 'The leaf of the audit log that the columns of a chunk make (docs/formats.md).';

CREATE FUNCTION strata._chunk_holds(chunk strata._audit_chunks) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'chunk_holds_wrapper';
COMMENT ON FUNCTION strata._chunk_holds(strata._audit_chunks) IS 'Whether the entries of a chunk are those that its counts, roots and key hashes are of.';

CREATE FUNCTION strata._audit_step(state bytea, operation text, added bytea, removed bytea) RETURNS bytea
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'audit_step_wrapper';
COMMENT ON FUNCTION strata._audit_step(bytea, text, bytea, bytea) IS 'The state of an audited table (row count and LtHash16) after one more chunk.';

CREATE FUNCTION strata._audit_follow(state bytea, later bytea) RETURNS bytea
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'audit_follow_wrapper';
COMMENT ON FUNCTION strata._audit_follow(bytea, bytea) IS 'A state and what came after it, which may begin with a baseline.';

CREATE FUNCTION strata._audit_rows(state bytea) RETURNS bigint
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'audit_rows_wrapper';
COMMENT ON FUNCTION strata._audit_rows(bytea) IS 'How many rows a state has.';

CREATE FUNCTION strata._audit_equal(one bytea, other bytea) RETURNS boolean
    LANGUAGE C IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'audit_equal_wrapper';
COMMENT ON FUNCTION strata._audit_equal(bytea, bytea) IS 'Whether two states are of the same rows; NULL is the state of no rows.';

CREATE AGGREGATE strata._audit_state_of(operation text, added bytea, removed bytea) (
    SFUNC = strata._audit_step,
    STYPE = bytea
);
COMMENT ON AGGREGATE strata._audit_state_of(text, bytea, bytea) IS 'The state that chunks of one table, in the order of the log, leave.';

CREATE FUNCTION strata._audit_scan(relation regclass) RETURNS bytea
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'audit_scan_wrapper';
REVOKE ALL ON FUNCTION strata._audit_scan(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._audit_scan(regclass) IS 'The state of an audited table by its rows, read whole, under the snapshot of the calling statement and whatever policies say.';

CREATE FUNCTION strata._audit_differences(
    relation regclass, audit_id int,
    OUT fault text, OUT key_names text[], OUT key_values text[], OUT partition regclass, OUT chunk_id bigint, OUT key_hash bigint
) RETURNS SETOF record
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'audit_differences_wrapper';
REVOKE ALL ON FUNCTION strata._audit_differences(regclass, int) FROM PUBLIC;
COMMENT ON FUNCTION strata._audit_differences(regclass, int) IS
'The rows in which a table differs from its log: edited, missing or extra, with their key as far as it is known, and the chunk that knows them; and detached: how many of the missing are in a table that was a partition.';

CREATE FUNCTION strata._audit_take_partition(partition regclass, operation text, detail text, come boolean) RETURNS bigint
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'audit_take_partition_wrapper';
REVOKE ALL ON FUNCTION strata._audit_take_partition(regclass, text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION strata._audit_take_partition(regclass, text, text, boolean) IS
'Writes all rows of a partition, which the caller has made stand still, into the log as rows that came, or went; returns how many. History gets none of them.';

CREATE FUNCTION strata._audit_forget_target(partition regclass) RETURNS void
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'audit_forget_target_wrapper';
REVOKE ALL ON FUNCTION strata._audit_forget_target(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._audit_forget_target(regclass) IS 'Lets every session look anew at what becomes of rows of a partition.';

CREATE FUNCTION strata._audit_hold(relation regclass) RETURNS void
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'audit_hold_wrapper';
REVOKE ALL ON FUNCTION strata._audit_hold(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._audit_hold(regclass) IS 'Keeps the partitions of a table from being detached or dropped until the transaction ends.';

CREATE FUNCTION strata._entries(entries bytea) RETURNS SETOF bytea
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 100
    AS 'MODULE_PATHNAME', 'entries_wrapper';
COMMENT ON FUNCTION strata._entries(bytea) IS 'The entries of a chunk, one by one.';

CREATE FUNCTION strata._audit_covered(audit_id int, after bigint, through bigint, OUT chunks bigint, OUT root bytea) RETURNS SETOF record
    LANGUAGE C STABLE STRICT ROWS 1
    AS 'MODULE_PATHNAME', 'audit_covered_wrapper';
REVOKE ALL ON FUNCTION strata._audit_covered(int, bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION strata._audit_covered(int, bigint, bigint) IS
'How many chunks with rows a table has in the sealed log between two chunk ids, pruned or not, and the root over their leaves in the order of the log.';

CREATE FUNCTION strata._audit_write_record(audit_id int, table_uuid uuid, base_from bigint, base_to bigint, after bigint, through bigint) RETURNS bytea
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'audit_write_record_wrapper';
REVOKE ALL ON FUNCTION strata._audit_write_record(int, uuid, bigint, bigint, bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION strata._audit_write_record(int, uuid, bigint, bigint, bigint, bigint) IS
'Writes the rows a table has by its log at a place, computed from those of an earlier state record and the chunks since; returns the state they make.';

CREATE FUNCTION strata._audit_acknowledge(relation regclass, audit_id int, detail text, OUT added bigint, OUT removed bigint) RETURNS SETOF record
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 1
    AS 'MODULE_PATHNAME', 'audit_acknowledge_wrapper';
REVOKE ALL ON FUNCTION strata._audit_acknowledge(regclass, int, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._audit_acknowledge(regclass, int, text) IS
'Writes into the log what it takes for it to say what the table has, under the snapshot of the calling statement; how many rows came and went.';

CREATE FUNCTION strata._append_leaves(size bigint, leaves bytea[]) RETURNS bytea
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'append_leaves_wrapper';
REVOKE ALL ON FUNCTION strata._append_leaves(bigint, bytea[]) FROM PUBLIC;
COMMENT ON FUNCTION strata._append_leaves(bigint, bytea[]) IS 'Appends leaves to the tiles of a tree of that size; returns the new root.';

CREATE FUNCTION strata._tree_root(size bigint) RETURNS bytea
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'tree_root_wrapper';
REVOKE ALL ON FUNCTION strata._tree_root(bigint) FROM PUBLIC;
COMMENT ON FUNCTION strata._tree_root(bigint) IS 'The root of the first leaves of the log, by its tiles; NULL if they do not reach so far.';

CREATE FUNCTION strata._tree_root_of(leaves bytea[]) RETURNS bytea
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'tree_root_of_wrapper';
COMMENT ON FUNCTION strata._tree_root_of(bytea[]) IS 'The root of RFC 9162 over leaf hashes in the order given.';

CREATE FUNCTION strata._leaf_root(size bigint) RETURNS bytea
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'leaf_root_wrapper';
REVOKE ALL ON FUNCTION strata._leaf_root(bigint) FROM PUBLIC;
COMMENT ON FUNCTION strata._leaf_root(bigint) IS 'The root that the first leaves in the tiles of the log make, whatever the tiles above them say; NULL if there are fewer.';

CREATE FUNCTION strata._audit_replay() RETURNS SETOF strata._replayed
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'audit_replay_wrapper';
REVOKE ALL ON FUNCTION strata._audit_replay() FROM PUBLIC;
COMMENT ON FUNCTION strata._audit_replay() IS
'All of the log in one pass: a row for each sealed chunk that is not what was sealed (edited, reordered, or not_held: its rows are not those of its root), and one with the states of each table that has no state record.';

CREATE FUNCTION strata._prove_inclusion(log_index bigint, size bigint) RETURNS bytea[]
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'prove_inclusion_wrapper';
REVOKE ALL ON FUNCTION strata._prove_inclusion(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION strata._prove_inclusion(bigint, bigint) IS 'Inclusion proof of RFC 9162, from the tiles of the log.';

CREATE FUNCTION strata._prove_consistency(from_size bigint, to_size bigint) RETURNS bytea[]
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'prove_consistency_wrapper';
REVOKE ALL ON FUNCTION strata._prove_consistency(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION strata._prove_consistency(bigint, bigint) IS 'Consistency proof of RFC 9162, from the tiles of the log.';

CREATE FUNCTION strata._entry_keys(entries bytea) RETURNS SETOF bigint
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 100
    AS 'MODULE_PATHNAME', 'entry_keys_wrapper';
COMMENT ON FUNCTION strata._entry_keys(bytea) IS 'The hashes of keys in the entries of a chunk.';

CREATE FUNCTION strata._key_hash(relation regclass, VARIADIC key "any") RETURNS bigint
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'strata_key_hash';
COMMENT ON FUNCTION strata._key_hash(regclass, "any") IS
'The hash that entries of an audited table have of a key: the values of the key''s columns in the order of their ids.';

CREATE FUNCTION strata._salt_key(relation regclass, VARIADIC key "any") RETURNS bytea
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'strata_salt_key';
COMMENT ON FUNCTION strata._salt_key(regclass, "any") IS
'What the salt of a key of an audited table is kept under: 8 bytes of an integer, else the whole SHA-256 that the key''s hash is the beginning of.';

CREATE FUNCTION strata._erased_value(salt bytea, attribute_id int, value "any") RETURNS bytea
    LANGUAGE C STABLE
    AS 'MODULE_PATHNAME', 'strata_erased_value';
COMMENT ON FUNCTION strata._erased_value(bytea, int, "any") IS
'What is kept beside an old version in place of a value: the column''s id and the commitment (docs/formats.md), zeros for it without a salt, nothing at all in place of NULL.';

CREATE FUNCTION strata._erased_ids(erased bytea) RETURNS int[]
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'erased_ids_wrapper';
COMMENT ON FUNCTION strata._erased_ids(bytea) IS 'Ids of the columns whose values were erased from an old version.';

CREATE FUNCTION strata._unpacked(payload bytea, payload_bytes int) RETURNS bytea
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'unpacked_wrapper';
COMMENT ON FUNCTION strata._unpacked(bytea, int) IS 'The record that a dead letter holds as one LZ4 block; NULL if the block is broken.';

CREATE FUNCTION strata._came_since(relation regclass, at timestamptz, made xid, before bigint, VARIADIC key "any") RETURNS boolean
    LANGUAGE C STABLE
    AS 'MODULE_PATHNAME', 'strata_came_since';
COMMENT ON FUNCTION strata._came_since(regclass, timestamptz, xid, bigint, "any") IS
'Whether the version of a row of an audited table came after a time: made is the xmin it bears, before the chunk that ended it, NULL for a row as it is. 42501 unless the caller may read all of the table, whatever its policies.';

CREATE FUNCTION strata._births_of(relation regclass, xid xid8, OUT key_hash bigint, OUT chunk_id bigint) RETURNS SETOF record
    LANGUAGE C STABLE STRICT
    AS 'MODULE_PATHNAME', 'births_of_transaction_wrapper';
COMMENT ON FUNCTION strata._births_of(regclass, xid8) IS
'Keys of rows that a transaction inserted into an audited table, and the first of its chunks that did. 42501 unless the caller may read all of the table, whatever its policies.';

CREATE FUNCTION strata._keys_among(entries bytea, keys bigint[]) RETURNS SETOF bigint
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 1
    AS 'MODULE_PATHNAME', 'keys_among_wrapper';
COMMENT ON FUNCTION strata._keys_among(bytea, bigint[]) IS 'Those of the hashes of keys in the entries of a chunk that are among some, which ascend.';

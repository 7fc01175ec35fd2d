-- The catalog as people read it: each role sees what it has a right on.
CREATE VIEW strata.event_tables AS
SELECT t.relation,
       strata._time_column(t.relation) AS time_column,
       t.partition_interval, t.premake, t.retention, t.accept_past, t.accept_future, t.timezone,
       strata._from_axis(t.time_type, t.timezone, t.retained_from) AS retained_from, t.created_at,
       t.time_type, strata._subpartition_key(t) AS subpartition_by, t.subpartitions, t.retention_bytes, t.archive_required,
       (SELECT count(*) FROM pg_inherits i WHERE i.inhparent = t.relation) AS partitions
FROM strata._event_tables t
JOIN pg_class c ON c.oid = t.relation
WHERE has_table_privilege(t.relation, 'SELECT') OR strata._may(t.relation, 'INSERT');
COMMENT ON VIEW strata.event_tables IS 'Event tables with their settings.';

CREATE VIEW strata.partitions AS
SELECT t.relation, l.partition,
       -- spelled out for the common case: a function that locks its search_path is never inlined
       CASE WHEN t.time_type IN ('timestamp'::regtype, 'date'::regtype) THEN strata._from_axis(t.time_type, t.timezone, l.lower) ELSE l.lower END AS lower,
       CASE WHEN t.time_type IN ('timestamp'::regtype, 'date'::regtype) THEN strata._from_axis(t.time_type, t.timezone, l.upper) ELSE l.upper END AS upper,
       strata._partition_bytes(l.partition) AS bytes,
       CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END AS rows_estimated,
       CASE
           WHEN s.oid IS NOT NULL THEN 'sealed'
           WHEN l.lower > w.present THEN 'ahead'
           WHEN l.upper <= w.lower THEN 'closed'
           ELSE 'open'
       END AS state,
       p.pending_batches
FROM strata._event_tables t
CROSS JOIN LATERAL (SELECT a.lower, strata._axis_now(t) AS present FROM strata._accepted_window(t) a OFFSET 0) w
CROSS JOIN LATERAL strata._leaves(t.relation) l
JOIN pg_class c ON c.oid = l.partition
LEFT JOIN pg_constraint s ON s.conrelid = l.partition AND s.contypid = 0 AND s.conname = 'strata_expired'
LEFT JOIN LATERAL (
    SELECT count(DISTINCT b.batch_id) AS pending_batches
    FROM strata._rollups r JOIN strata._pending_batches b ON b.rollup_id = r.rollup_id
    WHERE r.table_id = t.table_id AND r.suspended_at IS NULL
      AND COALESCE(b.lower_time, '-infinity') < l.upper AND COALESCE(b.upper_time, 'infinity') >= l.lower
) p ON true
WHERE has_table_privilege(t.relation, 'SELECT') OR strata._may(t.relation, 'INSERT');
COMMENT ON VIEW strata.partitions IS 'Partitions of event tables: bounds (lower inclusive, upper exclusive), size with indexes and sub-partitions in bytes, rows as last estimated by ANALYZE, state (ahead: begins in the future; open: takes rows of the accepted window; closed: older than that; sealed: past retention and unwritable), and how many batches not yet folded into some rollup may have rows in it.';

CREATE VIEW strata.batches AS
SELECT b.batch_id, t.relation, b.created_at, b.row_count AS rows,
       CASE WHEN isfinite(b.lower_time) THEN strata._from_axis(t.time_type, t.timezone, b.lower_time) END AS lower_time,
       CASE WHEN isfinite(b.upper_time) THEN strata._from_axis(t.time_type, t.timezone, b.upper_time) END AS upper_time
FROM strata._batches b
JOIN strata._event_tables t ON t.table_id = b.table_id
JOIN pg_class c ON c.oid = t.relation
WHERE has_table_privilege(t.relation, 'SELECT') OR strata._may(t.relation, 'INGEST');
COMMENT ON VIEW strata.batches IS 'The batch ledger: one row per transaction and event table. rows is NULL for batches that came in through the column default; lower_time and upper_time are NULL where they are not known, or there are no rows.';

CREATE VIEW strata.batch_origins AS
SELECT o.batch_id, t.relation, o.stream, o.shard, o.first_sequence, o.last_sequence, o.row_count AS rows,
       o.first_arrived_at, o.last_arrived_at, o.retry_of
FROM strata._batch_origins o
JOIN strata._event_tables t ON t.table_id = o.table_id
JOIN pg_class c ON c.oid = t.relation
WHERE has_table_privilege(t.relation, 'SELECT') OR strata._may(t.relation, 'INGEST');
COMMENT ON VIEW strata.batch_origins IS 'Where streamed batches came from: stream, shard, first and last sequence number, and when the first and last record arrived. retry_of: the batch of whose dead letters these rows were made.';

CREATE VIEW strata.rollups AS
SELECT r.rollup, t.relation AS source, r.bucket, r.timezone, r.retention,
       ARRAY(SELECT d.column_name FROM strata._definition_columns(r.definition) d
             WHERE d.aggregate IS NULL AND d.ordinal > 1 ORDER BY d.ordinal) AS group_by,
       ARRAY(SELECT d.column_name FROM strata._definition_columns(r.definition) d
             WHERE d.aggregate IS NOT NULL ORDER BY d.ordinal) AS aggregates,
       s.batches AS pending_batches, s.rows AS pending_rows,
       COALESCE(now() - s.oldest, '0') AS staleness,
       p.refreshed_at, p.batches_folded, r.storage, r.created_at,
       CASE WHEN isfinite(r.exact_from) THEN strata._from_axis(t.time_type, t.timezone, r.exact_from) END AS exact_from, r.suspended_at,
       CASE WHEN p.filled_from > '-infinity' THEN strata._from_axis(t.time_type, t.timezone, p.filled_from) END AS filled_from,
       CASE WHEN isfinite(r.kept_from) THEN strata._from_axis(t.time_type, t.timezone, r.kept_from) END AS retained_from,
       (SELECT o.rollup FROM strata._rollups o WHERE o.rollup_id = r.parent_id) AS parent
FROM strata._rollups r
JOIN strata._event_tables t ON t.table_id = r.table_id
JOIN strata._rollup_progress p ON p.rollup_id = r.rollup_id
JOIN pg_class c ON c.oid = r.rollup
CROSS JOIN LATERAL (
    SELECT count(*) AS batches, sum(b.row_count)::bigint AS rows, min(b.created_at) AS oldest
    FROM strata._batches b
    WHERE b.table_id = r.table_id AND b.batch_id > p.horizon
      AND NOT b.batch_id <@ p.folded
) s
WHERE has_table_privilege(r.rollup, 'SELECT') OR strata._may(t.relation, 'INGEST');
COMMENT ON VIEW strata.rollups IS 'Rollups: what they are over, how much is pending, how old the oldest pending batch is, when they were last refreshed. Pending work costs readers time; it never makes a rollup wrong. exact_from: buckets from here on are exact, where that is later than the retained_from of the source; suspended_at: since when it is suspended; filled_from: while it is being filled, from which bucket on it is; retained_from: where it begins by its own retention; parent: the rollup it was made from.';

CREATE VIEW strata.shards AS
SELECT t.relation, k.stream, k.shard, k.sequence_number, k.arrived_at, k.ended, l.worker, k.epoch, l.expires_at, k.row_count AS rows,
       k.initial_position
FROM strata._checkpoints k
JOIN strata._ingested_tables t ON t.table_id = k.table_id
JOIN pg_class c ON c.oid = t.relation
LEFT JOIN strata._leases l ON l.table_id = k.table_id AND l.stream = k.stream AND l.shard = k.shard
WHERE has_table_privilege(t.relation, 'SELECT') OR strata._may(t.relation, 'INGEST');
COMMENT ON VIEW strata.shards IS 'Checkpoints and leases: how far each shard has been read into each table, and by which worker; initial_position: where its reading began, TRIM_HORIZON or AT: and a time.';

CREATE VIEW strata.dead_letters AS
SELECT d.dead_letter_id, t.relation, d.batch_id, d.stream, d.shard, d.sequence_number, d.sub_sequence, d.partition_key, d.arrived_at,
       d.reason, d.sqlstate, d.column_name, d.payload, d.payload_bytes, d.created_at
FROM strata._dead_letters d
JOIN strata._ingested_tables t ON t.table_id = d.table_id
JOIN pg_class c ON c.oid = t.relation
WHERE has_table_privilege(t.relation, 'SELECT') OR strata._may(t.relation, 'INGEST');
COMMENT ON VIEW strata.dead_letters IS 'Records, and events of records, that could not become rows: reason, SQLSTATE where there is one, place in the stream (sub_sequence: the event''s number in its record), and the whole record as one LZ4 block of payload_bytes bytes (strata dead-letters show). Of several events of one record the first keeps it, the others have payload_bytes 0.';

GRANT SELECT ON strata.event_tables, strata.partitions, strata.batches, strata.batch_origins, strata.rollups, strata.shards,
    strata.dead_letters TO PUBLIC;

CREATE VIEW strata.merged_batches AS
SELECT t.relation, m.hour, m.lower_batch, m.upper_batch, m.batches
FROM strata._merged_batches m
JOIN strata._event_tables t ON t.table_id = m.table_id
JOIN pg_class c ON c.oid = t.relation
WHERE has_table_privilege(t.relation, 'SELECT') OR strata._may(t.relation, 'INGEST');
COMMENT ON VIEW strata.merged_batches IS 'What is left of batches that came in through the column default and that every rollup has folded: one row per hour of their creation, lowest and highest id, and how many.';

CREATE VIEW strata.ingest_gaps AS
SELECT r.relation, g.stream, g.shard, g.after_sequence, g.lower_time, g.upper_time, g.recorded_at
FROM strata._gaps g
JOIN strata._ingested_tables r ON r.table_id = g.table_id
JOIN pg_class c ON c.oid = r.relation
WHERE has_table_privilege(r.relation, 'SELECT') OR strata._may(r.relation, 'INGEST');
COMMENT ON VIEW strata.ingest_gaps IS 'Where records of a stream may be missing: the sidecar found a checkpoint older than the stream keeps records and was told to go on (kinesis.on_gap = "skip"). after_sequence: the last record stored; lower_time and upper_time: when the records that may be missing arrived.';
GRANT SELECT ON strata.ingest_gaps TO PUBLIC;

CREATE VIEW strata.ingest_stops AS
SELECT r.relation, s.worker, s.reason, s.stopped_at, s.next_try_at
FROM strata._stops s
JOIN strata._ingested_tables r ON r.table_id = s.table_id
JOIN pg_class c ON c.oid = r.relation
-- (a worker that has not tried by then is gone)
WHERE s.next_try_at > now() - interval '1 minute'
  AND (has_table_privilege(r.relation, 'SELECT') OR strata._may(r.relation, 'INGEST'));
COMMENT ON VIEW strata.ingest_stops IS 'Tables that a worker has stopped feeding because of an error that waiting may not mend: reason, since when, and when it tries again. It forgets nothing meanwhile: the records stay in the stream.';
GRANT SELECT ON strata.ingest_stops TO PUBLIC;

CREATE VIEW strata.reversions AS
SELECT r.reversion_id, t.relation, r.arrived, r.batches, r.row_count AS rows, r.dead_letters, r.role, r.reverted_at
FROM strata._reversions r
JOIN strata._event_tables t ON t.table_id = r.table_id
JOIN pg_class c ON c.oid = t.relation
WHERE has_table_privilege(t.relation, 'SELECT') OR strata._may(t.relation, 'INGEST');
COMMENT ON VIEW strata.reversions IS 'Batches taken out again by revert_batches: the range of arrival asked for, how many batches, rows and dead letters, who and when.';

CREATE VIEW strata.reversion_origins AS
SELECT o.reversion_id, t.relation, o.batch_id, o.stream, o.shard, o.first_sequence, o.last_sequence
FROM strata._reversion_origins o
JOIN strata._event_tables t ON t.table_id = o.table_id
JOIN pg_class c ON c.oid = t.relation
WHERE has_table_privilege(t.relation, 'SELECT') OR strata._may(t.relation, 'INGEST');
COMMENT ON VIEW strata.reversion_origins IS 'The records that the batches of a reversion held: first and last sequence number by batch and shard. strata replay --reversion reads just these.';

GRANT SELECT ON strata.reversions, strata.reversion_origins TO PUBLIC;

CREATE VIEW strata.retention_log AS
SELECT l.at, l.relation, l.action, l.partition, l.lower_time AS lower, l.upper_time AS upper, l.bytes, l.rows_estimated, l.reason, l.role
FROM strata._retention_log l
LEFT JOIN pg_class c ON c.oid = to_regclass(l.relation)
WHERE pg_has_role(current_user, 'pg_read_all_data', 'MEMBER') OR has_table_privilege(c.oid, 'SELECT') OR l.role = current_user;
COMMENT ON VIEW strata.retention_log IS 'What retention did: partitions sealed and unsealed, retained_from moved (frozen), partitions dropped with size and estimated rows, rollups trimmed by their own retention and altered, archives confirmed, and gates overridden with the reason and the role.';

GRANT SELECT ON strata.merged_batches, strata.retention_log TO PUBLIC;

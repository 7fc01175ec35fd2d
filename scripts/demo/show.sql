\echo The rollup: who bought most. It equals its defining query at every commit.
SELECT bucket::date AS day, user_id, events, purchases, spend, date_trunc('second', last_seen) AS last_seen
FROM clicks_by_user_day
ORDER BY spend DESC NULLS LAST, user_id
LIMIT 8;

\echo The batch ledger: the last transactions, and what part of which shard each one took.
SELECT b.batch_id, b.rows, to_char(b.created_at, 'HH24:MI:SS.MS') AS committed,
    date_trunc('second', b.upper_time - b.lower_time) AS "event times span",
    string_agg(right(o.shard, 2) || ': ' || o.rows, ', ' ORDER BY o.shard) AS "rows of shard"
FROM strata.batches AS b
LEFT JOIN strata.batch_origins AS o USING (relation, batch_id)
GROUP BY b.batch_id, b.rows, b.created_at, b.upper_time, b.lower_time
ORDER BY b.batch_id DESC
LIMIT 5;

\echo Dead letters: records that could not become rows, kept whole, with the reason.
SELECT count(*) AS records, sqlstate, column_name AS "column", min(reason) AS "reason (one of them)"
FROM strata.dead_letters
GROUP BY sqlstate, column_name, regexp_replace(reason, '[0-9]+', '', 'g')
ORDER BY 1 DESC
LIMIT 10;

\echo Checkpoints: how far each shard is read. They commit in the transaction of the rows.
SELECT shard, '…' || right(sequence_number, 12) AS sequence_number, rows, to_char(arrived_at, 'HH24:MI:SS') AS arrived
FROM strata.shards
ORDER BY shard;

\pset footer on
\echo verify_rollup recomputes every group; verify_batches every checksum. No row means sound.
SELECT * FROM strata.verify_rollup('clicks_by_user_day');
SELECT * FROM strata.verify_batches('clicks');

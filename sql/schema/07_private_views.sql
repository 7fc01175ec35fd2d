-- What rollup views read of the ledger. Granted to everyone, because a rollup view reads it with its owner's rights,
-- whoever that is: ids and time ranges of batches, no rows. No filter on the reader: an exact view must not go stale
-- for those who see less.
CREATE VIEW strata._pending_batches AS
SELECT r.rollup_id, b.batch_id, b.lower_time, b.upper_time
FROM strata._rollups r
JOIN strata._rollup_progress p ON p.rollup_id = r.rollup_id
JOIN strata._batches b ON b.table_id = r.table_id AND b.batch_id > p.horizon
WHERE NOT b.batch_id <@ p.folded;
COMMENT ON VIEW strata._pending_batches IS 'Batches that are visible and not yet folded into a rollup.';

CREATE VIEW strata._pending_range AS
SELECT p.rollup_id,
       min(p.batch_id) AS lower_batch,
       CASE WHEN bool_or(p.lower_time IS NULL) THEN '-infinity' ELSE min(p.lower_time) END AS lower_time,
       CASE WHEN bool_or(p.upper_time IS NULL) THEN 'infinity' ELSE max(p.upper_time) END AS upper_time
FROM strata._pending_batches p
GROUP BY p.rollup_id;
COMMENT ON VIEW strata._pending_range IS 'Lowest pending batch of a rollup and the event times of all its pending batches.';

CREATE VIEW strata._rollup_state AS
SELECT r.rollup_id, greatest(t.retained_from, r.exact_from) AS retained_from, p.horizon, p.folded, p.filled_from, r.kept_from
FROM strata._rollups r
JOIN strata._event_tables t ON t.table_id = r.table_id
JOIN strata._rollup_progress p ON p.rollup_id = r.rollup_id;
COMMENT ON VIEW strata._rollup_state IS 'How far a rollup has come, and from which bucket on it is exact.';

GRANT SELECT ON strata._pending_batches, strata._pending_range, strata._rollup_state TO PUBLIC;

-- One row per check: what an operator must know, each with what to type. In families, which strata.health unites.
-- Not granted to anyone: strata.health reads them with its owner's rights.

-- Every check reads it: nothing may stand here that costs something for each table and that only some of them need.
CREATE VIEW strata._health_tables AS
SELECT t.*, t AS event_table, strata._axis_now(t) AS present
FROM strata._event_tables t
JOIN pg_class c ON c.oid = t.relation
WHERE has_table_privilege(t.relation, 'SELECT') OR strata._may(t.relation, 'INGEST');
COMMENT ON VIEW strata._health_tables IS 'The event tables that health speaks of to the reader.';

CREATE VIEW strata._health_partitions AS
SELECT 'partitions_ahead' AS check_name, t.relation::text AS object,
       -- by bounds, as maintenance goes: after a change of the interval partitions are of several lengths
       CASE WHEN a.reached > strata._axis_shift(t.event_table, t.present, t.premake * t.partition_interval)
                 OR a.reached > strata._premade_until(t.event_table) THEN 'ok'
            WHEN a.reached > strata._partition_upper(t.event_table, strata._partition_lower(t.event_table, t.present)) THEN 'warn' ELSE 'critical' END AS status,
       a.ahead::text AS value, t.premake::text AS threshold,
       format('CALL strata.maintain_partitions(%L);', t.relation::text) AS hint
FROM strata._health_tables t
CROSS JOIN LATERAL (
    -- as far as there is no gap
    SELECT m.ahead, (SELECT upper(r) FROM unnest(m.covered) r WHERE r @> t.present) AS reached
    FROM (SELECT count(*) FILTER (WHERE l.lower > t.present) AS ahead, range_agg(tstzrange(l.lower, l.upper)) AS covered FROM strata._leaves(t.relation) l) m
) a
UNION ALL
-- between partitions that are there, inside the accepted window: a row with such a time has no partition
SELECT 'partition_gaps', t.relation::text, CASE WHEN g.gaps > 0 THEN 'warn' ELSE 'ok' END, g.gaps::text, '0',
       format('SELECT strata.ensure_partitions(%L, %L, %L);', t.relation::text,
           strata._from_axis(t.time_type, t.timezone, g.lower), strata._from_axis(t.time_type, t.timezone, g.upper))
FROM strata._health_tables t
CROSS JOIN LATERAL (SELECT a.lower AS window_lower, a.upper AS window_upper FROM strata._accepted_window(t.event_table) a OFFSET 0) w
CROSS JOIN LATERAL (
    SELECT count(*) AS gaps, greatest(min(s.previous), w.window_lower) AS lower, least(max(s.lower), w.window_upper) AS upper
    FROM (SELECT l.lower, lag(l.upper) OVER (ORDER BY l.lower) AS previous FROM strata._leaves(t.relation) l) s
    WHERE s.previous < s.lower AND s.lower > w.window_lower AND s.previous < w.window_upper
) g
UNION ALL
SELECT 'default_partition', t.relation::text, CASE WHEN p.partdefid <> 0 THEN 'critical' ELSE 'ok' END,
       CASE WHEN p.partdefid <> 0 THEN p.partdefid::regclass::text END, 'none',
       format('ALTER TABLE %s DETACH PARTITION %s;', t.relation, p.partdefid::regclass)
FROM strata._health_tables t JOIN pg_partitioned_table p ON p.partrelid = t.relation
UNION ALL
SELECT 'detach_pending', t.relation::text, CASE WHEN d.pending IS NOT NULL THEN 'warn' ELSE 'ok' END, d.pending::text, 'none',
       format('ALTER TABLE %s DETACH PARTITION %s FINALIZE;', t.relation, d.pending)
FROM strata._health_tables t
LEFT JOIN LATERAL (SELECT i.inhrelid::regclass AS pending FROM pg_inherits i WHERE i.inhparent = t.relation AND i.inhdetachpending) d ON true
UNION ALL
-- rows in a partition that came back below retained_from are in no rollup
SELECT 'thawed_partitions', t.relation::text, CASE WHEN f.thawed > 0 THEN 'warn' ELSE 'ok' END, f.thawed::text, '0',
       format('ALTER TABLE %s DETACH PARTITION %s;', t.relation, f.example)
FROM strata._health_tables t
CROSS JOIN LATERAL (
    SELECT count(*) AS thawed, min(l.partition::text) AS example FROM strata._leaves(t.relation) l
    WHERE l.upper <= t.retained_from AND NOT strata._is_sealed(l.partition)
) f
UNION ALL
-- a crash empties an unlogged table; a foreign table has no triggers of ours
SELECT 'partition_kinds', t.relation::text, CASE WHEN k.strange > 0 THEN 'critical' ELSE 'ok' END, k.strange::text, '0',
       CASE WHEN k.unlogged IS NOT NULL THEN format('ALTER TABLE %s SET LOGGED;', k.unlogged) ELSE format('ALTER TABLE %s DETACH PARTITION %s;', t.relation, k.foreign_one) END
FROM strata._health_tables t
CROSS JOIN LATERAL (
    SELECT count(*) AS strange, min(c.oid::regclass::text) FILTER (WHERE c.relpersistence = 'u') AS unlogged,
           min(c.oid::regclass::text) FILTER (WHERE c.relkind = 'f') AS foreign_one
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = t.relation AND (c.relpersistence = 'u' OR c.relkind = 'f')
) k
UNION ALL
SELECT 'rows_near_window', t.relation::text, CASE WHEN n.near THEN 'warn' ELSE 'ok' END,
       format('%s to %s', strata._from_axis(t.time_type, t.timezone, n.lowest), strata._from_axis(t.time_type, t.timezone, n.highest)),
       format('%s to %s', strata._from_axis(t.time_type, t.timezone, w.window_lower), strata._from_axis(t.time_type, t.timezone, w.window_upper)),
       format('SELECT strata.alter_event_table(%L, accept_past => %L, accept_future => %L);', t.relation::text, t.accept_past * 2, t.accept_future * 2)
FROM strata._health_tables t
CROSS JOIN LATERAL (SELECT a.lower AS window_lower, a.upper AS window_upper FROM strata._accepted_window(t.event_table) a OFFSET 0) w
CROSS JOIN LATERAL (
    -- within a tenth of the window's ends, among the last thousand batches
    SELECT coalesce(min(b.lower_time) < w.window_lower + (t.present - w.window_lower) * 0.1
                 OR max(b.upper_time) > w.window_upper - (w.window_upper - t.present) * 0.1, false) AS near,
           min(b.lower_time) AS lowest, max(b.upper_time) AS highest
    FROM (SELECT CASE WHEN isfinite(b.lower_time) THEN b.lower_time END AS lower_time, CASE WHEN isfinite(b.upper_time) THEN b.upper_time END AS upper_time FROM strata._batches b
          WHERE b.table_id = t.table_id AND b.created_at > (now() - '1 day'::interval) ORDER BY b.batch_id DESC LIMIT 1000) b
) n;
COMMENT ON VIEW strata._health_partitions IS 'Checks of the partitions of event tables.';

CREATE VIEW strata._health_catalog AS
SELECT 'mark_triggers' AS check_name, t.relation::text AS object, CASE WHEN m.missing > 0 THEN 'critical' ELSE 'ok' END AS status,
       m.missing::text AS value, '0' AS threshold, format('CALL strata.maintain_partitions(%L);', t.relation::text) AS hint
FROM strata._health_tables t
CROSS JOIN LATERAL (SELECT count(*) AS missing FROM strata._without_mark_triggers(t.relation)) m
UNION ALL
SELECT 'guard_trigger', t.relation::text,
       CASE WHEN EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.relation AND g.tgname = 'strata_guard' AND g.tgenabled = 'A')
                 AND g.weak = 0 THEN 'ok' ELSE 'critical' END,
       g.weak::text, '0', format('ALTER TABLE %s ENABLE ALWAYS TRIGGER strata_guard;', t.relation)
FROM strata._health_tables t
CROSS JOIN LATERAL (
    SELECT count(*) AS weak FROM pg_inherits i JOIN pg_trigger g ON g.tgrelid = i.inhrelid
    WHERE i.inhparent = t.relation AND g.tgname = 'strata_guard' AND g.tgenabled <> 'A'
) g
UNION ALL
SELECT 'batch_defaults', t.relation::text, CASE WHEN d.lacking IS NOT NULL THEN 'critical' ELSE 'ok' END, d.lacking, 'none',
       format('ALTER TABLE %s ALTER COLUMN batch_id SET DEFAULT strata.current_batch(%L::regclass);', d.lacking, t.relation::text)
FROM strata._health_tables t
CROSS JOIN LATERAL (
    -- of the table, if it is that: the statement reaches the partitions
    SELECT CASE WHEN bool_or(p.relid = t.relation) THEN t.relation::text ELSE min(p.relid::regclass::text) END AS lacking
    FROM (SELECT t.relation::oid AS relid UNION ALL SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = t.relation) p
    WHERE NOT EXISTS (SELECT FROM pg_attrdef f JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
                      WHERE f.adrelid = p.relid AND a.attname = 'batch_id')
) d
UNION ALL
SELECT 'owners', t.relation::text, CASE WHEN o.strays > 0 THEN 'critical' ELSE 'ok' END,
       o.strays::text, '0', format('CALL strata.maintain_partitions(%L);', t.relation::text)
FROM strata._health_tables t
CROSS JOIN LATERAL (SELECT count(*) AS strays FROM strata._strays(t.relation)) o
UNION ALL
SELECT 'batch_sequence', t.relation::text,
       CASE WHEN s.seqcache IS NULL OR s.seqcache <> 1 OR s.seqcycle OR s.seqincrement <> 1 OR h.behind THEN 'critical' ELSE 'ok' END,
       CASE WHEN s.seqcache IS NULL THEN 'missing' ELSE format('cache %s, increment %s, last value %s', s.seqcache, s.seqincrement, h.last_value) END,
       format('cache 1, increment 1, at least %s', h.highest),
       CASE WHEN s.seqcache IS NULL THEN format('SELECT strata.release_event_table(%1$L); SELECT strata.create_event_table(%1$L, %2$L);', t.relation::text, strata._time_column(t.relation))
            WHEN h.behind THEN format('SELECT setval(%L, %s);', t.batch_sequence::text, h.highest)
            ELSE format('ALTER SEQUENCE %s CACHE 1 INCREMENT 1 NO CYCLE;', t.batch_sequence) END
FROM strata._health_tables t
LEFT JOIN pg_sequence s ON s.seqrelid = t.batch_sequence
CROSS JOIN LATERAL (
    SELECT m.highest, l.last_value, m.highest > l.last_value AS behind
    FROM (SELECT strata._highest_batch(t.table_id) AS highest OFFSET 0) m,
         LATERAL (SELECT strata._last_batch(t.table_id) AS last_value OFFSET 0) l
) h
UNION ALL
-- an index of the table that is not valid lacks its part on some partition
SELECT 'indexes', t.relation::text, CASE WHEN x.faults > 0 THEN 'warn' ELSE 'ok' END, x.faults::text, '0',
       CASE WHEN x.invalid IS NOT NULL THEN format('DROP INDEX %s; -- and create it again on the table, not ONLY on it', x.invalid)
            ELSE format('CREATE INDEX ON %s USING brin (batch_id) WITH (pages_per_range = 16, autosummarize = on);', t.relation) END
FROM strata._health_tables t
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE NOT i.indisvalid) + CASE WHEN count(*) FILTER (WHERE i.indkey[0] = b.attnum AND i.indisvalid) = 0 THEN 1 ELSE 0 END AS faults,
           min(i.indexrelid::regclass::text) FILTER (WHERE NOT i.indisvalid) AS invalid
    FROM pg_attribute b LEFT JOIN pg_index i ON i.indrelid = b.attrelid
    WHERE b.attrelid = t.relation AND b.attname = 'batch_id' AND NOT b.attisdropped
) x
UNION ALL
SELECT 'ledger', t.relation::text, CASE WHEN l.unpruned > 1000000 THEN 'warn' ELSE 'ok' END, l.unpruned::text, '1000000',
       format('CALL strata.maintain_partitions(%L);', t.relation::text)
FROM strata._health_tables t
-- the width of the ids not yet looked at, not a count of a long ledger
CROSS JOIN LATERAL (
    SELECT coalesce(max(b.batch_id), 0) - coalesce((SELECT p.pruned_through FROM strata._ledger_progress p WHERE p.table_id = t.table_id), 0) AS unpruned
    FROM strata._batches b WHERE b.table_id = t.table_id
) l;
COMMENT ON VIEW strata._health_catalog IS 'Checks that event tables are as the catalog says.';

-- What holds retention back is asked for by those who may maintain the table.
CREATE VIEW strata._health_retention AS
SELECT 'retention' AS check_name, t.relation::text AS object,
       CASE WHEN e.blocked = 0 AND e.overdue = 0 THEN 'ok' WHEN e.blocked > 0 AND t.free < 0.1 THEN 'critical' ELSE 'warn' END AS status,
       CASE WHEN e.blocked > 0 THEN format('%s partitions of %s bytes: %s', e.blocked, e.bytes, e.blocked_by)
            WHEN e.overdue > 0 THEN format('%s partitions may go', e.overdue) END AS value,
       'none' AS threshold,
       CASE WHEN e.blocked > 0 THEN format('SELECT * FROM strata.expired_partitions(%L);', t.relation::text)
            ELSE format('CALL strata.maintain_partitions(%L);', t.relation::text) END AS hint
FROM (SELECT h.*, d.free_bytes / d.total_bytes::double precision AS free FROM strata._health_tables h, strata._disk_space() d
      WHERE h.retention IS NOT NULL OR h.retention_bytes IS NOT NULL) t
-- most of the time nothing is due: the function that says what is holds long talks with the rollups
CROSS JOIN LATERAL (SELECT min(l.upper) AS first_upper FROM strata._leaves(t.relation) l) f
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE p.blocked_by IS NOT NULL) AS blocked,
           sum(p.bytes) FILTER (WHERE p.blocked_by IS NOT NULL) AS bytes, min(p.blocked_by) AS blocked_by,
           -- maintenance runs every now and then: what should have gone a day ago
           count(*) FILTER (WHERE p.blocked_by IS NULL AND p.upper < (now() - t.retention - '1 day'::interval)) AS overdue
    FROM strata._expired_partitions(strata._authorize(t.relation, 'INGEST')) p
    WHERE t.retention_bytes IS NOT NULL OR f.first_upper <= strata._axis_shift(t.event_table, t.present, - t.retention)
) e
WHERE strata._may(t.relation, 'INGEST')
UNION ALL
SELECT 'disk_space', 'data directory',
       CASE WHEN d.free_bytes < d.total_bytes * 0.05 THEN 'critical' WHEN d.free_bytes < d.total_bytes * 0.15 THEN 'warn' ELSE 'ok' END,
       pg_size_pretty(d.free_bytes), pg_size_pretty((d.total_bytes * 0.15)::bigint), 'SELECT * FROM strata.expired_partitions();'
FROM strata._disk_space() d
WHERE d.free_bytes IS NOT NULL AND EXISTS (SELECT FROM strata._health_tables h WHERE strata._may(h.relation, 'INGEST'));
COMMENT ON VIEW strata._health_retention IS 'Checks of retention and of the space that is left.';

CREATE VIEW strata._health_flow AS
SELECT 'rollup_staleness' AS check_name, r.rollup::text AS object,
       CASE WHEN r.suspended_at IS NOT NULL THEN 'warn' WHEN r.staleness > '1 hour'::interval THEN 'warn' ELSE 'ok' END AS status,
       CASE WHEN r.suspended_at IS NOT NULL THEN 'suspended' ELSE r.staleness::text END AS value, '01:00:00' AS threshold,
       CASE WHEN r.suspended_at IS NOT NULL THEN format('SELECT strata.resume_rollup(%L);', r.rollup::text)
            ELSE format('SELECT strata.refresh_rollup(%L);', r.rollup::text) END AS hint
FROM strata.rollups r
UNION ALL
-- only a partition attached by hand can be without
SELECT 'rollup_storage', r.rollup::text, CASE WHEN u.gaps <> '{}' THEN 'critical' ELSE 'ok' END, nullif(u.gaps::text, '{}'), 'none',
       format('CALL strata.maintain_partitions(%L);', t.relation::text)
FROM strata._health_tables t JOIN strata._rollups r ON r.table_id = t.table_id JOIN pg_class c ON c.oid = r.rollup
CROSS JOIN LATERAL (SELECT strata._uncovered(r) AS gaps) u
UNION ALL
-- maintenance runs every now and then: what should have gone a day ago
SELECT 'rollup_retention', r.rollup::text, CASE WHEN o.due > r.kept_from THEN 'warn' ELSE 'ok' END,
       CASE WHEN isfinite(r.kept_from) THEN strata._from_axis(t.time_type, t.timezone, r.kept_from)::text END,
       strata._from_axis(t.time_type, t.timezone, o.due)::text, format('CALL strata.maintain_partitions(%L);', t.relation::text)
FROM strata._health_tables h JOIN strata._event_tables t ON t.table_id = h.table_id
JOIN strata._rollups r ON r.table_id = t.table_id AND r.retention IS NOT NULL JOIN pg_class c ON c.oid = r.rollup
CROSS JOIN LATERAL (SELECT strata._bucket_lower(r, strata._axis_shift(t, h.present, - (r.retention + '1 day'::interval))) AS due) o
UNION ALL
SELECT 'dead_letters', t.relation::text, CASE WHEN d.recent > 0 THEN 'warn' ELSE 'ok' END,
       d.recent::text, '0 in the last day',
       format('SELECT reason, count(*) FROM strata.dead_letters WHERE relation = %L::regclass GROUP BY reason;', t.relation::text)
FROM (SELECT h.table_id, h.relation FROM strata._health_tables h
      UNION ALL
      SELECT g.table_id, g.relation FROM strata._target_tables g JOIN pg_class c ON c.oid = g.relation
      WHERE has_table_privilege(g.relation, 'SELECT') OR strata._may(g.relation, 'INGEST')) t
CROSS JOIN LATERAL (SELECT count(*) AS recent FROM strata._dead_letters d WHERE d.table_id = t.table_id
                    AND d.created_at > (now() - '1 day'::interval)) d;
COMMENT ON VIEW strata._health_flow IS 'Checks of rollups and ingestion.';

CREATE VIEW strata._health_audit AS
SELECT 'audit_triggers' AS check_name, a.relation::text AS object, CASE WHEN g.faults > 0 THEN 'critical' WHEN n.lacking > 0 THEN 'warn' ELSE 'ok' END AS status,
       (g.faults + n.lacking)::text AS value, '0' AS threshold,
       format('SELECT strata.enable_audit(%L, exclude => %L);', a.relation::text, v.excluded) AS hint
FROM strata._audited_tables a
JOIN strata.audited_tables v ON v.relation = a.relation
CROSS JOIN LATERAL (SELECT count(*) AS faults FROM strata._verify_triggers(a)) g
-- partitions made since, whose rows a TRUNCATE of them alone would take away unseen
CROSS JOIN LATERAL (
    SELECT count(*) AS lacking FROM strata._tree(a.relation) p (relid)
    WHERE NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = p.relid AND t.tgfoid = 'strata._audit_truncate()'::regprocedure)
) n
WHERE a.disabled_at IS NULL
UNION ALL
SELECT 'audit_seal', l.origin, CASE WHEN u.oldest < (now() - '1 day'::interval) THEN 'critical' WHEN u.oldest < (now() - '1 hour'::interval) THEN 'warn' ELSE 'ok' END,
       format('%s unsealed chunks, the oldest of %s', u.unsealed, coalesce(u.oldest::text, 'never')), '1 hour', 'SELECT strata.seal_audit();'
FROM strata._audit_log l
CROSS JOIN LATERAL (
    SELECT count(*) AS unsealed, min(c.changed_at) AS oldest FROM strata._audit_chunks c
    WHERE c.chunk_id > l.horizon AND NOT EXISTS (SELECT FROM strata._audit_entries e WHERE e.chunk_id = c.chunk_id)
) u
WHERE pg_has_role('strata_auditor', 'MEMBER')
UNION ALL
-- maintenance runs every now and then: what should have gone a day ago
SELECT 'audit_retention', a.relation_name, CASE WHEN o.overdue THEN 'warn' ELSE 'ok' END,
       format('kept from %s', coalesce(h.pruned_until, a.enabled_at)), r.retention::text,
       CASE WHEN EXISTS (SELECT FROM pg_class c WHERE c.oid = a.relation) THEN format('CALL strata.prune_audit(%L);', a.relation::text) ELSE 'CALL strata.prune_audit();' END
FROM strata._audited_tables a
LEFT JOIN strata._audit_horizons h ON h.audit_id = a.audit_id
CROSS JOIN LATERAL (SELECT s.* FROM strata._audit_retention s WHERE s.audit_id IN (0, a.audit_id) ORDER BY s.audit_id DESC LIMIT 1) r
CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM strata._audit_chunks c
                   WHERE c.audit_id = a.audit_id AND c.chunk_id > coalesce(h.pruned_through, 0) AND c.added_count + c.removed_count > 0 AND c.operation <> 'state_rows'
                     AND c.changed_at < (now() - r.retention * 1.1 - r.verify_within - '1 day'::interval)) AS overdue
) o
WHERE pg_has_role('strata_auditor', 'MEMBER')
UNION ALL
SELECT 'audit_size', l.origin, CASE WHEN z.bytes > d.total_bytes * 0.2 AND NOT EXISTS (SELECT FROM strata._audit_retention) THEN 'warn' ELSE 'ok' END,
       format('log %s, histories %s', pg_size_pretty(z.log_bytes), pg_size_pretty(z.bytes - z.log_bytes)), pg_size_pretty((d.total_bytes * 0.2)::bigint),
       'SELECT strata.set_audit_retention(NULL, ''1 year'');'
FROM strata._audit_log l
CROSS JOIN strata._disk_space() d
CROSS JOIN LATERAL (
    SELECT s.log_bytes, s.log_bytes + coalesce((SELECT sum(strata._partition_bytes(a.history)) FROM strata._audited_tables a JOIN pg_class c ON c.oid = a.history), 0) AS bytes
    FROM (SELECT strata._partition_bytes('strata._audit_chunks') + strata._partition_bytes('strata._audit_entries') + strata._partition_bytes('strata._audit_tiles') AS log_bytes) s
) z
WHERE pg_has_role('strata_auditor', 'MEMBER');
COMMENT ON VIEW strata._health_audit IS 'Checks of audited tables and of the audit log.';

CREATE VIEW strata.health AS
SELECT c.check_name, c.object, c.status, c.value, c.threshold, CASE WHEN c.status <> 'ok' THEN c.hint END AS hint
FROM (
    SELECT * FROM strata._health_partitions
    UNION ALL SELECT * FROM strata._health_catalog
    UNION ALL SELECT * FROM strata._health_retention
    UNION ALL SELECT * FROM strata._health_flow
    UNION ALL SELECT * FROM strata._health_audit
) c;
COMMENT ON VIEW strata.health IS 'One row per check and object: status ok, warn or critical, the value found, the threshold, and what to type. Partitions: partitions_ahead, partition_gaps, default_partition, detach_pending, thawed_partitions, partition_kinds, rows_near_window. Catalog: mark_triggers, guard_trigger, batch_defaults, owners, batch_sequence, indexes, ledger. Retention (for those who may maintain): retention, disk_space. Flow: rollup_staleness, rollup_storage, rollup_retention, dead_letters. Audit: audit_triggers; for members of strata_auditor audit_seal, audit_retention, audit_size.';
GRANT SELECT ON strata.health TO PUBLIC;

-- One row per check: what an operator must know, each with what to type.
CREATE VIEW strata.health AS
WITH mine AS (
    SELECT t.* FROM strata._event_tables t
    JOIN pg_class c ON c.oid = t.relation
    WHERE has_table_privilege(t.relation, 'SELECT') OR strata._may(t.relation, 'INGEST')
), checks AS (
    SELECT 'partitions_ahead' AS check_name, t.relation::text AS object,
           CASE WHEN a.ahead < 1 AND t.premake > 0 THEN 'critical'
                WHEN a.ahead < t.premake THEN 'warn' ELSE 'ok' END AS status,
           a.ahead::text AS value, t.premake::text AS threshold,
           format('CALL strata.maintain_partitions(%L);', t.relation::text) AS hint
    FROM mine t
    CROSS JOIN LATERAL (SELECT count(*) AS ahead FROM strata._leaves(t.relation) l WHERE l.lower > strata._axis_now((SELECT x FROM strata._event_tables x WHERE x.table_id = t.table_id))) a
    UNION ALL
    SELECT 'mark_triggers', t.relation::text, CASE WHEN m.missing > 0 THEN 'critical' ELSE 'ok' END,
           m.missing::text, '0', format('CALL strata.maintain_partitions(%L);', t.relation::text)
    FROM mine t
    CROSS JOIN LATERAL (SELECT count(*) AS missing FROM strata._without_mark_triggers(t.relation)) m
    UNION ALL
    SELECT 'owners', t.relation::text, CASE WHEN o.strays > 0 THEN 'critical' ELSE 'ok' END,
           o.strays::text, '0', format('CALL strata.maintain_partitions(%L);', t.relation::text)
    FROM mine t
    CROSS JOIN LATERAL (
        SELECT count(*) AS strays FROM pg_class c
        WHERE c.relowner <> strata._owner(t.relation) AND (
            c.oid IN (SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = t.relation)
            OR c.oid IN (SELECT unnest(ARRAY[r.rollup, r.definition, r.storage, r.dirty]) FROM strata._rollups r WHERE r.table_id = t.table_id))
    ) o
    UNION ALL
    SELECT 'guard_trigger', t.relation::text,
           CASE WHEN EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.relation
                             AND g.tgname = 'strata_guard' AND g.tgenabled = 'A') THEN 'ok' ELSE 'critical' END,
           NULL, NULL, format('ALTER TABLE %s ENABLE ALWAYS TRIGGER strata_guard;', t.relation)
    FROM mine t
    UNION ALL
    SELECT 'batch_sequence', t.batch_sequence::text,
           CASE WHEN s.seqcache <> 1 OR s.seqcycle OR s.seqincrement <> 1 THEN 'critical' ELSE 'ok' END,
           format('cache %s, increment %s', s.seqcache, s.seqincrement), 'cache 1, increment 1',
           format('ALTER SEQUENCE %s CACHE 1 INCREMENT 1 NO CYCLE;', t.batch_sequence)
    FROM mine t JOIN pg_sequence s ON s.seqrelid = t.batch_sequence
    UNION ALL
    SELECT 'rollup_staleness', r.rollup::text,
           CASE WHEN r.staleness > '1 hour'::interval THEN 'warn' ELSE 'ok' END,
           r.staleness::text, '01:00:00', format('SELECT strata.refresh_rollup(%L);', r.rollup::text)
    FROM strata.rollups r
    UNION ALL
    SELECT 'dead_letters', t.relation::text, CASE WHEN d.recent > 0 THEN 'warn' ELSE 'ok' END,
           d.recent::text, '0 in the last day',
           format('SELECT reason, count(*) FROM strata.dead_letters WHERE relation = %L::regclass GROUP BY reason;', t.relation::text)
    FROM mine t
    CROSS JOIN LATERAL (SELECT count(*) AS recent FROM strata._dead_letters d WHERE d.table_id = t.table_id
                        AND d.created_at > (now() - '1 day'::interval)) d
)
SELECT c.check_name, c.object, c.status, c.value, c.threshold, CASE WHEN c.status <> 'ok' THEN c.hint END AS hint
FROM checks c;
COMMENT ON VIEW strata.health IS 'One row per check and object: status ok, warn or critical, the value found, the threshold, and what to type. Checks: partitions_ahead, mark_triggers, owners, guard_trigger, batch_sequence, rollup_staleness, dead_letters.';
GRANT SELECT ON strata.health TO PUBLIC;

CREATE VIEW strata.conversions AS
SELECT c.relation, c.state, c.rows_moved, c.rows_estimated,
       CASE WHEN c.state = 'preparing' THEN 0 WHEN c.state = 'validating' OR c.end_block = 0 THEN 1
            ELSE round(c.next_block::numeric / c.end_block, 4) END AS fraction,
       c.started_at, c.updated_at, c.shadow AS event_table
FROM strata._conversions c
JOIN pg_class r ON r.oid = c.relation
WHERE has_table_privilege(c.relation, 'SELECT') OR strata._may(c.relation, 'OWNER');
COMMENT ON VIEW strata.conversions IS 'Tables being converted by convert_to_event_table: state (preparing: partitions are made; copying: rows move; validating: it is an event table, foreign keys to it are being validated), rows moved of about how many (rows carried by triggers not counted), the fraction done, and the event table that takes the table''s name in the end.';
GRANT SELECT ON strata.conversions TO PUBLIC;

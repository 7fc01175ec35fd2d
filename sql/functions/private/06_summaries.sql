-- The BRIN index that leads a refresh to its batches knows nothing of pages that nobody has summarised yet: every refresh
-- reads all of those. Autovacuum summarises once a minute at best, so that at full ingestion the newest minute of rows would
-- be read with each refresh.
CREATE FUNCTION strata._summarize_pending(rollup strata._rollups) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    -- whoever holds a partition now, autovacuum above all, has more to do there: it is left out this time
    SET lock_timeout = '1ms'
AS $$
DECLARE
    relation regclass := strata._relation(rollup.table_id);
    leaf regclass;
BEGIN
    FOR leaf IN
        SELECT t.relid
        FROM strata._pending_range r
        CROSS JOIN LATERAL (SELECT l.partition FROM strata._leaves_between(relation, r.lower_time, r.upper_time) l ORDER BY l.lower DESC LIMIT 8) l
        CROSS JOIN LATERAL strata._tree(l.partition) t (relid)
        JOIN pg_class c ON c.oid = t.relid AND c.relkind = 'r'
        WHERE r.rollup_id = rollup.rollup_id AND isfinite(r.lower_time) AND isfinite(r.upper_time)
    LOOP
        PERFORM strata._summarize_tail(leaf);
    END LOOP;
EXCEPTION WHEN lock_not_available OR undefined_table OR undefined_object THEN
    NULL;
END
$$;
REVOKE ALL ON FUNCTION strata._summarize_pending(strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._summarize_pending(strata._rollups) IS
'Summarises the newest pages of the partitions that pending batches have rows in, where nobody is in the way. Changes what a refresh costs, never what it reads.';

-- From the last full range of pages backwards to one that has its summary: all before have theirs.
CREATE FUNCTION strata._summarize_tail(partition regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    index regclass;
    pages bigint;
    last bigint;
BEGIN
    SELECT i.indexrelid, coalesce((SELECT o.option_value FROM pg_options_to_table(c.reloptions) o WHERE o.option_name = 'pages_per_range')::bigint, 128)
    INTO index, pages
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_am m ON m.oid = c.relam AND m.amname = 'brin'
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] AND a.attname = 'batch_id'
    WHERE i.indrelid = partition AND i.indisvalid AND i.indnatts = 1
    LIMIT 1;
    last := (pg_relation_size(partition) / current_setting('block_size')::bigint / pages - 1) * pages;
    IF last >= 0 THEN
        PERFORM strata._execute_as(strata._owner(partition), format(
            'WITH RECURSIVE tail (page, made) AS ('
            'SELECT %2$s::bigint, brin_summarize_range(%1$L::regclass, %2$s) '
            'UNION ALL SELECT t.page - %3$s, brin_summarize_range(%1$L::regclass, t.page - %3$s) FROM tail t WHERE t.made > 0 AND t.page >= %3$s'
            ') SELECT count(*) FROM tail', index, last, pages));
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._summarize_tail(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._summarize_tail(regclass) IS 'Summarises the pages at the end of a partition in the index of batch ids.';

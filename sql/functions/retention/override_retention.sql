-- Promise: retention goes on without what holds it back, and who decided so is written down.
CREATE FUNCTION strata.override_retention(relation regclass, partition regclass, reason text) RETURNS void
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._override_retention(strata._authorize(relation, 'OWNER'), partition, reason) $$;
COMMENT ON FUNCTION strata.override_retention(regclass, regclass, text) IS
'Lets a partition that is past retention, and all older ones, go although rollups still need them or their archive is missing: the next maintenance drops them. Rollups keep what they have folded of them, and are exact only for buckets that begin later. Foreign keys are not overridden. The decision stands in strata.retention_log with the reason, which must not be empty. Takes ownership. 22023 without a reason, 55000 if the partition is not past retention.';

CREATE FUNCTION strata._override_retention(relation regclass, partition regclass, reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    leaf record;
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    IF coalesce(btrim(reason), '') = '' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = 'an override of retention needs a reason',
            HINT = 'Say why the rows may go: reason => ''rollup by_user was wrong and is being replaced''.';
    END IF;
    SELECT l.* INTO leaf FROM strata._leaves(relation) l
    WHERE l.partition = _override_retention.partition AND l.upper <= strata._due_until(event_table);
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = format('%s is no partition of %s that is past retention', coalesce(partition::text, 'NULL'), relation),
            DETAIL = 'Only what retention asks for can be let go.',
            HINT = format('SELECT * FROM strata.expired_partitions(%L) lists them; strata.alter_event_table() changes retention.', relation::text);
    END IF;
    INSERT INTO strata._retention_overrides AS o (table_id, upper_time) VALUES (event_table.table_id, leaf.upper)
    ON CONFLICT (table_id) DO UPDATE SET upper_time = greatest(o.upper_time, EXCLUDED.upper_time);
    INSERT INTO strata._archived_partitions (table_id, partition)
    SELECT event_table.table_id, l.partition FROM strata._leaves(relation) l WHERE l.upper <= leaf.upper
    ON CONFLICT DO NOTHING;
    PERFORM strata._log_retention(event_table, 'overridden', leaf.partition, leaf.lower, leaf.upper, reason);
END
$$;
COMMENT ON FUNCTION strata._override_retention(regclass, regclass, text) IS 'The writing half of override_retention.';

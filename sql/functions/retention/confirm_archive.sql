-- Promise: retention knows that a partition's rows are kept elsewhere.
CREATE FUNCTION strata.confirm_archive(relation regclass, partition regclass) RETURNS void
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._confirm_archive(strata._authorize(relation, 'INGEST'), partition) $$;
COMMENT ON FUNCTION strata.confirm_archive(regclass, regclass) IS
'Tells retention that a partition has been archived and the archive verified; where alter_event_table(…, archive_required => true) asks for it, no partition goes before. The partition must be unwritable (state sealed in strata.partitions): earlier its archive could miss rows. Takes ownership or grant_ingest. 55000 if it is not sealed.';

CREATE FUNCTION strata._confirm_archive(relation regclass, partition regclass) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(relation);
    leaf record;
BEGIN
    PERFORM strata._authorized(relation, 'INGEST');
    SELECT l.* INTO leaf FROM strata._leaves(relation) l
    WHERE l.partition = _confirm_archive.partition AND l.upper <= event_table.retained_from AND strata._is_sealed(l.partition);
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = format('%s is no sealed partition of %s', coalesce(partition::text, 'NULL'), relation),
            DETAIL = 'Until it is sealed and below retained_from its rows may still change, and an archive could miss some.',
            HINT = 'Archive what strata.expired_partitions() lists as blocked by a missing archive.';
    END IF;
    INSERT INTO strata._archived_partitions (table_id, partition) VALUES (event_table.table_id, leaf.partition) ON CONFLICT DO NOTHING;
    PERFORM strata._log_retention(event_table, 'archived', leaf.partition, leaf.lower, leaf.upper);
END
$$;
COMMENT ON FUNCTION strata._confirm_archive(regclass, regclass) IS 'The writing half of confirm_archive.';

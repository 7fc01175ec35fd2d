-- The steps of a conversion in chunks: partitions, triggers, chunks of rows, the swap, foreign keys of others.

CREATE FUNCTION strata._check_unaltered(conversion strata._conversions) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF strata._conversion_fingerprint(conversion.relation) IS DISTINCT FROM conversion.fingerprint THEN
        PERFORM strata._refuse_while_converting(conversion.relation,
            'It was altered or rewritten meanwhile (VACUUM FULL, CLUSTER, ALTER TABLE, a restore): what has been copied may no longer be equal to it.',
            format('Run: SELECT strata.cancel_conversion(%1$L); and: CALL strata.convert_to_event_table(%1$L, …); to begin again.', conversion.relation::text));
    END IF;
END
$$;
REVOKE ALL ON FUNCTION strata._check_unaltered(strata._conversions) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_unaltered(strata._conversions) IS 'ST009 if a table is no longer what it was when its rows began to move.';

-- Partitions are made a few at a time, so that a transaction does not need more locks than the server has.
CREATE FUNCTION strata._prepare_conversion(conversion strata._conversions) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    carry text;
BEGIN
    IF cardinality(conversion.partitions_wanted) > 0 THEN
        PERFORM strata._make_partitions_at(strata._event_table(conversion.shadow), conversion.partitions_wanted[1:20]);
        UPDATE strata._conversions c SET partitions_wanted = conversion.partitions_wanted[21:], updated_at = clock_timestamp() WHERE c.relation = conversion.relation;
        RETURN 'prepare';
    END IF;
    PERFORM strata._execute_as(strata._owner(conversion.relation), format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', conversion.relation));
    -- a constant default marks the rows that are there without touching them; later ones have none
    PERFORM strata._execute_as(strata._owner(conversion.relation), format('ALTER TABLE %s ADD COLUMN batch_id bigint DEFAULT 1', conversion.relation));
    PERFORM strata._execute_as(strata._owner(conversion.relation), format('ALTER TABLE %s ALTER COLUMN batch_id DROP DEFAULT', conversion.relation));
    carry := strata._create_carry(conversion.relation, conversion.shadow);
    UPDATE strata._conversions c
    SET state = 'copying', carry_function = carry, fingerprint = strata._conversion_fingerprint(conversion.relation),
        end_block = pg_relation_size(conversion.relation) / current_setting('block_size')::bigint, updated_at = clock_timestamp()
    WHERE c.relation = conversion.relation;
    RETURN 'move';
END
$$;
REVOKE ALL ON FUNCTION strata._prepare_conversion(strata._conversions) FROM PUBLIC;
COMMENT ON FUNCTION strata._prepare_conversion(strata._conversions) IS
'Makes partitions for the rows of a table being converted, and after the last of them the triggers that carry changes.';

-- A row that is changed while it is copied is locked here first, or there: whoever comes second sees what the first
-- has done. Rows changed earlier are in the twin already, whatever block their newest version lies in.
CREATE FUNCTION strata._move_chunk(conversion strata._conversions, chunk_rows int) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables := strata._event_table(conversion.shadow);
    blocks bigint := greatest(1, floor(chunk_rows * conversion.end_block / greatest(conversion.rows_estimated, 1)::numeric)::bigint);
    upper_block bigint := least(conversion.next_block + blocks, conversion.end_block);
    condition text := format(' WHERE e.ctid >= ''(%s,0)''::tid AND e.ctid < ''(%s,0)''::tid AND e.batch_id = 1', conversion.next_block, upper_block);
    key_name name := (SELECT k.conname FROM pg_constraint k WHERE k.conrelid = conversion.shadow AND k.contype = 'p' AND NOT k.condeferrable);
    survey record;
    moved bigint;
BEGIN
    SELECT s.* INTO survey FROM strata._survey_rows(conversion.relation, event_table, condition) s;
    PERFORM strata._make_partitions_at(event_table, survey.lowers);
    moved := strata._copy_rows(conversion.relation, event_table, condition || CASE WHEN key_name IS NULL THEN '' ELSE ' FOR SHARE' END,
        coalesce(' ON CONFLICT ON CONSTRAINT ' || quote_ident(key_name) || ' DO NOTHING', ''));
    UPDATE strata._conversions c SET next_block = upper_block, rows_moved = c.rows_moved + moved, updated_at = clock_timestamp()
    WHERE c.relation = conversion.relation;
END
$$;
REVOKE ALL ON FUNCTION strata._move_chunk(strata._conversions, int) FROM PUBLIC;
COMMENT ON FUNCTION strata._move_chunk(strata._conversions, int) IS 'Copies the rows of some blocks.';

CREATE FUNCTION strata._finish_conversion(conversion strata._conversions) RETURNS regclass
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    settings strata._event_tables := jsonb_populate_record(NULL::strata._event_tables, conversion.settings);
    references_left jsonb;
BEGIN
    PERFORM strata._execute_as(strata._owner(conversion.relation), format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', conversion.relation));
    PERFORM strata._check_unaltered(conversion);
    references_left := strata._swap_in(conversion.relation, conversion.shadow, true);
    PERFORM strata._drop_carry(conversion.carry_function, strata._owner(conversion.shadow));
    UPDATE strata._event_tables t SET retention = settings.retention, retention_bytes = settings.retention_bytes WHERE t.relation = conversion.shadow;
    UPDATE strata._conversions c
    SET relation = c.shadow, state = 'validating', unvalidated = references_left, carry_function = NULL, updated_at = clock_timestamp()
    WHERE c.relation = conversion.relation;
    RETURN conversion.shadow;
END
$$;
REVOKE ALL ON FUNCTION strata._finish_conversion(strata._conversions) FROM PUBLIC;
COMMENT ON FUNCTION strata._finish_conversion(strata._conversions) IS 'Lets the event table take the place of the table its rows came from.';

-- Foreign keys of other tables are checked against the event table afterwards, while both are in use.
CREATE FUNCTION strata._validate_references(conversion strata._conversions) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(conversion.relation);
    referencing regclass := (conversion.unvalidated #>> '{0,0}')::oid::regclass;
    constraint_name name := conversion.unvalidated #>> '{0,1}';
BEGIN
    IF conversion.unvalidated = '[]' THEN
        DELETE FROM strata._conversions c WHERE c.relation = conversion.relation;
        PERFORM strata._note_publications(conversion.relation);
        RAISE NOTICE 'moved % rows; % is an event table', conversion.rows_moved, conversion.relation;
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = referencing AND k.conname = constraint_name) THEN
        PERFORM strata._execute_as(owner, format('ALTER TABLE %s VALIDATE CONSTRAINT %I', referencing, constraint_name));
    END IF;
    UPDATE strata._conversions c SET unvalidated = c.unvalidated - 0, updated_at = clock_timestamp() WHERE c.relation = conversion.relation;
    RETURN 'validate';
END
$$;
REVOKE ALL ON FUNCTION strata._validate_references(strata._conversions) FROM PUBLIC;
COMMENT ON FUNCTION strata._validate_references(strata._conversions) IS
'Validates one foreign key that was made again for the event table; without any left, the conversion is over.';

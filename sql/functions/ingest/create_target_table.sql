-- Promise: the sidecar can keep the table what its source is, and nothing else about it changes.
CREATE FUNCTION strata.create_target_table(relation regclass) RETURNS regclass
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._create_target_table(strata._authorize(relation, 'OWNER')) $$;
COMMENT ON FUNCTION strata.create_target_table(regclass) IS
'Makes an ordinary table a target of changes: strata ingest upserts and deletes its rows by primary key, from change data capture or from plain events. The table itself stays as it is; checkpoints and dead letters are kept for it. Takes ownership. ST002 if it cannot be one, or is an event table or a target already.';

CREATE FUNCTION strata._create_target_table(relation regclass) RETURNS regclass
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind "char" := (SELECT c.relkind FROM pg_class c WHERE c.oid = relation);
BEGIN
    PERFORM strata._authorized(relation, 'OWNER');
    PERFORM strata._forget_dropped_relations();
    IF EXISTS (SELECT FROM strata._ingested_tables t WHERE t.relation = _create_target_table.relation) THEN
        RAISE EXCEPTION USING ERRCODE = 'ST002', MESSAGE = format('%s is an event table or a target already', relation),
            DETAIL = 'A table is fed in one way.',
            HINT = 'SELECT relation FROM strata.target_tables; and strata.event_tables list them.';
    END IF;
    IF kind NOT IN ('r', 'p') OR EXISTS (SELECT FROM pg_class c WHERE c.oid = relation AND (c.relpersistence = 't' OR c.relispartition)) THEN
        RAISE EXCEPTION USING ERRCODE = 'ST002', MESSAGE = format('%s cannot be a target of changes', relation),
            DETAIL = 'It is no table, or a temporary one, or a partition.',
            HINT = 'Name an ordinary or a partitioned table.';
    END IF;
    IF strata._primary_key(relation) IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'ST002', MESSAGE = format('%s cannot be a target of changes', relation),
            DETAIL = 'It has no primary key, by which a change could find its row.',
            HINT = format('Run: ALTER TABLE %s ADD PRIMARY KEY (<column>);', relation);
    END IF;
    INSERT INTO strata._target_tables (relation) VALUES (relation);
    RETURN relation;
END
$$;
COMMENT ON FUNCTION strata._create_target_table(regclass) IS 'The writing half of create_target_table.';

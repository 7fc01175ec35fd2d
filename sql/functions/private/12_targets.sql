-- What the sidecar asks of a table, whether rows are added to it or changes applied. A target that was made an event table
-- since is one.
CREATE FUNCTION strata._is_target(relation regclass) RETURNS boolean
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM strata._target_tables t WHERE t.relation = _is_target.relation)
       AND NOT EXISTS (SELECT FROM strata._event_tables t WHERE t.relation = _is_target.relation)
$$;
REVOKE ALL ON FUNCTION strata._is_target(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._is_target(regclass) IS 'Whether changes are applied to a table by key.';

CREATE FUNCTION strata._ingest_id(relation regclass) RETURNS int
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target_id int := (SELECT t.table_id FROM strata._target_tables t WHERE t.relation = _ingest_id.relation AND strata._is_target(t.relation));
BEGIN
    RETURN coalesce(target_id, (strata._event_table(relation)).table_id);
END
$$;
REVOKE ALL ON FUNCTION strata._ingest_id(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._ingest_id(regclass) IS 'The id that leases, checkpoints and dead letters of a table are kept under; ST001 if it is neither an event table nor a target.';

CREATE FUNCTION strata._primary_key(relation regclass) RETURNS name[]
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT array_agg(a.attname ORDER BY k.place)
    FROM pg_index i
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = relation AND i.indisprimary
$$;
COMMENT ON FUNCTION strata._primary_key(regclass) IS 'The columns of a table''s primary key; NULL if it has none.';

-- A COPY cannot update or delete: changes are put here first, then merged by one statement. Made once for a session; runs
-- with the caller's rights, which must be enough to read the columns.
CREATE FUNCTION strata._make_stage(relation regclass, columns name[]) RETURNS text
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stage text := format('pg_temp.strata_stage_%s', relation::oid);
BEGIN
    IF to_regclass(stage) IS NOT NULL THEN
        EXECUTE format('DROP TABLE %s', stage);
    END IF;
    EXECUTE format('CREATE TEMPORARY TABLE strata_stage_%s ON COMMIT DELETE ROWS AS SELECT %s, NULL::smallint[] AS strata_kept, NULL::boolean AS strata_deleted FROM %s WITH NO DATA',
        relation::oid, (SELECT string_agg(quote_ident(c), ', ' ORDER BY n) FROM unnest(columns) WITH ORDINALITY u (c, n)), relation);
    RETURN stage;
END
$$;
COMMENT ON FUNCTION strata._make_stage(regclass, name[]) IS
'Makes the temporary table that changes of a target are copied into: the columns with their types, strata_kept (places, from 1, of columns the change leaves as they are) and strata_deleted. Emptied at every commit. Returns its name.';

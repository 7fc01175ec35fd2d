-- Looks a managed table up, or says what to type.
CREATE FUNCTION strata._event_table(relation regclass) RETURNS strata._event_tables
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event_table strata._event_tables;
BEGIN
    SELECT t.* INTO event_table FROM strata._event_tables t WHERE t.relation = _event_table.relation;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'ST001',
            MESSAGE = format('%s is not an event table', relation),
            DETAIL = 'The catalog of pg_strata has no entry for it.',
            HINT = format('Run: SELECT strata.create_event_table(%L, ''<time column>''); strata.event_tables lists what there is.', relation::text);
    END IF;
    RETURN event_table;
END
$$;
REVOKE ALL ON FUNCTION strata._event_table(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._event_table(regclass) IS 'The catalog row of an event table; ST001 if it is not one.';

CREATE FUNCTION strata._owner(relation regclass) RETURNS regrole
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT c.relowner::regrole FROM pg_class c WHERE c.oid = relation $$;
COMMENT ON FUNCTION strata._owner(regclass) IS 'The role that owns a relation.';

CREATE FUNCTION strata._schema(relation regclass) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT c.relnamespace::regnamespace::text FROM pg_class c WHERE c.oid = relation $$;
COMMENT ON FUNCTION strata._schema(regclass) IS 'The schema of a relation, quoted where needed.';

-- The one owner of this fact is the partition key itself, so that renames reach it.
CREATE FUNCTION strata._time_column(relation regclass) RETURNS name
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.attname
    FROM pg_partitioned_table p
    JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partrelid = relation
$$;
COMMENT ON FUNCTION strata._time_column(regclass) IS 'The column an event table is partitioned by.';

CREATE FUNCTION strata._with_suffix(base name, suffix text, namespace oid) RETURNS name
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    candidate text;
    attempt int := 0;
BEGIN
    LOOP
        candidate := suffix || CASE WHEN attempt = 0 THEN '' ELSE attempt::text END;
        -- cut the base by characters until base and suffix fit into an identifier's bytes
        FOR keep IN REVERSE length(base::text) .. 0 LOOP
            CONTINUE WHEN octet_length(left(base::text, keep)) + octet_length(candidate) > 63;
            candidate := left(base::text, keep) || candidate;
            EXIT;
        END LOOP;
        EXIT WHEN NOT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = namespace AND c.relname = candidate)
            AND NOT EXISTS (SELECT FROM pg_proc f WHERE f.pronamespace = namespace AND f.proname = candidate);
        attempt := attempt + 1;
    END LOOP;
    RETURN candidate;
END
$$;
COMMENT ON FUNCTION strata._with_suffix(name, text, oid) IS 'A free name in a schema: base and suffix, the base cut to fit 63 bytes.';

-- While rows are moved into a new event table it has a name of its own; what belongs to it is named for good at once.
CREATE FUNCTION strata._base_name(relation regclass) RETURNS name
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.relname FROM pg_class c
    WHERE c.oid = coalesce((SELECT v.relation FROM strata._conversions v WHERE v.shadow = _base_name.relation), _base_name.relation)
$$;
REVOKE ALL ON FUNCTION strata._base_name(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._base_name(regclass) IS 'The name that names of partitions, sequence and functions of an event table begin with.';

-- What can become an event table, and what to type where something is in the way.

CREATE FUNCTION strata._refuse_conversion(relation regclass, detail text, hint text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'ST002',
        MESSAGE = format('cannot make %s an event table', relation),
        DETAIL = detail,
        HINT = hint;
END
$$;
REVOKE ALL ON FUNCTION strata._refuse_conversion(regclass, text, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._refuse_conversion(regclass, text, text) IS 'Raises ST002, the error of create_event_table for tables it does not take.';

CREATE FUNCTION strata._check_convertible(relation regclass, time_column name) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    class pg_class;
    col pg_attribute;
    batch_type regtype;
BEGIN
    SELECT c.* INTO class FROM pg_class c WHERE c.oid = relation;
    IF class.relkind NOT IN ('r', 'p') THEN
        PERFORM strata._refuse_conversion(relation, 'It is not a table.', 'Name an ordinary or a partitioned table.');
    ELSIF class.relpersistence <> 'p' THEN
        PERFORM strata._refuse_conversion(relation, 'It is a temporary or unlogged table.', format('Run: ALTER TABLE %s SET LOGGED;', relation));
    ELSIF class.relispartition OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = relation)
        OR (class.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = relation))
    THEN
        PERFORM strata._refuse_conversion(relation, 'It is a partition of another table, or part of an inheritance tree.', 'Name the partitioned table itself.');
    END IF;
    SELECT a.* INTO col FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attname = time_column AND a.attnum > 0 AND NOT a.attisdropped;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = '42703',
            MESSAGE = format('column %I of %s does not exist', time_column, relation),
            DETAIL = format('Columns that could be: %s.', coalesce((
                SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
                WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
                  AND a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype, 'uuid'::regtype)), 'none')),
            HINT = 'Name the column that holds the time of the event.';
    ELSIF col.atttypid NOT IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype, 'uuid'::regtype) THEN
        PERFORM strata._refuse_conversion(relation,
            format('Column %I is of type %s; it takes timestamptz, timestamp, date, or uuid (version 7).', time_column, format_type(col.atttypid, col.atttypmod)),
            format('Run: ALTER TABLE %s ALTER COLUMN %I TYPE timestamptz USING <an expression of it>;', relation, time_column));
    END IF;
    batch_type := (SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = 'batch_id' AND NOT a.attisdropped);
    IF batch_type <> 'bigint'::regtype THEN
        PERFORM strata._refuse_conversion(relation, format('Its column batch_id is of type %s; it is needed for the batch ledger as bigint.', batch_type),
            format('Run: ALTER TABLE %s RENAME COLUMN batch_id TO <another name>;', relation));
    END IF;
    IF class.relkind = 'p' THEN
        PERFORM strata._check_partitioned(relation, col.attnum);
    ELSE
        PERFORM strata._check_ordinary(relation, col.attnum);
    END IF;
    PERFORM strata._check_keys(relation, col.attnum, time_column);
END
$$;
REVOKE ALL ON FUNCTION strata._check_convertible(regclass, name) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_convertible(regclass, name) IS 'Says why a table cannot become an event table: ST002 with what to type.';

-- Finds the list of columns, the first thing in parentheses, whatever quotes, brackets and literals it holds.
CREATE FUNCTION strata._with_key_column(definition text, column_name name) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    depth int := 0;
    quoted text;
    letter text;
BEGIN
    FOR place IN 1 .. length(definition) LOOP
        letter := substr(definition, place, 1);
        IF quoted IS NOT NULL THEN
            quoted := nullif(quoted, letter);
        ELSIF letter IN ('"', '''') THEN
            quoted := letter;
        ELSIF letter = '(' THEN
            depth := depth + 1;
        ELSIF letter = ')' THEN
            depth := depth - 1;
            IF depth = 0 THEN
                RETURN left(definition, place - 1) || ', ' || quote_ident(column_name) || substr(definition, place);
            END IF;
        END IF;
    END LOOP;
    RETURN definition;
END
$$;
COMMENT ON FUNCTION strata._with_key_column(text, name) IS 'The definition of a key or index with one more column.';

CREATE FUNCTION strata._check_keys(relation regclass, time_attnum smallint, time_column name) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key record;
BEGIN
    FOR key IN
        SELECT i.indexrelid::regclass AS index_name, pg_get_indexdef(i.indexrelid) AS definition, i.indisunique,
               k.conname, k.contype, pg_get_constraintdef(k.oid) AS constraint_definition
        FROM pg_index i LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = relation AND k.contype IN ('p', 'u', 'x')
        WHERE i.indrelid = relation AND (i.indisunique OR i.indisexclusion)
        ORDER BY i.indexrelid
    LOOP
        IF key.contype = 'x' AND current_setting('server_version_num')::int < 170000 THEN
            PERFORM strata._refuse_conversion(relation,
                format('It has the exclusion constraint %I, which partitioned tables cannot have before PostgreSQL 17.', key.conname),
                format('Run: ALTER TABLE %s DROP CONSTRAINT %I;', relation, key.conname));
        ELSIF NOT time_attnum = ANY (ARRAY(
            SELECT unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) FROM pg_index i WHERE i.indexrelid = key.index_name))
        THEN
            PERFORM strata._refuse_conversion(relation,
                format('%s %s does not contain %I; on a partitioned table every unique key must contain the partition key.',
                    CASE WHEN key.conname IS NULL THEN 'Unique index' ELSE 'Constraint' END,
                    CASE WHEN key.conname IS NULL THEN key.index_name::text ELSE quote_ident(key.conname) END, time_column),
                CASE WHEN key.conname IS NULL
                    THEN format('Run: DROP INDEX %s; %s;', key.index_name, strata._with_key_column(key.definition, time_column))
                    ELSE format('Run: ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s;', relation, key.conname, key.conname,
                        strata._with_key_column(key.constraint_definition, time_column)) END);
        END IF;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._check_keys(regclass, smallint, name) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_keys(regclass, smallint, name) IS
'Refuses a table with a unique key that lacks the time column: ST002, the hint shows the key with it.';

CREATE FUNCTION strata._check_partitioned(relation regclass, time_attnum smallint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partitioned pg_partitioned_table;
BEGIN
    SELECT p.* INTO partitioned FROM pg_partitioned_table p WHERE p.partrelid = relation;
    IF partitioned.partstrat <> 'r' OR partitioned.partnatts <> 1 OR partitioned.partattrs[0] <> time_attnum THEN
        PERFORM strata._refuse_conversion(relation, 'It is partitioned, but not by RANGE of its time column alone.',
            'Event tables are partitioned by RANGE (<time column>).');
    ELSIF partitioned.partdefid <> 0 THEN
        PERFORM strata._refuse_conversion(relation,
            format('It has a default partition, %s, which blocks detaching and making partitions.', partitioned.partdefid::regclass),
            format('Move its rows out and run: ALTER TABLE %s DETACH PARTITION %s;', relation, partitioned.partdefid::regclass));
    END IF;
    PERFORM strata._check_leaves(relation);
END
$$;
REVOKE ALL ON FUNCTION strata._check_partitioned(regclass, smallint) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_partitioned(regclass, smallint) IS 'Says why a partitioned table cannot become an event table.';

-- One level of partitions, each an ordinary table or hash-partitioned once more.
CREATE FUNCTION strata._check_leaves(relation regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    leaf record;
BEGIN
    FOR leaf IN
        SELECT c.oid::regclass AS partition, c.relkind, c.relpersistence, i.inhdetachpending, i.inhparent::regclass AS parent,
               1 AS level, p.partstrat, c.relowner::regrole AS owner
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid LEFT JOIN pg_partitioned_table p ON p.partrelid = c.oid
        WHERE i.inhparent = relation
        UNION ALL
        SELECT c.oid, c.relkind, c.relpersistence, s.inhdetachpending, s.inhparent, 2, p.partstrat, c.relowner
        FROM pg_inherits i JOIN pg_inherits s ON s.inhparent = i.inhrelid
        JOIN pg_class c ON c.oid = s.inhrelid LEFT JOIN pg_partitioned_table p ON p.partrelid = c.oid
        WHERE i.inhparent = relation
        ORDER BY 6, 1
    LOOP
        IF leaf.inhdetachpending THEN
            PERFORM strata._refuse_conversion(relation, format('The detaching of its partition %s has not been finished.', leaf.partition),
                format('Run: ALTER TABLE %s DETACH PARTITION %s FINALIZE;', leaf.parent, leaf.partition));
        ELSIF leaf.relkind NOT IN ('r', 'p') THEN
            PERFORM strata._refuse_conversion(relation, format('Its partition %s is a foreign table.', leaf.partition),
                format('Run: ALTER TABLE %s DETACH PARTITION %s;', leaf.parent, leaf.partition));
        ELSIF leaf.relpersistence <> 'p' THEN
            PERFORM strata._refuse_conversion(relation, format('Its partition %s is unlogged: a crash would empty it.', leaf.partition),
                format('Run: ALTER TABLE %s SET LOGGED;', leaf.partition));
        ELSIF leaf.relkind = 'p' AND (leaf.level = 2 OR leaf.partstrat <> 'h') THEN
            PERFORM strata._refuse_conversion(relation,
                format('Its partition %s is partitioned once more; only one level below, by HASH, is taken.', leaf.partition),
                format('Run: ALTER TABLE %s DETACH PARTITION %s; and move its rows into a partition that is an ordinary table.', leaf.parent, leaf.partition));
        ELSIF leaf.owner <> strata._owner(relation) THEN
            PERFORM strata._refuse_conversion(relation, format('Its partition %s belongs to role %s.', leaf.partition, leaf.owner),
                format('Run: ALTER TABLE %s OWNER TO %s;', leaf.partition, strata._owner(relation)));
        END IF;
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._check_leaves(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._check_leaves(regclass) IS 'Says why the partitions a table has cannot be those of an event table.';

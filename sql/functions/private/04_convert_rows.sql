-- Moving rows from an ordinary table into its partitioned twin.

CREATE FUNCTION strata._partitions_converted_max() RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT 10000 $$;
COMMENT ON FUNCTION strata._partitions_converted_max() IS 'Bound on the partitions that the rows of a converted table may need.';

-- Which partitions the rows of a table need. Row security must fail here rather than hide rows.
CREATE FUNCTION strata._survey_rows(relation regclass, event_table strata._event_tables, condition text, OUT row_count bigint, OUT lowers timestamptz[])
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET row_security = off
AS $$
DECLARE
    time_column text := quote_ident(strata._time_column(event_table.relation));
    is_uuid boolean := event_table.time_type = 'uuid'::regtype;
    placeable text := format(CASE WHEN is_uuid THEN 'substr(%s::text, 15, 1) = ''7''' ELSE 'isfinite(%s)' END, time_column);
    survey jsonb;
BEGIN
    survey := strata._execute_as(strata._owner(relation), format(
        'WITH placed AS (SELECT CASE WHEN %s THEN strata.time_bucket(%L::interval, %s, %L) END AS lower, count(*) AS n FROM ONLY %s e%s GROUP BY 1) '
        'SELECT jsonb_build_object(''rows'', coalesce(sum(n), 0), ''unplaceable'', coalesce(sum(n) FILTER (WHERE lower IS NULL), 0), ''partitions'', count(lower), '
        '''lowers'', (SELECT jsonb_agg(l.lower) FROM (SELECT lower FROM placed WHERE lower IS NOT NULL ORDER BY lower LIMIT %s) l)) FROM placed',
        placeable, event_table.partition_interval, strata._time_value(event_table.time_type, time_column), strata._axis_zone(event_table),
        relation, condition, strata._partitions_converted_max()))::jsonb;
    IF (survey ->> 'unplaceable')::bigint > 0 THEN
        PERFORM strata._refuse_conversion(relation,
            format('%s of its rows belong into no partition: %s is NULL%s.', survey ->> 'unplaceable', time_column,
                CASE WHEN is_uuid THEN ' or no UUID of version 7' ELSE ' or infinite' END),
            format('Give them a time, or run: DELETE FROM %s WHERE (%s) IS NOT TRUE;', relation, placeable));
    ELSIF (survey ->> 'partitions')::int > strata._partitions_converted_max() THEN
        PERFORM strata._refuse_conversion(relation,
            format('Its rows need %s partitions of %s; %s are made at most.', survey ->> 'partitions', event_table.partition_interval, strata._partitions_converted_max()),
            'Choose a longer partition_interval.');
    END IF;
    row_count := (survey ->> 'rows')::bigint;
    lowers := ARRAY(SELECT l.value::timestamptz FROM jsonb_array_elements_text(nullif(survey -> 'lowers', 'null')) l ORDER BY 1);
END
$$;
REVOKE ALL ON FUNCTION strata._survey_rows(regclass, strata._event_tables, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._survey_rows(regclass, strata._event_tables, text) IS
'Counts the rows of a table and finds the lower bounds of the partitions they need; ST002 for rows without a time, or too many partitions.';

CREATE FUNCTION strata._make_partitions_at(event_table strata._event_tables, lowers timestamptz[]) RETURNS int
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing timestamptz[] := ARRAY(
        SELECT l.lower FROM unnest(lowers) l (lower)
        WHERE NOT EXISTS (SELECT FROM strata._leaves(event_table.relation) p WHERE p.lower = l.lower) ORDER BY 1);
    missing_lower timestamptz;
BEGIN
    IF cardinality(missing) > 0 THEN
        PERFORM FROM strata._event_tables t WHERE t.table_id = event_table.table_id FOR NO KEY UPDATE;
        FOREACH missing_lower IN ARRAY missing LOOP
            -- (another maker may have been faster)
            CONTINUE WHEN EXISTS (SELECT FROM strata._leaves(event_table.relation) p WHERE p.lower = missing_lower);
            PERFORM strata._create_partition(event_table, missing_lower, strata._partition_upper(event_table, missing_lower));
        END LOOP;
    END IF;
    RETURN cardinality(missing);
END
$$;
REVOKE ALL ON FUNCTION strata._make_partitions_at(strata._event_tables, timestamptz[]) FROM PUBLIC;
COMMENT ON FUNCTION strata._make_partitions_at(strata._event_tables, timestamptz[]) IS
'Makes those partitions with the given lower bounds that are missing, whatever the accepted window.';

CREATE FUNCTION strata._copied_columns(relation regclass) RETURNS SETOF name
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.attname FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attname <> 'batch_id'
    ORDER BY a.attnum
$$;
COMMENT ON FUNCTION strata._copied_columns(regclass) IS 'The columns that rows are moved with: neither generated ones nor the batch.';

-- Rows go in as one batch of this transaction. suffix: where the rows are, and how they are locked.
CREATE FUNCTION strata._copy_rows(relation regclass, event_table strata._event_tables, suffix text, on_conflict text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET row_security = off
AS $$
DECLARE
    columns text := (SELECT string_agg(quote_ident(c), ', ') FROM strata._copied_columns(relation) c);
    batch bigint;
    extent record;
BEGIN
    PERFORM strata._close_batch(event_table.relation);
    PERFORM strata._execute_as(strata._owner(relation), format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM ONLY %s e%s%s',
        event_table.relation, columns, columns, relation, suffix, on_conflict));
    SELECT e.* INTO extent FROM strata._batch_extent(event_table.relation) e;
    IF extent.row_count > 0 THEN
        batch := pg_sequence_last_value(event_table.batch_sequence);
        UPDATE strata._batches b SET row_count = extent.row_count, lower_time = extent.lower_time, upper_time = extent.upper_time
        WHERE b.table_id = event_table.table_id AND b.batch_id = batch;
    END IF;
    PERFORM strata._close_batch(event_table.relation);
    RETURN coalesce(extent.row_count, 0);
END
$$;
REVOKE ALL ON FUNCTION strata._copy_rows(regclass, strata._event_tables, text, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._copy_rows(regclass, strata._event_tables, text, text) IS
'Copies rows of a table into its twin, as a batch of their own; returns how many.';

-- What the twin cannot learn from LIKE goes with the settings.
CREATE FUNCTION strata._settings_of_twin(relation regclass, settings jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT settings || jsonb_build_object('storage_options', strata._storage_options(relation), 'access_method', m.amname)
    FROM pg_class c JOIN pg_am m ON m.oid = c.relam WHERE c.oid = relation
$$;
COMMENT ON FUNCTION strata._settings_of_twin(regclass, jsonb) IS 'Settings with the storage parameters and the access method of a table.';

CREATE FUNCTION strata._convert_whole(relation regclass, settings jsonb) RETURNS regclass
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(relation);
    is_forced boolean := (SELECT c.relforcerowsecurity FROM pg_class c WHERE c.oid = relation);
    shadow regclass;
    event_table strata._event_tables;
    survey record;
    moved bigint;
BEGIN
    IF is_forced THEN
        PERFORM strata._execute_as(owner, format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', relation));
    END IF;
    shadow := strata._make_shadow(relation, (settings ->> 'time_column')::name);
    INSERT INTO strata._conversions (relation, shadow, settings, state) VALUES (relation, shadow, settings, 'copying');
    event_table := strata._register_event_table(shadow, strata._settings_of_twin(relation, settings));
    SELECT s.* INTO survey FROM strata._survey_rows(relation, event_table, '') s;
    PERFORM strata._make_partitions_at(event_table, survey.lowers);
    moved := strata._copy_rows(relation, event_table, '', '');
    PERFORM strata._swap_in(relation, shadow, false);
    DELETE FROM strata._conversions c WHERE c.relation = _convert_whole.relation;
    IF is_forced THEN
        PERFORM strata._execute_as(owner, format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', shadow));
    END IF;
    IF moved > 0 THEN
        RAISE NOTICE 'moved % rows of % into % partitions', moved, shadow, cardinality(survey.lowers);
    END IF;
    PERFORM strata._note_publications(shadow);
    RETURN shadow;
END
$$;
REVOKE ALL ON FUNCTION strata._convert_whole(regclass, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION strata._convert_whole(regclass, jsonb) IS
'Makes an ordinary table an event table within this transaction, rows and all; returns the event table, which has the name of the old one.';

CREATE FUNCTION strata._note_publications(relation regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    publication name;
BEGIN
    FOR publication IN
        SELECT p.pubname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
        WHERE r.prrelid = relation AND (NOT p.pubviaroot OR r.prattrs IS NULL) ORDER BY 1
    LOOP
        RAISE NOTICE USING
            MESSAGE = format('publication %I now sends column batch_id of %s, and its changes under the names of partitions unless it publishes via the root', publication, relation),
            HINT = format('Run: ALTER PUBLICATION %1$I SET (publish_via_partition_root = true); and: ALTER PUBLICATION %1$I SET TABLE %2$s (<columns without batch_id>);', publication, relation);
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._note_publications(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._note_publications(regclass) IS 'Says what subscribers of a new event table will meet.';

-- The reader of a rollup: its exact view as a function of what is pending and what is marked, for strata.rollup_lookup.
-- The view has to find that out by itself while it runs, so its plan holds, and locks, every leaf of the event table. Given
-- as constants the same conditions leave out leaves while planning: all of them, if nothing is pending. The body is
-- parsed when it is made, as a view's is, so that renames reach it; PostgreSQL inlines it.
-- Where there is nothing the times are bounds in the wrong order, never NULL: a condition that is false as a whole stands at a
-- join, too high to leave out leaves.
-- $1 retained_from, $2 pending batches, $3 and $4 lowest and highest event time of theirs, $5 whether groups are marked,
-- $6 and $7 event times that the groups to be recomputed lie between, $8 kept_from (of parts, kept is none of it: that
-- would have retained_from there, and no frozen group would be shown).
CREATE FUNCTION strata._reader_sql(rollup strata._rollups) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts strata._rollup_parts := strata._rollup_parts(rollup, '$1');
    time_type regtype := (SELECT t.time_type FROM strata._event_tables t WHERE t.table_id = rollup.table_id);
    pending_rows text := strata._pending_rows(rollup, parts, 'e.batch_id < coalesce(upper($2), 0) AND e.batch_id <@ $2', 'coalesce(lower($2), 0)', '$3', '$4');
    marked text := format('SELECT DISTINCT %s FROM %s d WHERE $5 AND %s', parts.groups, parts.dirty, parts.live);
    touched text := CASE WHEN parts.recomputes THEN format('%s UNION SELECT %s FROM %s', marked, parts.aliased_groups, pending_rows) ELSE marked END;
    groups text := (SELECT string_agg('u.' || quote_ident(d.column_name), ', ' ORDER BY d.ordinal)
                    FROM strata._definition_columns(rollup.definition) d WHERE d.aggregate IS NULL);
    arms text[];
BEGIN
    arms := ARRAY[
        format('SELECT %s, %s FROM %s s WHERE NOT EXISTS (SELECT FROM %s d WHERE $5 AND %s AND %s)', parts.groups, parts.states, parts.storage,
            parts.dirty, parts.live, parts.storage_match)
            || ' AND s.bucket >= ' || strata._time_at(strata._bucket_type(time_type), '$8', false)
            || CASE WHEN parts.recomputes THEN format(' AND NOT EXISTS (SELECT FROM (SELECT %s FROM %s) d WHERE %s)',
                parts.aliased_groups, pending_rows, parts.storage_match) ELSE '' END,
        format('SELECT %1$s, %2$s FROM (%3$s) d JOIN %4$s e ON %5$s WHERE %6$s AND %7$s >= %8$s AND %7$s <= %9$s GROUP BY %1$s',
            replace(groups, 'u.', 'd.'), parts.partials, touched, parts.source, parts.source_match, parts.counted,
            parts.event_time, strata._time_at(time_type, '$6', false), strata._time_at(time_type, '$7', true))];
    IF NOT parts.recomputes THEN
        arms := arms || format('SELECT %1$s, %2$s FROM (SELECT %3$s, %4$s FROM %5$s GROUP BY %6$s) p WHERE NOT EXISTS (SELECT FROM %7$s d WHERE $5 AND %8$s AND %9$s)',
            parts.groups, parts.states, parts.aliased_groups, parts.partials, pending_rows, parts.ordinals, parts.dirty, parts.live, parts.delta_match);
    END IF;
    RETURN format('SELECT %s, %s FROM (%s) u%s', groups, strata._rollup_outputs(rollup.definition, NOT parts.recomputes),
        array_to_string(arms, ' UNION ALL '), CASE WHEN parts.recomputes THEN '' ELSE ' GROUP BY ' || groups END);
END
$$;
REVOKE ALL ON FUNCTION strata._reader_sql(strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._reader_sql(strata._rollups) IS 'The query of a rollup''s reader.';

-- The readers of a rollup are two functions of one name: of kept_from alone what is stored, which is all there is to read while
-- nothing is pending or marked. They are found by what they depend on, for ids of functions survive neither dump nor
-- pg_upgrade; strata._lookup has the same condition.
CREATE FUNCTION strata._readers(storage regclass) RETURNS SETOF regprocedure
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT p.oid::regprocedure
    FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = storage AND d.classid = 'pg_proc'::regclass
      AND obj_description(p.oid, 'pg_proc') = 'pg_strata: what rollup_lookup reads' AND p.proretset
$$;
REVOKE ALL ON FUNCTION strata._readers(regclass) FROM PUBLIC;
COMMENT ON FUNCTION strata._readers(regclass) IS 'The readers of the rollup with that storage; fewer than two if one was dropped.';

CREATE FUNCTION strata._make_readers(rollup strata._rollups) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(rollup.storage);
    reader record;
    -- Names of nobody else, and all of them named: pg_dump writes an argument without a name as "" where others have one.
    columns text := (SELECT string_agg(format('c%s %s', a.attnum, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
                     FROM pg_attribute a WHERE a.attrelid = rollup.rollup AND a.attnum > 0 AND NOT a.attisdropped);
BEGIN
    PERFORM strata._drop_readers(rollup);
    FOR reader IN
        SELECT format('%s.%I(%s)', c.relnamespace::regnamespace, c.name, r.arguments) AS name, r.query
        FROM (SELECT c.relnamespace, strata._with_suffix(c.relname, '_reader', c.relnamespace) AS name FROM pg_class c WHERE c.oid = rollup.rollup) c,
             (VALUES ('p1 timestamptz, p2 int8multirange, p3 timestamptz, p4 timestamptz, p5 boolean, p6 timestamptz, p7 timestamptz, p8 timestamptz', strata._reader_sql(rollup)),
                     -- (it goes with event table and extension, as the other does: constants of these make it depend on them)
                     ('p1 timestamptz', format('%s AND %L::regclass IS NOT NULL AND ''strata._rollups''::regclass IS NOT NULL', strata._stored_sql(rollup, '$1'),
                         strata._relation(rollup.table_id)::text))) r (arguments, query)
    LOOP
        PERFORM strata._execute_as(owner, format('CREATE FUNCTION %s RETURNS TABLE (%s) LANGUAGE sql STABLE BEGIN ATOMIC %s; END', reader.name, columns, reader.query));
        PERFORM strata._execute_as(owner, format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', reader.name));
        PERFORM strata._execute_as(owner, format('COMMENT ON FUNCTION %s IS %L', reader.name, 'pg_strata: what rollup_lookup reads'));
    END LOOP;
    UPDATE strata._rollups r
    SET key_count = (SELECT count(*) FROM strata._definition_columns(rollup.definition) d WHERE d.aggregate IS NULL AND d.ordinal > 1)
    WHERE r.rollup_id = rollup.rollup_id;
END
$$;
REVOKE ALL ON FUNCTION strata._make_readers(strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._make_readers(strata._rollups) IS 'Makes the readers of a rollup, beside its view and named after it, in place of those it has.';

CREATE FUNCTION strata._stored_sql(rollup strata._rollups, kept_from text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('SELECT %s, %s FROM %s u WHERE u.bucket >= %s', string_agg('u.' || quote_ident(d.column_name), ', ' ORDER BY d.ordinal),
        strata._rollup_outputs((rollup).definition, false), (rollup).storage,
        (SELECT strata._time_at(strata._bucket_type(t.time_type), kept_from, false) FROM strata._event_tables t WHERE t.table_id = (rollup).table_id))
    FROM strata._definition_columns((rollup).definition) d WHERE d.aggregate IS NULL
$$;
REVOKE ALL ON FUNCTION strata._stored_sql(strata._rollups, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._stored_sql(strata._rollups, text) IS
'The query of what a rollup has stored, columns as the view''s. kept_from: what stands for it; groups below have been let go of and may still be there.';

CREATE FUNCTION strata._drop_readers(rollup strata._rollups) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reader record;
BEGIN
    -- (tables may have got another owner meanwhile)
    FOR reader IN SELECT f.name, p.proowner FROM strata._readers(rollup.storage) f (name) JOIN pg_proc p ON p.oid = f.name LOOP
        PERFORM strata._execute_as(reader.proowner::regrole, format('DROP FUNCTION %s', reader.name));
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._drop_readers(strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._drop_readers(strata._rollups) IS 'Drops the readers of a rollup.';

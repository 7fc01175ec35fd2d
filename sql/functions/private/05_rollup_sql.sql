-- The statements of a rollup, made from its definition view at each use. A group is exact in one of four ways: as stored
-- plus what pending batches add; recomputed from the rows, where it is dirty; computed from the rows, where the backfill
-- has not come yet (below filled_from); or frozen as stored, below retained_from. Below kept_from there are none.

-- What the statements are put together from, as text.
CREATE TYPE strata._rollup_parts AS (
    groups text,                -- bucket, k1, k2
    aliased_groups text,        -- time_bucket(…) AS bucket, e.k1 AS k1, …
    ordinals text,              -- 1, 2, 3
    states text,                -- n, _avg_3_sum
    partials text,              -- count(*) AS n, …
    source text,                -- the event table
    storage text,
    dirty text,
    event_time text,            -- e.ts
    counted text,               -- conditions on rows e that count at all: not frozen, and the rollup's filter
    live text,                  -- condition on groups d that are neither frozen nor waiting for the backfill
    filled_from text,           -- the place from where on storage is filled, in the type of the time column …
    filled_bucket text,         -- … and of buckets
    frozen_bucket text,         -- the bucket below which groups are frozen
    kept text,                  -- condition on stored groups s that are shown; NULL where all are
    storage_match text,         -- s and d are the same group
    delta_match text,           -- p and d are
    source_match text,          -- row e belongs to group d
    recomputes boolean
);

CREATE FUNCTION strata._rollup_parts(rollup strata._rollups, state text DEFAULT NULL) RETURNS strata._rollup_parts
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    definition regclass := rollup.definition;
    source regclass := strata._relation(rollup.table_id);
    event_time text := 'e.' || quote_ident(strata._time_column(source));
    time_type regtype := (SELECT t.time_type FROM strata._event_tables t WHERE t.table_id = rollup.table_id);
    bucket_type regtype := strata._bucket_type(time_type);
    state_row text := coalesce(state, format('(SELECT %%s FROM strata._rollup_state WHERE rollup_id = %s)', rollup.rollup_id));
    live_from text := strata._time_at(bucket_type, format(state_row, 'greatest(retained_from, filled_from)'), false);
    span text := quote_literal(strata._bucket_span(rollup.bucket, rollup.timezone)) || '::interval';
    parts strata._rollup_parts;
BEGIN
    SELECT string_agg(quote_ident(d.column_name), ', ' ORDER BY d.ordinal),
           string_agg(format('%s AS %I', d.expression, d.column_name), ', ' ORDER BY d.ordinal),
           string_agg(d.place::text, ', ' ORDER BY d.ordinal),
           s.states, s.partials, source::text, rollup.storage::text, rollup.dirty::text, event_time,
           format('%s >= %s', event_time, strata._time_at(time_type, format(state_row, 'retained_from'), false))
               || coalesce(' AND (' || strata._definition_filter(definition) || ')', ''),
           'd.bucket >= ' || live_from,
           strata._time_at(time_type, format(state_row, 'filled_from'), false),
           strata._time_at(bucket_type, format(state_row, 'filled_from'), false),
           strata._time_at(bucket_type, format(state_row, 'retained_from'), false),
           CASE WHEN strata._begins(rollup) THEN 's.bucket >= ' || strata._time_at(bucket_type, format(state_row, 'kept_from'), false) END,
           's.bucket = d.bucket AND ' || strata._key_match(definition, source, 's', 'd'),
           'p.bucket = d.bucket AND ' || strata._key_match(definition, source, 'p', 'd'),
           format('%s = d.bucket AND %s AND %s >= %s AND %s <= %s', min(d.expression) FILTER (WHERE d.ordinal = 1),
               strata._key_match(definition, source, 'e', 'd'), event_time, strata._time_at_bucket(time_type, 'd.bucket', false),
               event_time, strata._time_at_bucket(time_type, 'd.bucket + ' || span, true)),
           strata._recomputes(definition)
    INTO parts
    FROM (SELECT c.*, row_number() OVER (ORDER BY c.ordinal) AS place FROM strata._definition_columns(definition) c WHERE c.aggregate IS NULL) d,
         (SELECT string_agg(quote_ident(r.state), ', ' ORDER BY r.ordinal, r.state) AS states,
                 string_agg(format('%s AS %I', r.partial, r.state), ', ' ORDER BY r.ordinal, r.state) AS partials
          FROM strata._rollup_states(definition) r) s
    GROUP BY s.states, s.partials;
    RETURN parts;
END
$$;
REVOKE ALL ON FUNCTION strata._rollup_parts(strata._rollups, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._rollup_parts(strata._rollups, text) IS
'The pieces that the statements of a rollup are put together from. state: what stands for retained_from and filled_from, if not a look at the catalog.';

CREATE FUNCTION strata._pending_rows(rollup strata._rollups, parts strata._rollup_parts, batches text, lowest text, lower_time text, upper_time text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%s e WHERE %s AND %s >= %s AND e.batch_id >= %s AND %s AND %s >= %s AND %s <= %s',
        (parts).source, (parts).counted, (parts).event_time, (parts).filled_from, lowest, batches,
        (parts).event_time, strata._time_at(t.time_type, lower_time, false), (parts).event_time, strata._time_at(t.time_type, upper_time, true))
    FROM strata._event_tables t WHERE t.table_id = (rollup).table_id
$$;
REVOKE ALL ON FUNCTION strata._pending_rows(strata._rollups, strata._rollup_parts, text, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._pending_rows(strata._rollups, strata._rollup_parts, text, text, text, text) IS
'FROM and WHERE of the rows e that pending batches have put where storage is filled; lowest batch and times let the planner leave out what cannot have any.';

CREATE FUNCTION strata._recomputed(rollup strata._rollups, parts strata._rollup_parts, touched text, low text DEFAULT NULL, high text DEFAULT NULL) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('SELECT %1$s, %2$s FROM (%3$s) d JOIN %4$s e ON %5$s WHERE %6$s AND %7$s >= %8$s AND %7$s <= %9$s GROUP BY %1$s',
        (SELECT string_agg('d.' || quote_ident(d.column_name), ', ' ORDER BY d.ordinal)
         FROM strata._definition_columns((rollup).definition) d WHERE d.aggregate IS NULL),
        (parts).partials, touched, (parts).source, (parts).source_match, (parts).counted, (parts).event_time,
        coalesce(strata._time_at(t.time_type, low, false), strata._time_at_bucket(t.time_type, format('(SELECT min(bucket) FROM (%s) b)', touched), false)),
        coalesce(strata._time_at(t.time_type, high, true), strata._time_at_bucket(t.time_type, format('(SELECT max(bucket) + %L::interval FROM (%s) b)',
            strata._bucket_span((rollup).bucket, (rollup).timezone), touched), true)))
    FROM strata._event_tables t WHERE t.table_id = (rollup).table_id
$$;
REVOKE ALL ON FUNCTION strata._recomputed(strata._rollups, strata._rollup_parts, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION strata._recomputed(strata._rollups, strata._rollup_parts, text, text, text) IS
'The query that recomputes groups from the rows. touched: a query of the groups, read more than once. low, high: places that their rows lie between, where they are known beforehand.';

CREATE FUNCTION strata._is_filling(rollup strata._rollups) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT p.filled_from > '-infinity' FROM strata._rollup_progress p WHERE p.rollup_id = (rollup).rollup_id $$;
REVOKE ALL ON FUNCTION strata._is_filling(strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._is_filling(strata._rollups) IS 'Whether a rollup''s backfill has some way to go.';

CREATE FUNCTION strata._view_arms(rollup strata._rollups, parts strata._rollup_parts) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pending_range text := format('(SELECT %%s FROM strata._pending_range WHERE rollup_id = %s)', rollup.rollup_id);
    pending_rows text := strata._pending_rows(rollup, parts,
        format('e.batch_id = ANY (ARRAY(SELECT batch_id FROM strata._pending_batches WHERE rollup_id = %s))', rollup.rollup_id),
        format(pending_range, 'lower_batch'), format(pending_range, 'lower_time'), format(pending_range, 'upper_time'));
    marked text := format('SELECT DISTINCT %s FROM %s d WHERE %s', parts.groups, parts.dirty, parts.live);
    touched text := CASE WHEN parts.recomputes THEN format('%s UNION SELECT %s FROM %s', marked, parts.aliased_groups, pending_rows) ELSE marked END;
    arms text[];
BEGIN
    arms := ARRAY[
        -- an anti-join with the plain table of marks where they are all there is
        format('SELECT %s, %s FROM %s s WHERE NOT EXISTS (SELECT FROM %s d WHERE %s AND %s)', parts.groups, parts.states, parts.storage,
            CASE WHEN parts.recomputes THEN format('(%s)', touched) ELSE parts.dirty END, parts.live, parts.storage_match)
            || coalesce(' AND ' || parts.kept, ''),
        format('SELECT %s, %s FROM (%s) r', parts.groups, parts.states, strata._recomputed(rollup, parts, touched))];
    IF NOT parts.recomputes THEN
        arms := arms || format('SELECT %1$s, %2$s FROM (SELECT %3$s, %4$s FROM %5$s GROUP BY %6$s) p WHERE NOT EXISTS (SELECT FROM %7$s d WHERE %8$s AND %9$s)',
            parts.groups, parts.states, parts.aliased_groups, parts.partials, pending_rows, parts.ordinals, parts.dirty, parts.live, parts.delta_match);
    END IF;
    IF strata._is_filling(rollup) THEN
        -- what is frozen stays stored while the rest is filled again
        arms[1] := arms[1] || format(' AND (s.bucket >= %s OR s.bucket < %s)', parts.filled_bucket, parts.frozen_bucket);
        arms := arms || format('SELECT %s, %s FROM %s e WHERE %s AND %s < %s GROUP BY %s',
            parts.aliased_groups, parts.partials, parts.source, parts.counted, parts.event_time, parts.filled_from, parts.ordinals);
    END IF;
    RETURN arms;
END
$$;
REVOKE ALL ON FUNCTION strata._view_arms(strata._rollups, strata._rollup_parts) FROM PUBLIC;
COMMENT ON FUNCTION strata._view_arms(strata._rollups, strata._rollup_parts) IS
'The queries of groups and states that together are exact; where nothing is recomputed a group may be in several of them.';

CREATE FUNCTION strata._view_sql(rollup strata._rollups) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts strata._rollup_parts := strata._rollup_parts(rollup);
    groups text := (SELECT string_agg('u.' || quote_ident(d.column_name), ', ' ORDER BY d.ordinal)
                    FROM strata._definition_columns(rollup.definition) d WHERE d.aggregate IS NULL);
BEGIN
    -- where every group comes from one arm alone nothing is merged
    RETURN format('SELECT %s, %s FROM (%s) u%s', groups, strata._rollup_outputs(rollup.definition, NOT parts.recomputes),
        array_to_string(strata._view_arms(rollup, parts), ' UNION ALL '), CASE WHEN parts.recomputes THEN '' ELSE ' GROUP BY ' || groups END);
END
$$;
REVOKE ALL ON FUNCTION strata._view_sql(strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._view_sql(strata._rollups) IS 'The query of a rollup''s exact view.';

-- Columns of the view may have been renamed; the definition keeps the names that were given at first.
CREATE FUNCTION strata._view_name(rollup strata._rollups) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%s (%s)', (rollup).rollup, string_agg(quote_ident(coalesce(a.attname, d.column_name)), ', ' ORDER BY d.ordinal))
    FROM strata._definition_columns((rollup).definition) d
    LEFT JOIN pg_attribute a ON a.attrelid = (rollup).rollup AND a.attnum = d.ordinal
$$;
REVOKE ALL ON FUNCTION strata._view_name(strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._view_name(strata._rollups) IS 'A rollup''s view with the names of its columns, as they stand between CREATE OR REPLACE VIEW and AS.';

CREATE FUNCTION strata._named_as_defined(rollup regclass) RETURNS text
    LANGUAGE sql STABLE STRICT SECURITY DEFINER
    -- permit: none needed, it only reads names
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%s AS q (%s)', r.rollup, string_agg(quote_ident(d.column_name), ', ' ORDER BY d.ordinal))
    FROM strata._rollups r CROSS JOIN LATERAL strata._definition_columns(r.definition) d
    WHERE r.rollup = _named_as_defined.rollup
    GROUP BY r.rollup
$$;
COMMENT ON FUNCTION strata._named_as_defined(regclass) IS 'A rollup as a source of rows q whose columns have the names of its definition.';

-- What a fold is about, told under its own snapshot before it is planned, so that its plan holds the partitions concerned and
-- no others, and locks no more. Columns, which are the parameters of the fold: lowest pending batch; the pending batches,
-- NULL if they are all from the lowest to the highest; lowest and highest event time of theirs; lowest and highest bucket of groups to be recomputed, and up to where their
-- rows may lie, as places on the axis; the horizon, at or below which ids are decided (its own parameter); highest pending
-- batch; whether there are pending rows to fold and nothing else. Bounds in the wrong order where there is nothing; the first
-- column is NULL if there is nothing at all (and always is not set).
CREATE FUNCTION strata._fold_bounds_sql(rollup strata._rollups, always boolean) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
    SELECT format(
        'SELECT CASE WHEN g.high_batch >= 0 OR g.marked OR %9$L THEN g.low_batch END, g.batches, g.lower_time, g.upper_time, g.low, g.high, '
            'g.high + %1$L::interval, $1, g.high_batch, NOT g.marked AND NOT %8$L AND NOT %9$L '
        'FROM (SELECT m.low IS NOT NULL AS marked, p.low_batch, p.high_batch, p.batches, p.lower_time, p.upper_time, '
            'coalesce(least(m.low, %2$s), ''infinity'') AS low, coalesce(greatest(m.high, %3$s), ''-infinity'') AS high '
        'FROM (SELECT coalesce(min(b.batch_id), 0) AS low_batch, coalesce(max(b.batch_id), -1) AS high_batch, '
            'CASE WHEN count(*) <= max(b.batch_id) - min(b.batch_id) THEN array_agg(b.batch_id) END AS batches, '
            'CASE WHEN bool_or(b.lower_time IS NULL) THEN ''-infinity'' ELSE coalesce(min(b.lower_time), ''infinity'') END AS lower_time, '
            'CASE WHEN bool_or(b.upper_time IS NULL) THEN ''infinity'' ELSE coalesce(max(b.upper_time), ''-infinity'') END AS upper_time '
            'FROM strata._pending_batches b WHERE b.rollup_id = %4$s) p, '
        '(SELECT %5$s AS low, %6$s AS high FROM %7$s d) m) g',
        strata._bucket_span((rollup).bucket, (rollup).timezone),
        CASE WHEN r.recomputes THEN format('p.lower_time - %L::interval', strata._bucket_span((rollup).bucket, (rollup).timezone)) ELSE 'NULL' END,
        CASE WHEN r.recomputes THEN 'p.upper_time' ELSE 'NULL' END,
        (rollup).rollup_id, strata._time_value(b.type, 'min(d.bucket)'), strata._time_value(b.type, 'max(d.bucket)'), (rollup).dirty, r.recomputes, always)
    FROM strata._event_tables t
    CROSS JOIN LATERAL (SELECT strata._bucket_type(t.time_type)) b (type)
    CROSS JOIN (SELECT strata._recomputes((rollup).definition)) r (recomputes)
    WHERE t.table_id = (rollup).table_id
$$;
REVOKE ALL ON FUNCTION strata._fold_bounds_sql(strata._rollups, boolean) FROM PUBLIC;
COMMENT ON FUNCTION strata._fold_bounds_sql(strata._rollups, boolean) IS 'The query whose columns are the parameters of the statement of _fold_sql.';

-- One statement, one snapshot: batches, marks and rows must be seen at the same instant. A mark whose batch id is not
-- decided yet is not drained: when that batch comes, the group must not be folded.
CREATE FUNCTION strata._fold_sql(rollup strata._rollups, many boolean, fill_from timestamptz DEFAULT NULL, plain boolean DEFAULT false) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
DECLARE
    parts strata._rollup_parts := strata._rollup_parts(rollup);
    pending_rows text := strata._pending_rows(rollup, parts,
        CASE WHEN many THEN 'e.batch_id IN (SELECT batch_id FROM pending)' ELSE 'e.batch_id <= $9 AND ($2 IS NULL OR e.batch_id = ANY ($2))' END, '$1', '$3', '$4');
    time_type regtype := (SELECT t.time_type FROM strata._event_tables t WHERE t.table_id = rollup.table_id);
    insertion text := format('INSERT INTO %s AS s (%s, %s) SELECT %s, %s FROM %%s ORDER BY %s ON CONFLICT (%s) DO UPDATE SET %%s',
        replace(parts.storage, '%', '%%'), replace(parts.groups, '%', '%%'), replace(parts.states, '%', '%%'),
        replace(parts.groups, '%', '%%'), replace(parts.states, '%', '%%'),
        replace(strata._storage_order(rollup.definition), '%', '%%'), replace(strata._conflict_target(rollup.definition), '%', '%%'));
    steps text[];
BEGIN
    steps := ARRAY[format('pending AS MATERIALIZED (SELECT batch_id, lower_time, upper_time FROM strata._pending_batches WHERE rollup_id = %s)', rollup.rollup_id)];
    IF NOT plain THEN
        steps := steps || ARRAY[
            format('drained AS (DELETE FROM %s d WHERE d.batch_id <= $8 OR d.batch_id <@ (SELECT folded FROM strata._rollup_state WHERE rollup_id = %s) OR d.batch_id IN (SELECT batch_id FROM pending))',
                parts.dirty, rollup.rollup_id),
            format('dirty AS MATERIALIZED (SELECT DISTINCT %s FROM %s d WHERE %s%s)', parts.groups, parts.dirty, parts.live,
                CASE WHEN parts.recomputes THEN format(' UNION SELECT %s FROM %s', parts.aliased_groups, pending_rows) ELSE '' END),
            format('recomputed AS MATERIALIZED (%s)', strata._recomputed(rollup, parts, 'SELECT * FROM dirty', '$5', '$7')),
            format('emptied AS (DELETE FROM %s s USING dirty d WHERE %s AND s.bucket >= %s AND s.bucket <= %s AND NOT EXISTS (SELECT FROM recomputed p WHERE %s))',
                parts.storage, parts.storage_match, strata._time_at(strata._bucket_type(time_type), '$5', false),
                strata._time_at(strata._bucket_type(time_type), '$6', true), parts.delta_match),
            format('replaced AS (%s)', format(insertion, 'recomputed',
                (SELECT string_agg(format('%1$I = EXCLUDED.%1$I', s.state), ', ') FROM strata._rollup_states(rollup.definition) s)))];
    END IF;
    IF NOT parts.recomputes THEN
        steps := steps || ARRAY[
            -- grouped in the order of the index: sorted once, and by what tells rows apart first
            format('delta AS (SELECT * FROM (SELECT %s, %s FROM %s GROUP BY %s) p%s)',
                parts.aliased_groups, parts.partials, pending_rows, ltrim(substr(parts.ordinals, 4) || ', 1', ', '),
                CASE WHEN plain THEN '' ELSE format(' WHERE NOT EXISTS (SELECT FROM dirty d WHERE %s)', parts.delta_match) END),
            format('folded AS (%s)', format(insertion, 'delta', strata._rollup_merges(rollup.definition)))];
    END IF;
    IF fill_from IS NOT NULL THEN
        -- whatever of the range is visible now, batches included that are pending: they are folded by this very statement
        steps := steps || format('filled AS (INSERT INTO %s (%s, %s) %s)', parts.storage, parts.groups, parts.states,
            coalesce(strata._filled_from_groups(rollup, parts, fill_from),
                format('SELECT %s, %s FROM %s e WHERE %s AND %s < %s AND %s >= %s GROUP BY %s', parts.aliased_groups, parts.partials, parts.source, parts.counted,
                    parts.event_time, parts.filled_from, parts.event_time,
                    strata._time_at(time_type, quote_literal(fill_from) || '::timestamptz', false), parts.ordinals)));
    END IF;
    RETURN format('WITH %s SELECT jsonb_build_object(''batches'', (SELECT count(*) FROM pending), '
        '''ids'', coalesce((SELECT range_agg(int8range(batch_id, batch_id, ''[]''))::text FROM pending), ''{}''))', array_to_string(steps, ', '));
END
$$;
REVOKE ALL ON FUNCTION strata._fold_sql(strata._rollups, boolean, timestamptz, boolean) FROM PUBLIC;
COMMENT ON FUNCTION strata._fold_sql(strata._rollups, boolean, timestamptz, boolean) IS
'The statement that folds pending batches and recomputes dirty groups, and, with fill_from, fills storage from there up to where it is filled. Returns, as jsonb, the batches it saw. many: so many batches are pending that a join beats an array. plain: no group is marked, and none is recomputed. Its parameters are what _fold_bounds_sql gives.';

-- (one that fills is written for one use)
CREATE FUNCTION strata._fold(rollup strata._rollups, owner regrole, horizon bigint, many boolean, fill_from timestamptz DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text := format(' %s %s', rollup.rollup_id, many);
    bounds text;
    statement text;
    plain text;
BEGIN
    IF fill_from IS NOT NULL THEN
        statement := strata._fold_sql(rollup, many, fill_from);
        RETURN strata._fold_as(owner, strata._fold_bounds_sql(rollup, true), statement, statement, horizon);
    END IF;
    bounds := coalesce(strata._kept('bounds' || name), strata._keep('bounds' || name, strata._fold_bounds_sql(rollup, false)));
    statement := coalesce(strata._kept('fold' || name), strata._keep('fold' || name, strata._fold_sql(rollup, many)));
    plain := coalesce(strata._kept('plain' || name), strata._keep('plain' || name,
        CASE WHEN strata._recomputes(rollup.definition) THEN statement ELSE strata._fold_sql(rollup, many, plain => true) END));
    RETURN coalesce(strata._fold_as(owner, bounds, statement, plain, horizon), '{"batches": 0, "ids": "{}"}');
END
$$;
REVOKE ALL ON FUNCTION strata._fold(strata._rollups, regrole, bigint, boolean, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION strata._fold(strata._rollups, regrole, bigint, boolean, timestamptz) IS
'Folds what is pending, as a role; returns what _fold_sql returns.';

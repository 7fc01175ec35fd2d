-- Promise: readers see the old rollup under its name, or the new one, and never neither.
CREATE FUNCTION strata.replace_rollup(rollup regclass, replacement regclass, discard_frozen boolean DEFAULT false) RETURNS regclass
    LANGUAGE sql VOLATILE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT strata._replace_rollup(strata._authorize(strata._source(rollup), 'OWNER'), rollup, replacement, discard_frozen) $$;
COMMENT ON FUNCTION strata.replace_rollup(regclass, regclass, boolean) IS
'Puts a rollup in the place of another of the same event table: verifies that the replacement equals its query, gives it the name, schema, comment and privileges of the other, and drops that. Groups that only the old one has, because retention has taken their rows, are kept by refusing, unless discard_frozen says that they may go. To change a rollup: create the new one beside it (with_data => false and refresh_rollups on a large table), then replace. Returns the replacement under its new name. Waits for writers of the source at work. Takes ownership of the source. Errors: ST004 not a rollup, 42501 not of the same event table, 55000 the replacement is suspended, not filled yet, or differs from its query, or the old one has frozen groups, 2BP01 views depend on the old one.';

CREATE FUNCTION strata._replace_rollup(source regclass, rollup regclass, replacement regclass, discard_frozen boolean) RETURNS regclass
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
    SET datestyle = 'ISO'
AS $$
DECLARE
    owner regrole := strata._owner(source);
    event_table strata._event_tables;
    old strata._rollups;
    entry strata._rollups;
    place record;
    part record;
    statement text;
    statements text[];
    reason text;
BEGIN
    PERFORM strata._authorized(source, 'OWNER');
    event_table := strata._lock_event_table(source);
    old := strata._rollup_of(source, rollup);
    PERFORM strata._source(replacement);
    entry := strata._rollup_of(source, replacement);
    reason := CASE
        WHEN rollup = replacement THEN 'A rollup cannot replace itself.'
        WHEN entry.suspended_at IS NOT NULL THEN 'It is suspended.'
        WHEN strata._is_filling(entry) THEN 'It is not filled yet.'
        WHEN EXISTS (SELECT FROM strata._verify_rollup(strata._authorize(source, 'INGEST'), replacement, NULL, NULL)) THEN 'It differs from its query.'
        WHEN NOT discard_frozen AND strata._execute_as(owner, format('SELECT EXISTS (SELECT FROM %s WHERE bucket >= %s AND bucket < %s)', old.storage,
            strata._time_at(strata._bucket_type(event_table.time_type), quote_literal(old.kept_from) || '::timestamptz', false),
            strata._time_at(strata._bucket_type(event_table.time_type), quote_literal(greatest(event_table.retained_from, entry.exact_from)) || '::timestamptz', false)))::boolean
            THEN format('%s has buckets whose rows are gone, which only it knows; strata.add_rollup_aggregate keeps them, discard_frozen => true lets them go.', rollup)
    END;
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = format('%s cannot replace %s', replacement, rollup), DETAIL = reason,
            HINT = format('CALL strata.refresh_rollups(%L) fills it, strata.verify_rollup(%L) shows what differs.', source::text, replacement::text);
    END IF;
    SELECT c.relname, c.relnamespace::regnamespace AS namespace, c.relnamespace INTO place FROM pg_class c WHERE c.oid = rollup;
    statements := ARRAY(
        SELECT format('GRANT %s ON %s TO %s%s', g.privilege_type, replacement, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END,
            CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
        FROM pg_class c, aclexplode(c.relacl) g WHERE c.oid = rollup AND g.grantee <> c.relowner)
        || format('COMMENT ON VIEW %s IS %L', replacement, obj_description(rollup, 'pg_class'));
    FOREACH statement IN ARRAY statements LOOP
        PERFORM strata._execute_as(owner, statement);
    END LOOP;
    UPDATE strata._rollups r SET parent_id = nullif(entry.rollup_id, r.rollup_id) WHERE r.parent_id = old.rollup_id;
    PERFORM strata._lock_views(source, ARRAY[rollup, replacement]);
    PERFORM strata._drop_rollup(strata._authorize(source, 'OWNER'), rollup);
    FOR part IN
        SELECT p.relation, p.kind, p.suffix FROM (VALUES (1, entry.rollup, 'VIEW', ''), (2, entry.definition, 'VIEW', '_definition'),
            (3, entry.storage, 'TABLE', '_storage'), (4, entry.dirty, 'TABLE', '_dirty')) p (place, relation, kind, suffix) ORDER BY p.place
    LOOP
        -- by way of a name that is free in both schemas
        PERFORM strata._execute_as(owner, format('ALTER %s %s RENAME TO %I', part.kind, part.relation, 'strata_moving_' || part.relation::oid::text));
        IF (SELECT c.relnamespace FROM pg_class c WHERE c.oid = part.relation) <> place.relnamespace THEN
            PERFORM strata._execute_as(owner, format('ALTER %s %s SET SCHEMA %s', part.kind, part.relation, place.namespace));
        END IF;
        PERFORM strata._execute_as(owner, format('ALTER %s %s RENAME TO %I', part.kind, part.relation, strata._with_suffix(place.relname, part.suffix, place.relnamespace)));
    END LOOP;
    PERFORM strata._move_storage_partitions(entry);
    PERFORM strata._make_readers(entry);
    RETURN replacement;
END
$$;
COMMENT ON FUNCTION strata._replace_rollup(regclass, regclass, regclass, boolean) IS 'The writing half of replace_rollup.';

-- A table's partitions are renamed and moved with it by nobody else.
CREATE FUNCTION strata._move_storage_partitions(rollup strata._rollups) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    owner regrole := strata._owner(rollup.storage);
    namespace regnamespace := (SELECT c.relnamespace FROM pg_class c WHERE c.oid = rollup.storage);
    part record;
BEGIN
    FOR part IN
        SELECT l.partition, c.relnamespace, substring(c.relname from '_p[0-9_]*$') AS suffix
        FROM strata._leaves(rollup.storage) l JOIN pg_class c ON c.oid = l.partition ORDER BY l.lower
    LOOP
        PERFORM strata._execute_as(owner, format('ALTER TABLE %s RENAME TO %I', part.partition, 'strata_moving_' || part.partition::oid::text));
        IF part.relnamespace <> namespace THEN
            PERFORM strata._execute_as(owner, format('ALTER TABLE %s SET SCHEMA %s', part.partition, namespace));
        END IF;
        PERFORM strata._execute_as(owner, format('ALTER TABLE %s RENAME TO %I', part.partition,
            strata._with_suffix((SELECT c.relname FROM pg_class c WHERE c.oid = rollup.storage), coalesce(part.suffix, '_p'), namespace)));
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION strata._move_storage_partitions(strata._rollups) FROM PUBLIC;
COMMENT ON FUNCTION strata._move_storage_partitions(strata._rollups) IS 'Gives the partitions of a rollup''s storage the schema and the name of their table.';

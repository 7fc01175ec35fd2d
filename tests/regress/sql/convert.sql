-- create_event_table on ordinary tables: rows are moved, and whatever hangs on the table is there afterwards.
\set SHOW_CONTEXT never
-- Everything the catalogs say of a table that a user has said of it, one fact a line.
CREATE FUNCTION facts(relation text) RETURNS TABLE (fact text) LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT concat_ws(' ', 'class', c.relname, c.relowner::regrole, c.relrowsecurity, c.relforcerowsecurity, c.relreplident, t.spcname, obj_description(c.oid, 'pg_class'))
    FROM pg_class c LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE c.oid = relation::regclass
    UNION ALL
    SELECT concat_ws(' ', 'column', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid),
        'target', a.attstattarget, a.attstorage, a.attcompression, a.attoptions, a.attcollation::regcollation, col_description(a.attrelid, a.attnum))
    FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = relation::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'batch_id'
    UNION ALL
    SELECT concat_ws(' ', 'constraint', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid), k.convalidated, obj_description(k.oid, 'pg_constraint'))
    FROM pg_constraint k WHERE relation::regclass IN (k.conrelid, k.confrelid) AND k.conparentid = 0
    UNION ALL
    SELECT concat_ws(' ', 'index', replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON '), c.reloptions, t.spcname, obj_description(i.indexrelid, 'pg_class'),
        'targets', (SELECT string_agg(a.attstattarget::text, ' ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = i.indexrelid))
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace
    WHERE i.indrelid = relation::regclass AND pg_get_indexdef(i.indexrelid) NOT LIKE '%brin (batch_id)%'
    UNION ALL
    SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid), t.tgenabled, obj_description(t.oid, 'pg_trigger'))
    FROM pg_trigger t WHERE t.tgrelid = relation::regclass AND NOT t.tgisinternal AND t.tgname NOT LIKE 'strata\_%'
    UNION ALL
    SELECT concat_ws(' ', 'rule', pg_get_ruledef(r.oid), r.ev_enabled, obj_description(r.oid, 'pg_rewrite')) FROM pg_rewrite r WHERE r.ev_class = relation::regclass
    UNION ALL
    SELECT concat_ws(' ', 'policy', p.polname, p.polcmd, p.polpermissive, p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid),
        obj_description(p.oid, 'pg_policy'))
    FROM pg_policy p WHERE p.polrelid = relation::regclass
    UNION ALL
    SELECT concat_ws(' ', 'privilege', a.attname, g.grantor::regrole, g.grantee::regrole, g.privilege_type, g.is_grantable)
    FROM (SELECT NULL::name, c.relacl FROM pg_class c WHERE c.oid = relation::regclass
          UNION ALL SELECT a.attname, a.attacl FROM pg_attribute a WHERE a.attrelid = relation::regclass) a (attname, acl), aclexplode(a.acl) g
    UNION ALL
    SELECT concat_ws(' ', 'statistics', pg_get_statisticsobjdef(s.oid), s.stxstattarget, obj_description(s.oid, 'pg_statistic_ext'))
    FROM pg_statistic_ext s WHERE s.stxrelid = relation::regclass
    UNION ALL
    SELECT concat_ws(' ', 'publication', p.pubname, pg_get_expr(r.prqual, r.prrelid), (SELECT string_agg(a.attname, ',') FROM pg_attribute a
        WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[])))
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = relation::regclass
    UNION ALL
    SELECT DISTINCT concat_ws(' ', 'view', v.oid, v.oid::regclass, v.reloptions, v.relacl, pg_get_viewdef(v.oid), obj_description(v.oid, 'pg_class'))
    FROM pg_class v JOIN pg_rewrite r ON r.ev_class = v.oid JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    WHERE d.refobjid = relation::regclass AND d.refclassid = 'pg_class'::regclass AND v.oid <> relation::regclass
    UNION ALL
    SELECT concat_ws(' ', 'sequence', s.oid::regclass, d.deptype, a.attname, s.relacl, obj_description(s.oid, 'pg_class'), q.seqstart, q.seqincrement, q.seqcache, pg_sequence_last_value(s.oid))
    FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_sequence q ON q.seqrelid = s.oid
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = relation::regclass AND d.deptype IN ('a', 'i')
$$;

CREATE ROLE convert_owner;
CREATE ROLE "convert Reader";
CREATE ROLE convert_other;
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE convert_space LOCATION '';
GRANT CREATE ON TABLESPACE convert_space TO convert_owner;
CREATE ACCESS METHOD convert_heap TYPE TABLE HANDLER heap_tableam_handler;
SELECT format('GRANT CREATE ON DATABASE %I TO convert_owner', current_database()) \gexec
CREATE SCHEMA "Con vert" AUTHORIZATION convert_owner;
CREATE SCHEMA convert_stats AUTHORIZATION convert_owner;
GRANT USAGE ON SCHEMA "Con vert" TO PUBLIC;
SET ROLE convert_owner;
-- a role that sees what is made by default must not see the rows while they move, nor afterwards
ALTER DEFAULT PRIVILEGES IN SCHEMA "Con vert" GRANT SELECT ON TABLES TO convert_other;
SET search_path = "Con vert", public;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TABLE kinds (kind text PRIMARY KEY);
INSERT INTO kinds VALUES ('a'), ('b');
CREATE TABLE "The ""Events""" (
    gone int,
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 10 INCREMENT BY 5 CACHE 3),
    nr bigserial,
    "the time" timestamptz NOT NULL,
    kind text COLLATE "C" NOT NULL DEFAULT 'a',
    payload text COMPRESSION pglz,
    "limit" int CHECK ("limit" > 0) NOT NULL,
    twice int GENERATED ALWAYS AS ("limit" * 2) STORED,
    CONSTRAINT "its key" PRIMARY KEY (id, "the time") WITH (fillfactor = 77),
    CONSTRAINT "DEFERRABLE" UNIQUE (nr, "the time") INCLUDE (kind) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT kind_known FOREIGN KEY (kind) REFERENCES kinds ON UPDATE CASCADE ON DELETE RESTRICT DEFERRABLE
) USING convert_heap WITH (fillfactor = 60, autovacuum_enabled = off, toast.autovacuum_vacuum_scale_factor = 0.3) TABLESPACE convert_space;
ALTER TABLE "The ""Events""" DROP COLUMN gone;
ALTER TABLE "The ""Events""" ALTER COLUMN kind SET STATISTICS 300, ALTER COLUMN payload SET STORAGE EXTERNAL,
    ALTER COLUMN "limit" SET (n_distinct = -0.5, n_distinct_inherited = 12);
CREATE INDEX "by ON limit" ON "The ""Events""" (("limit" + 1) DESC NULLS LAST, kind text_pattern_ops) INCLUDE (payload) WITH (fillfactor = 50) TABLESPACE convert_space WHERE kind <> ') USING';
CREATE INDEX same_one ON "The ""Events""" ("the time");
CREATE INDEX same_two ON "The ""Events""" ("the time");
ALTER INDEX "by ON limit" ALTER COLUMN 1 SET STATISTICS 77;
CREATE UNIQUE INDEX identity_of_it ON "The ""Events""" ("limit", kind, "the time");
ALTER TABLE "The ""Events""" REPLICA IDENTITY USING INDEX identity_of_it;
CREATE STATISTICS convert_stats."some stats" (ndistinct, mcv) ON kind, "limit" FROM "The ""Events""";
CREATE STATISTICS other_stats ON ("limit" % 10), kind FROM "The ""Events""";
ALTER STATISTICS other_stats SET STATISTICS 55;
COMMENT ON STATISTICS other_stats IS 'of statistics';
CREATE TRIGGER "Touch" BEFORE UPDATE ON "The ""Events""" FOR EACH ROW WHEN (NEW.kind <> 'x') EXECUTE FUNCTION touch('an argument');
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON "The ""Events""" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER per_statement AFTER DELETE ON "The ""Events""" REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION touch();
ALTER TABLE "The ""Events""" ENABLE ALWAYS TRIGGER "Touch";
ALTER TABLE "The ""Events""" DISABLE TRIGGER per_statement;
CREATE RULE no_nines AS ON INSERT TO "The ""Events""" WHERE NEW."limit" = 999 DO INSTEAD NOTHING;
ALTER TABLE "The ""Events""" ENABLE REPLICA RULE no_nines;
CREATE POLICY "own Rows" ON "The ""Events""" FOR SELECT TO "convert Reader", convert_other USING (kind = 'a' AND "limit" < 50);
CREATE POLICY writing ON "The ""Events""" AS RESTRICTIVE FOR UPDATE USING (true) WITH CHECK ("limit" > 1);
CREATE POLICY the_owner ON "The ""Events""" TO convert_owner USING (kind = 'b');
ALTER TABLE "The ""Events""" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "The ""Events""" FORCE ROW LEVEL SECURITY;
REVOKE ALL ON "The ""Events""" FROM convert_other;
GRANT SELECT, UPDATE ON "The ""Events""" TO "convert Reader" WITH GRANT OPTION;
GRANT UPDATE (kind, payload), REFERENCES ("limit") ON "The ""Events""" TO PUBLIC;
REVOKE TRIGGER ON "The ""Events""" FROM convert_owner;
GRANT USAGE ON SEQUENCE "The ""Events""_id_seq" TO "convert Reader";
COMMENT ON SEQUENCE "The ""Events""_id_seq" IS 'of an identity';
COMMENT ON TABLE "The ""Events""" IS 'of the table''s';
COMMENT ON COLUMN "The ""Events"""."the time" IS 'of a column';
COMMENT ON CONSTRAINT "its key" ON "The ""Events""" IS 'of a key';
COMMENT ON CONSTRAINT kind_known ON "The ""Events""" IS 'of a reference';
COMMENT ON INDEX "by ON limit" IS 'of an index';
COMMENT ON INDEX "its key" IS 'of an index of a key';
COMMENT ON TRIGGER "Touch" ON "The ""Events""" IS 'of a trigger';
COMMENT ON POLICY "own Rows" ON "The ""Events""" IS 'of a policy';
COMMENT ON RULE no_nines ON "The ""Events""" IS 'of a rule';
CREATE VIEW "a View" WITH (security_barrier, check_option = cascaded) AS SELECT id, "the time", kind, "limit" FROM "The ""Events""" e WHERE "limit" > 0;
CREATE VIEW on_view AS SELECT count(*) FROM "a View" v JOIN "The ""Events""" USING (id);
CREATE VIEW on_on_view AS SELECT * FROM on_view;
COMMENT ON VIEW "a View" IS 'of a view';
GRANT SELECT, INSERT ON "a View" TO "convert Reader";
CREATE TABLE noted (id bigint, ts timestamptz, CONSTRAINT "points to" FOREIGN KEY (id, ts) REFERENCES "The ""Events""" ON DELETE CASCADE);
COMMENT ON CONSTRAINT "points to" ON noted IS 'of a reference to it';
CREATE RULE note AS ON DELETE TO noted DO ALSO UPDATE "The ""Events""" SET kind = kind WHERE id = OLD.id;
CREATE PUBLICATION convert_pub FOR TABLE "The ""Events""" (id, "the time", kind, "limit") WHERE (kind = 'a') WITH (publish_via_partition_root = true);
SET ROLE "convert Reader";
GRANT SELECT ON "Con vert"."The ""Events""" TO convert_other;
SET ROLE convert_owner;
ALTER TABLE "The ""Events""" NO FORCE ROW LEVEL SECURITY;
INSERT INTO "The ""Events""" ("the time", kind, payload, "limit")
SELECT '2026-01-31 00:00+00'::timestamptz + n * interval '7 hours', CASE n % 3 WHEN 0 THEN 'b' ELSE 'a' END, repeat('x', n), n + 1 FROM generate_series(0, 199) n;
INSERT INTO noted SELECT id, "the time" FROM "The ""Events""" WHERE "limit" < 5;
ALTER TABLE "The ""Events""" FORCE ROW LEVEL SECURITY;
RESET ROLE;
CREATE TABLE public.facts_before AS SELECT * FROM facts('"Con vert"."The ""Events"""');
CREATE TABLE public.rows_before AS SELECT * FROM "The ""Events""";
SET ROLE convert_owner;
SELECT strata.create_event_table('"The ""Events"""', 'the time', '1 week', premake => 1);
RESET ROLE;
GRANT SELECT ON rows_before TO convert_owner;
SELECT split_part(fact, ' ', 1) AS kind, count(*) FROM facts_before GROUP BY 1 ORDER BY 1;
SELECT 'lost' AS side, fact FROM (SELECT fact FROM facts_before EXCEPT ALL SELECT fact FROM facts('"Con vert"."The ""Events"""')) d
UNION ALL SELECT 'new', fact FROM (SELECT fact FROM facts('"Con vert"."The ""Events"""') EXCEPT ALL SELECT fact FROM facts_before) d ORDER BY 2, 1;
SELECT count(*) FROM rows_before;
SELECT count(*) AS differences FROM (
    (SELECT * FROM rows_before EXCEPT ALL SELECT id, nr, "the time", kind, payload, "limit", twice FROM "The ""Events""")
    UNION ALL (SELECT id, nr, "the time", kind, payload, "limit", twice FROM "The ""Events""" EXCEPT ALL SELECT * FROM rows_before)) d;
SELECT batch_id, count(*) FROM "The ""Events""" GROUP BY 1;
SELECT batch_id, rows, lower_time, upper_time FROM strata.batches WHERE relation = '"The ""Events"""'::regclass;
SELECT last_value, is_called FROM "The ""Events""_batch_id_seq";
SELECT * FROM strata.verify_batches('"The ""Events"""');
SELECT relname FROM pg_class WHERE relnamespace = '"Con vert"'::regnamespace AND relname LIKE '%strata%';
SELECT count(*) FROM strata._conversions;
-- each partition is like the table, the ones made for rows and the ones made later
SELECT strata.ensure_partitions('"The ""Events"""', now() - interval '20 days', now()) > 0 AS made;
SELECT c.reloptions, t.reloptions AS toast, s.spcname, m.amname, c.relreplident, count(*) > 1 AS many
FROM strata._leaves('"The ""Events"""') l JOIN pg_class c ON c.oid = l.partition LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace LEFT JOIN pg_am m ON m.oid = c.relam GROUP BY 1, 2, 3, 4, 5;
SELECT a.attname, a.attstattarget, a.attstorage, a.attcompression, a.attoptions, count(DISTINCT a.attrelid) > 1 AS many
FROM strata._leaves('"The ""Events"""') l JOIN pg_attribute a ON a.attrelid = l.partition AND a.attname IN ('kind', 'payload', 'limit') GROUP BY 1, 2, 3, 4, 5 ORDER BY 1;
SELECT count(*) = 2 * (SELECT count(*) FROM strata._leaves('"The ""Events"""')) AS statistics FROM pg_statistic_ext s JOIN strata._leaves('"The ""Events"""') l ON l.partition = s.stxrelid;
SELECT DISTINCT regexp_replace(pg_get_indexdef(i.indexrelid), 'INDEX .*? ON .*? USING', 'INDEX … USING') AS index, c.reloptions, i.indisreplident,
    (SELECT string_agg(a.attstattarget::text, ' ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = i.indexrelid) AS targets
FROM strata._leaves('"The ""Events"""') l JOIN pg_index i ON i.indrelid = l.partition JOIN pg_class c ON c.oid = i.indexrelid ORDER BY 1;
-- and it works: identity goes on, checks, references and policies hold
SET ROLE convert_owner;
INSERT INTO "The ""Events""" ("the time", kind, "limit") VALUES (now(), 'b', 7);
SELECT id > (SELECT max(id) FROM rows_before) AS goes_on, nr > (SELECT max(nr) FROM rows_before) AS serial_goes_on, twice, batch_id FROM "The ""Events""" WHERE "the time" >= now() - interval '1 hour';
SELECT split_part(refused($$INSERT INTO "The ""Events""" ("the time", kind, "limit") VALUES (now(), 'c', 7)$$), E'\n', 1);
SELECT split_part(refused($$INSERT INTO noted VALUES (1, now())$$), E'\n', 1);
DELETE FROM "The ""Events""" WHERE "limit" = 1;
SELECT count(*) FROM noted;
RESET ROLE;
SET ROLE "convert Reader";
SELECT count(*) FROM "The ""Events""" WHERE "limit" < 100;
SELECT count(*) > 0 FROM "a View";
RESET ROLE;
RESET search_path;
DROP PUBLICATION convert_pub;
DROP SCHEMA "Con vert" CASCADE;
DROP SCHEMA convert_stats;
DROP TABLESPACE convert_space;
DROP ACCESS METHOD convert_heap;
DROP TABLE facts_before, rows_before;
DROP OWNED BY convert_owner, "convert Reader", convert_other;
DROP ROLE "convert Reader";

-- every type of time column; hash sub-partitions; a row that is in the way
CREATE FUNCTION moved(time_type text, expression text, settings text) RETURNS TABLE (rows bigint, partitions bigint, lower timestamptz, upper timestamptz, differences bigint)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE typed ("at" %s NOT NULL, n int)', time_type);
    EXECUTE format('INSERT INTO typed SELECT %s, n FROM generate_series(1, 500) n', expression);
    CREATE TABLE typed_before AS SELECT * FROM typed;
    EXECUTE format('SELECT strata.create_event_table(''typed'', ''at''%s)', settings);
    SELECT count(*) INTO differences FROM ((SELECT * FROM typed_before EXCEPT ALL SELECT t.at, t.n FROM typed t) UNION ALL (SELECT t.at, t.n FROM typed t EXCEPT ALL SELECT * FROM typed_before)) d;
    SELECT count(*) INTO partitions FROM strata.partitions p WHERE p.relation = 'typed'::regclass AND p.lower < '2026-01-01';
    SELECT b.rows, b.lower_time, b.upper_time INTO rows, lower, upper FROM strata.batches b WHERE b.relation = 'typed'::regclass;
    RETURN NEXT;
    DROP TABLE typed, typed_before;
END
$$;
SELECT * FROM moved('timestamptz', $$'2025-03-01 00:30+00'::timestamptz + n * interval '1 hour'$$, '');
SELECT * FROM moved('timestamptz', $$'2025-03-01 00:30+00'::timestamptz + n * interval '1 hour'$$, $$, '1 month', timezone => 'Europe/Berlin'$$);
SELECT * FROM moved('timestamp', $$'2025-03-01 00:30'::timestamp + n * interval '1 hour'$$, $$, timezone => 'America/New_York'$$);
SELECT * FROM moved('date', $$'2025-03-01'::date + n / 50$$, $$, '1 week'$$);
SELECT * FROM moved('uuid', $$overlay(strata.uuid_at('2025-03-01 00:30+00'::timestamptz + n * interval '1 hour')::text PLACING '7' FROM 15)::uuid$$, '');
SELECT * FROM moved('timestamptz', $$'2025-03-01 00:30+00'::timestamptz + n * interval '1 hour'$$, $$, '1 month', subpartition_by => 'n', subpartitions => 3$$);
SELECT refused($refused$SELECT moved('uuid', $$CASE n WHEN 7 THEN '00000000-0000-4000-8000-000000000000' ELSE '01993e6a-0000-7000-8000-000000000000' END$$, '')$refused$);
CREATE TABLE in_the_way ("a""t" timestamptz, n int);
INSERT INTO in_the_way VALUES (NULL, 1), ('infinity', 2), (now(), 3);
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t')$$);
DELETE FROM in_the_way WHERE (isfinite("a""t")) IS NOT TRUE;
INSERT INTO in_the_way SELECT '2000-01-01'::timestamptz + n * interval '1 hour', n FROM generate_series(1, 10001) n;
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t', '1 hour')$$);
TRUNCATE in_the_way;
INSERT INTO in_the_way VALUES (now(), 3);

-- what could not be kept is refused, with what to do; the hints are tried
CREATE FUNCTION hint() RETURNS text LANGUAGE sql AS $$ SELECT substring(refused($r$SELECT strata.create_event_table('in_the_way', 'a"t')$r$) FROM 'HINT: Run: (.*;)') $$;
ALTER TABLE in_the_way ADD CONSTRAINT "the ) KEY" UNIQUE (n) INCLUDE ("a""t");
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t')$$);
SELECT hint() \gexec
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'in_the_way'::regclass;
CREATE UNIQUE INDEX "odd ( index" ON in_the_way ((n || ') WHERE (' COLLATE "C") DESC, (n + 1)) INCLUDE (n) NULLS NOT DISTINCT WITH (fillfactor = 70) WHERE n > 1;
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t')$$);
SELECT hint() \gexec
SELECT pg_get_indexdef('"odd ( index"'::regclass);
ALTER TABLE in_the_way ADD CONSTRAINT alone EXCLUDE USING btree (n WITH =);
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t')$$);
SELECT hint() \gexec
ALTER TABLE in_the_way ADD CONSTRAINT positive CHECK (n > 0) NO INHERIT;
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t')$$);
SELECT hint() \gexec
ALTER TABLE in_the_way ADD CONSTRAINT small CHECK (n < 1000) NOT VALID;
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t')$$);
SELECT hint() \gexec
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER transition AFTER INSERT ON in_the_way REFERENCING NEW TABLE AS t FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t')$$);
SELECT hint() \gexec
CREATE MATERIALIZED VIEW materialized AS SELECT * FROM in_the_way;
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t')$$);
SELECT hint() \gexec
CREATE VIEW rows_of AS SELECT i FROM in_the_way i;
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t')$$);
DROP VIEW rows_of;
CREATE FUNCTION all_of() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM in_the_way; END;
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t')$$);
DROP FUNCTION all_of();
CREATE TABLE guarded (n int);
CREATE POLICY looks ON guarded USING (EXISTS (SELECT FROM in_the_way i WHERE i.n = guarded.n));
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t')$$);
DROP TABLE guarded;
CREATE ROLE convert_other_owner;
GRANT CREATE ON SCHEMA public TO convert_other_owner;
CREATE VIEW of_another AS SELECT n FROM in_the_way;
ALTER VIEW of_another OWNER TO convert_other_owner;
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t')$$);
DROP VIEW of_another;
CREATE UNIQUE INDEX to_refer ON in_the_way (n, "a""t");
CREATE TABLE referring (n int, t timestamptz, CONSTRAINT "re fers" FOREIGN KEY (n, t) REFERENCES in_the_way (n, "a""t"));
ALTER TABLE referring OWNER TO convert_other_owner;
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t')$$);
SELECT hint() \gexec
CREATE PUBLICATION "pub Other" FOR TABLE in_the_way;
SELECT format('GRANT CREATE ON DATABASE %I TO convert_other_owner', current_database()) \gexec
ALTER PUBLICATION "pub Other" OWNER TO convert_other_owner;
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t')$$);
SELECT hint() \gexec
DROP PUBLICATION "pub Other";
CREATE PUBLICATION filtering FOR TABLE in_the_way WHERE (n > 5);
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t')$$);
DROP PUBLICATION filtering;
CREATE PUBLICATION everything FOR TABLES IN SCHEMA public;
SELECT refused($$SELECT strata.create_event_table('in_the_way', 'a"t')$$);
DROP PUBLICATION everything;
DROP OWNED BY convert_other_owner;
DROP ROLE convert_other_owner;
CREATE TABLE typed_of (LIKE in_the_way);
CREATE TYPE in_the_way_type AS (t timestamptz);
CREATE TABLE of_type OF in_the_way_type;
SELECT refused($$SELECT strata.create_event_table('of_type', 't')$$);
DROP TABLE of_type, typed_of;
DROP TYPE in_the_way_type;
CREATE TABLE generating (n int, t timestamptz GENERATED ALWAYS AS ('2020-01-01 00:00+00') STORED);
SELECT refused($$SELECT strata.create_event_table('generating', 't')$$);
DROP TABLE generating;
-- now nothing is in the way; a publication by name is kept, with a word about what it sends
CREATE PUBLICATION by_name FOR TABLE in_the_way;
SELECT strata.create_event_table('in_the_way', 'a"t');
SELECT * FROM pg_publication_tables WHERE pubname = 'by_name' LIMIT 0;
SELECT count(*) FROM pg_publication_rel r WHERE r.prrelid = 'in_the_way'::regclass;
DROP PUBLICATION by_name;
-- a table that was one before, restored alone, with its own batch ids
SELECT strata.release_event_table('in_the_way');
CREATE TABLE restored (LIKE in_the_way INCLUDING DEFAULTS);
ALTER TABLE restored ADD COLUMN IF NOT EXISTS batch_id bigint;
INSERT INTO restored ("a""t", n, batch_id) VALUES (now(), 1, 77), (now(), 2, NULL);
SELECT strata.create_event_table('restored', 'a"t');
SELECT batch_id, count(*) FROM restored GROUP BY 1;
DROP TABLE in_the_way, restored;
DROP FUNCTION hint, moved, nothing, facts;
DROP ROLE convert_owner, convert_other;

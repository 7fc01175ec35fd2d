-- Leaves of stored rows (docs/formats.md): the same under every setting, however a value is stored, and through renames.
CREATE SCHEMA leaves_of_rows;
SET search_path = leaves_of_rows, public;
CREATE FUNCTION leaf(relation regclass, stored anyelement) RETURNS text LANGUAGE sql
    AS $$ SELECT encode(strata._stored_leaf('c0ffee00-0000-4000-8000-000000000001', relation, stored), 'hex') $$;

-- the row of docs/formats.md
CREATE TABLE documented (c1 bigint, c2 int, c3 numeric, c5 int, c6 int, c7 int, c8 jsonb);
INSERT INTO documented VALUES (42, NULL, -12345.6780, NULL, NULL, NULL, '{"b": [null, "é"], "a": 1.5, "a": 1.0}');
SELECT leaf('documented', d) = encode(strata._row_leaf('c0ffee00-0000-4000-8000-000000000001', '{1,3,7}', '{4,7,22}',
    int8send(c1), numeric_send(c3), strata._jsonb_canonical(c8::text)), 'hex') AS as_documented FROM documented d;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN point_of_time AS timestamptz;
CREATE TYPE place AS (name varchar(20), at point_of_time, moods mood[]);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE every_type (
    id bigint PRIMARY KEY, b boolean, i2 smallint, i4 int, f4 real, f8 double precision, n numeric, t text, v varchar(9), c char(9), y bytea,
    u uuid, d date, tm time, ts timestamp, tz timestamptz, tt timetz, iv interval, ip inet, net cidr, j json, jb jsonb, e mood, dom positive,
    a int[], a2 text[][], am mood[], r int4range, rt tstzrange, rn numrange, m int4multirange, p place, pa place[], dr point_of_time[]);
INSERT INTO every_type VALUES (
    1, true, -2, 3, 1.5, '-0', 1.50, 'été', 'abc ', 'abc', '\x00ff', '00112233-4455-6677-8899-aabbccddeeff', '1999-12-31', '23:59:59.999999', '2024-02-29 12:00', '2024-02-29 12:00+00',
    '12:00+05:45', '1 month 2 days 03:04:05.5', '10.0.0.1/8', 'fe80::/10', '{"k": 1 }', '{"k": 1.0}', 'happy', 7,
    '[2:4]={1,NULL,3}', '{{a,b},{"c d",NULL}}', '{sad,NULL,happy}', '[1,4]', '[2024-01-01 00:00+00,)', 'empty', '{[1,3),[5,9]}', ROW('here', '2024-01-01 00:00+00', '{ok}'),
    ARRAY[ROW('a', NULL, NULL), NULL]::place[], '{2024-01-01 00:00+00}');
INSERT INTO every_type (id, f8, n, a, r, m, iv) VALUES (2, 'NaN', 'Infinity', '{}', '(,)', '{}', '0'), (3, '0', '1.5', NULL, NULL, NULL, '24 hours'), (4, '-0', '1.50', NULL, NULL, NULL, '1 day');
CREATE TABLE expected AS SELECT id, leaf('every_type', x) FROM every_type x;
SELECT count(DISTINCT leaf) FROM expected;

-- no setting matters, nor does a reload
CREATE PROCEDURE compare(what text) LANGUAGE plpgsql AS $$
DECLARE
    differing text := (SELECT string_agg(id::text, ', ') FROM every_type x JOIN expected USING (id) WHERE leaf('every_type', x) <> leaf);
BEGIN
    RAISE NOTICE '%: %', what, coalesce('rows ' || differing || ' differ', 'the same');
END
$$;
SET timezone = 'Asia/Kathmandu'; SET datestyle = 'German, DMY'; SET intervalstyle = 'iso_8601'; SET extra_float_digits = -15;
SET bytea_output = 'escape'; SET client_encoding = 'LATIN1'; SET lc_monetary = 'C'; SET lc_numeric = 'C';
CALL compare('settings');
RESET timezone; RESET datestyle; RESET intervalstyle; RESET extra_float_digits; RESET bytea_output; RESET client_encoding;
\c
SET search_path = leaves_of_rows, public;
CALL compare('another session');

-- however it is stored
CREATE TABLE long (id int, t text, j jsonb, p place, a text[]);
INSERT INTO long SELECT 1, repeat('0123456789', 20000), jsonb_build_object('k', repeat('abc', 30000)), ROW(repeat('y', 20), NULL, NULL)::place, ARRAY[repeat('z', 50000)];
CREATE TABLE long_leaf AS SELECT leaf('long', l) FROM long l;
ALTER TABLE long ALTER t SET STORAGE EXTERNAL, ALTER j SET STORAGE EXTERNAL, ALTER a SET STORAGE EXTERNAL;
UPDATE long SET t = t || '', j = j || '{}', a = a || '{}';
SELECT leaf('long', l) = leaf AS external FROM long l, long_leaf;
ALTER TABLE long ALTER t SET STORAGE MAIN, ALTER t SET COMPRESSION lz4, ALTER j SET STORAGE MAIN, ALTER j SET COMPRESSION lz4;
UPDATE long SET t = t || '', j = j || '{}';
SELECT pg_column_compression(t) AS compression, leaf('long', l) = leaf AS lz4 FROM long l, long_leaf;

-- renames and new columns change nothing; a column dropped and made again is another one
ALTER TABLE every_type RENAME i4 TO "an int";
ALTER TYPE mood RENAME VALUE 'happy' TO 'glad';
ALTER TYPE mood ADD VALUE 'excited' BEFORE 'sad';
ALTER TYPE place RENAME ATTRIBUTE name TO called;
ALTER TYPE place ADD ATTRIBUTE more int;
ALTER TABLE every_type ADD COLUMN later text;
CALL compare('renamed and added');
UPDATE every_type SET e = 'excited' WHERE id = 2;
CALL compare('a new label');
UPDATE every_type SET e = NULL WHERE id = 2;
ALTER TABLE every_type DROP COLUMN later, ADD COLUMN later text;
CALL compare('dropped and added');
SELECT array_agg(attribute_name ORDER BY attribute_id) FILTER (WHERE NOT dropped AND attribute_name ~ 'int|later') AS live, count(*) FILTER (WHERE dropped) AS dropped
FROM strata._attribute_ids WHERE relation = 'every_type'::regclass;
-- (row 1 alone had a value there)
ALTER TABLE every_type DROP COLUMN i2;
CALL compare('dropped');

-- what has no encoding is refused by name, and so is what is no row
SELECT leaf('documented', e) FROM every_type e LIMIT 1;
CREATE TABLE unknown (id int, at point);
INSERT INTO unknown VALUES (1, '(1,2)');
SELECT leaf('unknown', u) FROM unknown u;
CREATE TABLE inside (id int, vectors tsvector[]);
INSERT INTO inside VALUES (1, NULL);
SELECT leaf('inside', i) FROM inside i;

-- who writes rows need know nothing of the catalog
CREATE ROLE leaf_writer;
CREATE TYPE fresh AS ENUM ('new');
CREATE TABLE written (f fresh);
INSERT INTO written VALUES ('new');
GRANT USAGE ON SCHEMA leaves_of_rows TO leaf_writer;
GRANT SELECT ON written TO leaf_writer;
SET ROLE leaf_writer;
SELECT length(leaf('written', w)) FROM written w;
SELECT strata._identify_labels('fresh');
RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA leaves_of_rows CASCADE;
DROP ROLE leaf_writer;

-- Bounds as the library reads them, on one axis whatever the type of the partition key.
SET timezone = 'Asia/Tokyo';

-- timestamptz: gaps, both ends unbounded, names in no order
CREATE TABLE leafed (ts timestamptz NOT NULL) PARTITION BY RANGE (ts);
SELECT * FROM strata._leaves('leafed');
CREATE TABLE leafed_a PARTITION OF leafed FOR VALUES FROM ('2026-01-03 00:00+00') TO ('2026-01-04 00:00+00');
CREATE TABLE leafed_b PARTITION OF leafed FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2026-01-02 00:00+00');
CREATE TABLE "Leaf ""d'ä" PARTITION OF leafed FOR VALUES FROM ('2026-01-02 00:00+00') TO ('2026-01-03 00:00+00');
CREATE TABLE leafed_high PARTITION OF leafed FOR VALUES FROM ('2026-01-06 00:00+00') TO (MAXVALUE);
CREATE TABLE leafed_low PARTITION OF leafed FOR VALUES FROM (MINVALUE) TO ('2025-12-31 12:34:56.789012+00');
SELECT partition, lower AT TIME ZONE 'UTC' AS lower, upper AT TIME ZONE 'UTC' AS upper FROM strata._leaves('leafed');

-- those of a range, whose ends belong to it; bounds belong to the partition above
SELECT r.name, string_agg(l.partition::text, ' ' ORDER BY l.lower) AS partitions
FROM (VALUES (1, 'in one', '2026-01-01 12:00+00'::timestamptz, '2026-01-01 13:00+00'::timestamptz),
    (2, 'on the bounds', '2026-01-02 00:00+00', '2026-01-03 00:00+00'),
    (3, 'just before', '2026-01-02 00:00+00', '2026-01-02 23:59:59.999999+00'),
    (4, 'in a gap', '2026-01-05 00:00+00', '2026-01-05 12:00+00'),
    (5, 'all', '-infinity', 'infinity'), (6, 'the end', 'infinity', 'infinity'), (7, 'the beginning', '-infinity', '-infinity'),
    (8, 'backwards', '2026-01-03 00:00+00', '2026-01-01 00:00+00')) AS r (nth, name, low, high)
LEFT JOIN LATERAL strata._leaves_between('leafed', r.low, r.high) l ON true
GROUP BY r.nth, r.name ORDER BY r.nth;

-- a default partition has no bounds, and one whose detaching was begun is no partition any more
CREATE TABLE leafed_rest PARTITION OF leafed DEFAULT;
SELECT partition FROM strata._leaves('leafed');
DROP TABLE leafed_rest;
-- by hand what DETACH … CONCURRENTLY leaves behind when it is interrupted; the second update tells the relation cache
UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'leafed_a'::regclass;
UPDATE pg_class SET relpages = relpages WHERE oid = 'leafed'::regclass;
SELECT partition FROM strata._leaves('leafed');
ALTER TABLE leafed DETACH PARTITION leafed_a FINALIZE;
SELECT partition FROM strata._leaves('leafed');

-- what this transaction has done is seen, and its undoing
BEGIN;
ALTER TABLE leafed DETACH PARTITION leafed_b;
SELECT count(*) FROM strata._leaves('leafed');
ROLLBACK;
SELECT count(*) FROM strata._leaves('leafed');
-- no lock stays behind
BEGIN;
SELECT count(*) FROM strata._leaves('leafed');
SELECT count(*) FROM pg_locks WHERE relation = 'leafed'::regclass AND pid = pg_backend_pid();
ROLLBACK;

-- infinities by name are the ends, too; MINVALUE lies below -infinity but shows as the same
CREATE TABLE endless (ts timestamptz NOT NULL) PARTITION BY RANGE (ts);
CREATE TABLE endless_a PARTITION OF endless FOR VALUES FROM ('-infinity') TO ('epoch');
CREATE TABLE endless_b PARTITION OF endless FOR VALUES FROM ('epoch') TO ('infinity');
CREATE TABLE endless_c PARTITION OF endless FOR VALUES FROM ('infinity') TO (MAXVALUE);
SELECT partition, lower AT TIME ZONE 'UTC' AS lower, upper AT TIME ZONE 'UTC' AS upper FROM strata._leaves('endless');

-- timestamp and date are read as UTC, whatever the session's zone
CREATE TABLE naive (ts timestamp NOT NULL) PARTITION BY RANGE (ts);
CREATE TABLE naive_a PARTITION OF naive FOR VALUES FROM ('2026-03-29 02:30') TO ('2026-03-29 03:30:00.000001');
CREATE TABLE naive_b PARTITION OF naive FOR VALUES FROM ('1969-07-20') TO ('1999-12-31 23:59:59.999999');
CREATE TABLE naive_c PARTITION OF naive FOR VALUES FROM ('infinity') TO (MAXVALUE);
SELECT partition, lower AT TIME ZONE 'UTC' AS lower, upper AT TIME ZONE 'UTC' AS upper FROM strata._leaves('naive');
CREATE TABLE dated (d date NOT NULL) PARTITION BY RANGE (d);
CREATE TABLE dated_a PARTITION OF dated FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE dated_b PARTITION OF dated FOR VALUES FROM ('-infinity') TO ('1999-12-31');
-- further than any timestamp
CREATE TABLE dated_c PARTITION OF dated FOR VALUES FROM ('5000000-01-01') TO ('5000001-01-01');
CREATE TABLE dated_d PARTITION OF dated FOR VALUES FROM ('294276-12-31') TO ('294277-01-01');
SELECT partition, lower AT TIME ZONE 'UTC' AS lower, upper AT TIME ZONE 'UTC' AS upper FROM strata._leaves('dated');

-- UUIDv7: milliseconds since 1970 in the first 48 bits
CREATE TABLE keyed (id uuid NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE keyed_a PARTITION OF keyed FOR VALUES FROM ('00000000-0000-0000-0000-000000000000') TO ('00dc6acf-ac00-0000-0000-000000000000');
CREATE TABLE keyed_b PARTITION OF keyed FOR VALUES FROM ('019b76da-a801-7000-8000-000000000000') TO ('019b7c01-0400-0000-0000-000000000000');
CREATE TABLE keyed_c PARTITION OF keyed FOR VALUES FROM ('ffffffff-ffff-0000-0000-000000000000') TO (MAXVALUE);
SELECT partition, lower AT TIME ZONE 'UTC' AS lower, upper AT TIME ZONE 'UTC' AS upper FROM strata._leaves('keyed');

-- a domain is its base type
CREATE DOMAIN moment AS timestamptz NOT NULL;
CREATE TABLE momentary (ts moment) PARTITION BY RANGE (ts);
CREATE TABLE momentary_a PARTITION OF momentary FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2026-01-02 00:00+00');
SELECT partition, lower AT TIME ZONE 'UTC' AS lower, upper AT TIME ZONE 'UTC' AS upper FROM strata._leaves('momentary');

-- a partition that is itself partitioned is one partition
CREATE TABLE hashed (ts timestamptz NOT NULL, user_id int) PARTITION BY RANGE (ts);
CREATE TABLE hashed_a PARTITION OF hashed FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2026-01-02 00:00+00') PARTITION BY HASH (user_id);
CREATE TABLE hashed_a_h0 PARTITION OF hashed_a FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashed_a_h1 PARTITION OF hashed_a FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE hashed_b PARTITION OF hashed FOR VALUES FROM ('2026-01-02 00:00+00') TO ('2026-01-03 00:00+00') PARTITION BY HASH (user_id);
SELECT partition, lower AT TIME ZONE 'UTC' AS lower, upper AT TIME ZONE 'UTC' AS upper FROM strata._leaves('hashed');

-- everything below, without a lock, and the size of it
INSERT INTO hashed SELECT '2026-01-01 12:00+00', n FROM generate_series(1, 100) n;
BEGIN;
SELECT t FROM strata._tree('hashed') t ORDER BY t::text;
SELECT count(*) FROM pg_locks l JOIN strata._tree('hashed') t ON l.relation = t WHERE l.pid = pg_backend_pid();
ROLLBACK;
SELECT strata._partition_bytes('hashed') = pg_total_relation_size('hashed_a_h0') + pg_total_relation_size('hashed_a_h1') AS tree,
    strata._partition_bytes('hashed_a') > 0 AS partition, strata._partition_bytes('hashed_b') AS empty_partition,
    strata._partition_bytes('hashed_a_h0') = pg_total_relation_size('hashed_a_h0') AS leaf, strata._partition_bytes(0) AS gone;
SELECT t FROM strata._tree('leafed_b') t;

-- no rows for what is no such table
CREATE TABLE listed (ts timestamptz) PARTITION BY LIST (ts);
CREATE TABLE listed_a PARTITION OF listed FOR VALUES IN ('2026-01-01');
CREATE TABLE paired (ts timestamptz, n int) PARTITION BY RANGE (ts, n);
CREATE TABLE paired_a PARTITION OF paired FOR VALUES FROM ('2026-01-01', 1) TO ('2026-01-02', 1);
CREATE TABLE numbered (n int) PARTITION BY RANGE (n);
CREATE TABLE numbered_a PARTITION OF numbered FOR VALUES FROM (1) TO (2);
CREATE TABLE computed (ts timestamptz) PARTITION BY RANGE ((ts AT TIME ZONE 'UTC'));
CREATE TABLE computed_a PARTITION OF computed FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');
CREATE TABLE ordinary (ts timestamptz);
CREATE INDEX leafed_idx ON leafed (ts);
CREATE VIEW viewed AS SELECT * FROM leafed;
SELECT r AS relation, l.* FROM unnest(ARRAY['listed', 'paired', 'numbered', 'computed', 'ordinary', 'leafed_b', 'hashed_a', 'leafed_idx', 'viewed', 'pg_class']) r,
    strata._leaves(r::regclass) l;
SELECT * FROM strata._leaves(0);
SELECT * FROM strata._leaves(NULL);
SELECT 'ordinary'::regclass::oid AS gone \gset
DROP TABLE ordinary;
SELECT * FROM strata._leaves(:gone);

-- room on the disk
SELECT total_bytes > 0 AS has_size, free_bytes BETWEEN 0 AND total_bytes AS is_part FROM strata._disk_space();
DROP VIEW viewed;
DROP TABLE leafed, leafed_a, endless, naive, dated, keyed, momentary, hashed, listed, paired, numbered, computed;
DROP DOMAIN moment;
RESET timezone;

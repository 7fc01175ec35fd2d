-- The arithmetic is tested in strata-core; here the function's own edges, and its agreement with PostgreSQL's zones.
\set SHOW_CONTEXT never
SET timezone = 'Asia/Tokyo';
SELECT strata.time_bucket('1 day', '2026-11-23 23:59:59.999999+00');
SET timezone = 'UTC';
SELECT strata.time_bucket('1 day', '2026-11-23 23:59:59.999999+00');
SELECT strata.time_bucket('1 week', '2026-11-22 12:00+00'), strata.time_bucket('1 month', '2026-11-22 12:00+00', 'America/New_York'),
    strata.time_bucket('15 minutes', '1999-12-31 23:59+00'), strata.time_bucket('1 day', 'infinity'), strata.time_bucket('1 day', '-infinity');
SELECT strata.time_bucket('1 day', NULL) IS NULL, strata.time_bucket(NULL, now()) IS NULL;
SELECT strata.time_bucket('1 hour', '2026-11-22 12:34+00', 'UTC', '2000-01-01 00:15+00');
-- the hour that comes twice in Berlin
SELECT strata.time_bucket('2 hours', t, 'Europe/Berlin') FROM generate_series('2025-10-25 22:30+00'::timestamptz, '2025-10-26 03:30+00', '1 hour') t;
SELECT provolatile, proparallel, proisstrict FROM pg_proc WHERE oid = 'strata.time_bucket(interval,timestamptz,text,timestamptz)'::regprocedure;
SELECT refused($refused$SELECT strata.time_bucket('0', now())$refused$);
SELECT refused($refused$SELECT strata.time_bucket('1 month 1 day', now())$refused$);
SELECT refused($refused$SELECT strata.time_bucket('1 day', now(), 'Nowhere/Land')$refused$);
-- start <= ts and idempotent over every zone the server knows
SELECT count(*) > 10000 AS many, count(*) FILTER (WHERE b > t OR strata.time_bucket(w, b, name) <> b) AS wrong
FROM pg_timezone_names, generate_series('2009-10-31 23:17+00'::timestamptz, '2010-12-01', '31 days 5 hours') t,
    unnest(ARRAY['1 day', '1 month', '2 hours']::interval[]) w, LATERAL strata.time_bucket(w, t, name) b
WHERE name NOT LIKE 'posix%';

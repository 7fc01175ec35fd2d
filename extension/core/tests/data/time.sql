-- Makes time.tsv: what PostgreSQL 15 makes of dates and times, by psql -XqAt -f time.sql > time.tsv
-- Columns: type, text as a JSON string, the binary value in hex or SQLSTATE,
-- and whether we accept what the server accepts (f: refused on purpose).
SET TimeZone = 'Asia/Kathmandu';  -- must not matter
CREATE FUNCTION pg_temp.stored(type text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    wire bytea;
BEGIN
    EXECUTE format('SELECT %s_send(%L::%1$s)', type, value) INTO wire;
    RETURN encode(wire, 'hex');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;

SELECT setseed(0.15) \g /dev/null

WITH days (value) AS (
    VALUES ('2026-01-31'), ('2000-01-01'), ('1999-12-31'), ('1970-01-01'), ('0001-01-01'), ('9999-12-31'), ('10000-01-01'), ('294276-12-31'), ('294277-01-01'),
        ('0004-02-29'), ('0100-02-28'), ('0100-02-29'), ('1900-02-29'), ('2000-02-29'), ('2024-02-29'), ('2023-02-29'), ('2023-04-31'), ('2023-13-01'), ('2023-00-01'), ('2023-01-00'),
        ('0000-01-01'), ('5874897-12-31'), ('5874898-01-01'), ('99999999-01-01')
    UNION ALL
    SELECT to_char('0001-01-01'::date + floor(random() * 1000000)::int, 'YYYY-MM-DD') FROM generate_series(1, 100)
),
times (value) AS (
    VALUES ('00:00:00'), ('12:34'), ('12:34:56'), ('12:34:56.7'), ('12:34:56.789012'), ('23:59:59.999999'), ('23:59:59.9999994'), ('23:59:59.9999995'), ('23:59:59.9999999'),
        ('00:00:00.0000005'), ('00:00:00.0000015'), ('00:00:00.0000025'), ('00:00:00.0000035'), ('00:00:00.00000049999999999'), ('01:02:03.12345650000000000000001'),
        ('23:59:60'), ('23:59:60.5'), ('00:00:60'), ('12:00:61'), ('24:00:00'), ('24:00'), ('24:00:00.000001'), ('24:01:00'), ('25:00:00'), ('12:60:00'), ('24:00:00.0000001')
    UNION ALL
    SELECT '01:02:03.' || lpad(floor(random() * 1e9)::bigint::text, 9, '0') || (ARRAY['', '5', '50', '123'])[1 + floor(random() * 4)] FROM generate_series(1, 100)
),
zones (value) AS (VALUES ('Z'), ('z'), ('+00'), ('-00:00'), ('+05:45'), ('-0330'), ('+14'), ('+15:59:59'), ('-15:59'), ('+16:00'), ('+01:60'), ('+01:02:03'), ('+01:02:60')),
cases (type, value, accepted) AS (
    SELECT 'date', value, true FROM days
    UNION ALL SELECT 'time', value, true FROM times
    UNION ALL SELECT 'timestamp', value || 'T12:00:00.25', true FROM days
    UNION ALL SELECT 'timestamp', value, true FROM days
    UNION ALL SELECT 'timestamp', '2026-12-31 ' || value, true FROM times
    UNION ALL SELECT 'timestamptz', value || 't00:30:00-02:30', true FROM days
    UNION ALL SELECT 'timestamptz', '2026-12-31T' || value || '+01', true FROM times
    UNION ALL SELECT 'timestamptz', '2026-12-31 12:34:56.789' || value, true FROM zones
    UNION ALL SELECT 'timestamptz', '294276-12-31 23:59:59.999999' || value, true FROM zones
    UNION ALL SELECT type, value, true FROM unnest(ARRAY['timestamptz', 'timestamp', 'date']) AS type,
        unnest(ARRAY['infinity', '-infinity', '', 'x', '-', '2026', '2026-01', '2026-1x-01', '2026-01-01T', '2026-01-01Tx', '2026-01-01 1', '2026-01-01T00:00:00.1.2Z', '２026-01-01']) AS value
    UNION ALL VALUES ('timestamptz', '2026-01-01T00:00:00', false), ('timestamptz', '2026-01-01', false), ('timestamptz', '2026-01-01 00:00:00 UTC', false),
        ('timestamptz', '2026-01-01 00:00:00 America/New_York', false), ('timestamptz', 'now', false), ('timestamptz', '20260101T000000Z', false),
        ('timestamptz', '01/02/2026 00:00:00Z', false), ('timestamptz', ' 2026-01-01T00:00:00Z', false), ('timestamptz', '2026-01-01T00:00:00.Z', false), ('timestamptz', '2026-1-1T00:00:00Z', false),
        ('timestamptz', '2026-01-01T00:00:00+1', false), ('timestamptz', '0044-03-15T00:00:00Z BC', false), ('timestamptz', '2026-01-01T1:00:00Z', false), ('timestamptz', '2026-01-01Z', true),
        ('timestamp', '2026-01-01T00:00:00Z', false), ('timestamp', '2026-01-01T00:00:00+02', false), ('timestamp', 'epoch', false), ('timestamp', '2026-001', false),
        ('date', '2026-01-01T00:00:00', false), ('date', '20260101', false), ('date', 'J2451545', false), ('date', 'January 8, 1999', false), ('date', '26-01-01', false), ('date', 'Infinity', false),
        ('time', '12', true), ('time', '123456', false), ('time', '12:34:56+02', false), ('time', '1:02', false), ('time', '12:34 PM', false), ('time', '12:34:', false)
)
SELECT concat_ws(E'\t', type, to_json(value)::text, pg_temp.stored(type, value), accepted) FROM cases;

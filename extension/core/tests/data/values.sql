-- Makes values.tsv: PostgreSQL 15's binary form of the examples of docs/formats.md,
-- by psql -XqAt -f values.sql > values.tsv. Columns: type, its OID, literal, wire bytes in hex.
SET TimeZone = 'Asia/Kathmandu';  -- must not matter
SELECT concat_ws(E'\t', regexp_replace(type, '\(.*', ''), split_part(type, '(', 1)::regtype::oid, value,
    (xpath('/row/w/text()', query_to_xml(format('SELECT encode(%s(%L::%s), ''hex'') AS w', send, value, type), false, true, '')))[1])
FROM (VALUES
    ('boolean', 'boolsend', 'true'),
    ('smallint', 'int2send', '-2'),
    ('integer', 'int4send', '42'),
    ('bigint', 'int8send', '42'),
    ('real', 'float4send', '1.5'),
    ('double precision', 'float8send', '-2'),
    ('numeric', 'numeric_send', '-12345.6780'),
    ('text', 'textsend', 'é'),
    ('character varying', 'varcharsend', 'ab '),
    ('character(5)', 'bpcharsend', 'ab'),
    ('bytea', 'byteasend', '\x00ff'),
    ('uuid', 'uuid_send', '00112233-4455-6677-8899-aabbccddeeff'),
    ('date', 'date_send', '1999-12-31'),
    ('time', 'time_send', '00:00:01'),
    ('timestamp', 'timestamp_send', '2000-01-01 00:00:01'),
    ('timestamp with time zone', 'timestamptz_send', '2000-01-01 00:00:01+00'),
    ('time with time zone', 'timetz_send', '00:00:01+02'),
    ('interval', 'interval_send', '2 months 3 days 00:00:04'),
    ('inet', 'inet_send', '10.0.0.1'),
    ('cidr', 'cidr_send', 'fe80::/10'),
    ('json', 'json_send', '{"k": 1 }'),
    ('jsonb', 'jsonb_send', '{"k": 1.0}')
) AS examples (type, send, value);

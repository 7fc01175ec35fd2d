-- Makes numeric.tsv: what PostgreSQL 15 stores for a text, by psql -XqAt -f numeric.sql > numeric.tsv
-- Columns: text as a JSON string, precision, scale (empty: plain numeric), numeric_send in hex or SQLSTATE, numeric_out.
CREATE FUNCTION pg_temp.stored(text, int, int, OUT wire text, OUT shown text) LANGUAGE plpgsql AS $$
DECLARE
    value numeric;
BEGIN
    value := numeric_in($1::cstring, 0, CASE WHEN $2 IS NULL THEN -1 ELSE (($2 << 16) | ($3 & 2047)) + 4 END);
    wire := encode(numeric_send(value), 'hex');
    shown := value::text;
EXCEPTION WHEN OTHERS THEN
    wire := SQLSTATE;
END $$;

SELECT setseed(0.15) \g /dev/null

WITH texts (value) AS (
    VALUES ('0'), ('-0'), ('+0'), ('0.00'), ('-0.000'), ('00012.50'), ('1'), ('-1'), ('+1'), ('10000'), ('9999'),
        ('99999999'), ('-12345.678'), ('1e-5'), ('1E5'), ('1e+5'), ('1.50e1'), ('1.50e3'), ('123.456e-2'), ('.5'), ('-.5'),
        ('5.'), ('5.e1'), ('0e10'), ('0e-10'), ('0.0e2'), ('000'), ('0.5'), ('0.05'), ('0.005'), ('0.0049999'), ('1.005'),
        ('1.995'), ('9.995'), ('99.995'), ('999.995'), ('9999.995'), ('99999999.995'), ('-9999.9999'), ('0.00009999'),
        ('4'), ('5'), ('14'), ('15'), ('49'), ('50'), ('149'), ('150'), ('499'), ('500'), ('949'), ('950'), ('999'), ('1499'),
        ('9949'), ('9950'), ('12345678'), ('12344999'), ('99950000'), ('1e131071'), ('-1e131071'), ('1e131072'), ('9e-16383'),
        ('1e-16383'), ('1e-16384'), ('0e-16383'), ('0e-16384'), ('0e999999'), ('1e1073741822'), ('1e1073741823'),
        ('1e-1073741822'), ('1e-1073741823'), ('0e1073741823'), ('1e99999999999999999999'), ('1e-99999999999999999999'),
        ('NaN'), ('nan'), (' NAN '), ('-NaN'), ('+NaN'), ('Infinity'), ('+INFINITY'), ('-infinity'), ('inf'), ('+inf'), ('-Inf'),
        ('infinit'), ('infinityx'), (' 1'), ('1 '), (E'\t\n\x0b\f\r1\t\n\x0b\f\r'), ('1 2'), ('1e 5'), ('1e +5'), ('1e+ 5'), ('1e'),
        ('1e+'), ('e5'), ('.'), ('-.'), ('-'), ('+'), (''), (' '), ('--1'), ('+-1'), ('- 1'), ('1..2'), ('1.2.3'), ('1,000'),
        ('0x10'), ('1_000'), ('1e5.0'), ('1e5x'), ('1e99999999999x'), ('1f'), ('१'), (E'\u00a01'), ('1e5e5'), ('Inf '), ('1-'),
        ('123456789012345678901234567890.123456789012345678901234567890')
),
random_texts (value) AS (
    SELECT (ARRAY['', '-', '+'])[1 + floor(random() * 3)]
        || substr(repeat('0', (random() * 3)::int) || (random() * 1e12)::numeric::text || (random() * 1e12)::bigint::text, 1, (random() * 24)::int)
        || (ARRAY['', '', 'e' || (random() * 60 - 30)::int])[1 + floor(random() * 3)]
    FROM generate_series(1, 400)
),
cases (value, precision, scale) AS (
    SELECT value, precision, scale
    FROM texts, (VALUES (NULL, NULL), (5, 2), (4, 0), (3, -2), (2, 4), (1000, 1000)) AS typmods (precision, scale)
    UNION ALL
    SELECT value, NULL, NULL FROM random_texts
    UNION ALL
    SELECT value, precision, CASE WHEN precision IS NOT NULL THEN (random() * 24 - 8)::int END
    FROM (SELECT value, 1 + (random() * 20)::int AS precision FROM random_texts) AS drawn
)
SELECT concat_ws(E'\t', to_json(value)::text, coalesce(precision::text, ''), coalesce(scale::text, ''), wire,
    CASE WHEN length(shown) <= 80 THEN shown ELSE '' END)
FROM cases, LATERAL pg_temp.stored(value, precision, scale);

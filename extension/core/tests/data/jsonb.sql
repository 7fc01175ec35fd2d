-- Makes jsonb.tsv: what PostgreSQL 15 stores for JSON text, by psql -XqAt -f jsonb.sql > jsonb.tsv
-- Columns: text as a JSON string, jsonb::text or SQLSTATE. The database's encoding is UTF8.
CREATE FUNCTION pg_temp.stored(text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN $1::jsonb::text;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;

CREATE FUNCTION pg_temp.one_of(VARIADIC text[]) RETURNS text VOLATILE
    RETURN $1[1 + floor(random() * cardinality($1))];

CREATE FUNCTION pg_temp.random_json(depth int) RETURNS text VOLATILE LANGUAGE plpgsql AS $$
DECLARE
    space text := pg_temp.one_of('', '', ' ', E'\n\t\r ');
    parts text[] := '{}';
BEGIN
    CASE floor(random() * CASE WHEN depth > 0 THEN 7 ELSE 4 END)
        WHEN 0 THEN RETURN pg_temp.one_of('true', 'false', 'null');
        WHEN 1 THEN RETURN pg_temp.one_of('', '-') || (random() * 1000)::int || pg_temp.one_of('', '.0', '.50', '.125')
            || pg_temp.one_of('', '', 'e' || (random() * 20 - 10)::int, 'E+3');
        WHEN 2, 3 THEN RETURN '"' || pg_temp.one_of('', 'a', 'b', 'ab', '\u00e9', 'é', '\ud83d\ude00', '\n\t\b\f\r\"\\\/', '~') || '"';
        WHEN 4 THEN
            FOR i IN 1 .. random() * 5 LOOP
                parts := parts || (space || pg_temp.random_json(depth - 1));
            END LOOP;
            RETURN '[' || array_to_string(parts, ',') || space || ']';
        ELSE
            FOR i IN 1 .. random() * 6 LOOP
                parts := parts || (space || pg_temp.one_of('"a"', '"b"', '"aa"', '"B"', '"\u0061"', '"é"', '"ab"', '"z"', '""', '"abc"')
                    || space || ':' || space || pg_temp.random_json(depth - 1));
            END LOOP;
            RETURN '{' || array_to_string(parts, ',') || space || '}';
    END CASE;
END $$;

SELECT setseed(0.15) \g /dev/null

WITH cases (value) AS (
    VALUES ('null'), ('true'), ('false'), ('""'), ('[]'), ('{}'), (' [ ] '), (' { } '), (E'\t\n\r 1 \t\n\r'),
        ('0'), ('-0'), ('0.0'), ('-0.00'), ('1'), ('1.0'), ('1.10'), ('1e5'), ('1E5'), ('1e-5'), ('1.5e1'), ('1.50e+1'), ('12345678901234567890.123'),
        ('1e131071.5'), ('1e131072'), ('1e-16384'), ('1e-99999999999'), ('0e99999999999'), ('[1e400]'), ('1e-16383 x'),
        ('01'), ('-'), ('+1'), ('.5'), ('5.'), ('1e'), ('1e+'), ('-01'), ('1.e5'), ('1a'), ('0x1'), ('--1'), ('NaN'), ('Infinity'), ('-Infinity'), ('1 2'), ('1e 5'),
        ('"a'), ('a'), ('"\x"'), ('"\u12"'), ('"\u123g"'), ('"\'), ('"\"'), (E'"\t"'), (E'"\n"'), (E'"\u007f"'), (E'"\u001f"'), ('"\u001f\u007f\u0080"'),
        ('"\u0000"'), ('["a\u0000b"]'), ('{"\u0000": 1}'), ('"\\u0000"'), ('"\ud800"'), ('"\udc00"'), ('"\ud800x"'), ('"\ud800\n"'), ('"\ud800\u0041"'),
        ('"\ud800\ud800"'), ('"\ud800\ue000"'), ('"\udc00\ud800"'), ('"\ud83d\ude00"'), ('"\uD83D\uDE00"'), ('"\udbc0\udc00"'), ('"\uffff"'), ('"\ufffe\ufeff"'), ('"\u00E9"'), ('"é"'), ('"\u2028"'),
        ('"\/"'), ('"\b\f\n\r\t\"\\"'), ('"\B"'), ('"\''"'), (''''''),
        ('[1,]'), ('[,1]'), ('[1 2]'), ('[1'), ('1]'), ('[1]]'), ('[}'), ('{]'), ('{"a"}'), ('{"a":}'), ('{"a":1,}'), ('{,}'), ('{1:2}'), ('{a:1}'), ('{"a" 1}'),
        ('{"a":1 "b":2}'), ('{"a"::1}'), ('{null:1}'), ('{"a":1}}'), ('{"a":1'), (''), (' '), ('tru'), ('truex'), ('True'), ('nul'), ('nullnull'), ('// x'), (E'\ufeff1'), (E'\u00a01'), (E'\f1'), (E'1\x0b'),
        ('{"b":1,"a":2}'), ('{"aa":1,"b":2}'), ('{"a":1,"a":2}'), ('{"a":1,"b":2,"a":3}'), ('{"a":1,"\u0061":2}'), ('{"a":{"x":1},"a":{"y":2}}'), ('{"a":3,"a":1,"a":2}'),
        ('{"Z":1,"a":2,"é":3,"aa":4,"":5}'), ('{"é":1,"zz":2,"zzz":3}'), ('{"":1,"":2}'), ('{"b":{"d":1,"c":2},"a":[{"f":1,"e":2},{"e":3,"e":4}]}'),
        ('[[[[]]],{"a":[{}]}]'), ('{"a":1.0,"b":1.00,"c":100e-2}'), ('[0,-0,0.0,-0.0,0e5,0E-5]'), ('{"a" : 1 , "b" : [ 1 , 2 ] }'),
        ('[' || repeat('[],', 50) || '0]'), ('{' || (SELECT string_agg(format('"k%s":%s', n * 7919 % 100, n), ',') FROM generate_series(1, 150) AS n) || '}')
    UNION ALL
    SELECT pg_temp.random_json(4) FROM generate_series(1, 250)
)
SELECT concat_ws(E'\t', to_json(value)::text, stored) FROM cases, LATERAL pg_temp.stored(value) AS stored;

-- What the other tests share: a comparison that shows every group in which a rollup differs from its query, both ways,
-- in one snapshot.
CREATE FUNCTION differences(rollup regclass) RETURNS TABLE (side text, line text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'WITH expected AS MATERIALIZED (%s), found AS MATERIALIZED (SELECT * FROM %s) '
        'SELECT ''missing'', d::text FROM (SELECT * FROM expected EXCEPT ALL SELECT * FROM found) d '
        'UNION ALL SELECT ''extra'', d::text FROM (SELECT * FROM found EXCEPT ALL SELECT * FROM expected) d '
        'UNION ALL SELECT ''nothing compared'', '''' WHERE NOT EXISTS (SELECT FROM expected) AND NOT EXISTS (SELECT FROM found)',
        rtrim(strata.rollup_query(rollup), ';'), rollup);
END
$$;
-- A statement that must fail: what its error says. psql's own verbose form would show line numbers of the server.
CREATE FUNCTION refused(statement text, OUT error text) LANGUAGE plpgsql AS $$
DECLARE
    code text;
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE statement;
    error := 'nothing was refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    error := concat_ws(E'\n', code || ': ' || message, 'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, ''));
END
$$;
SELECT extension_version, flavour, build IS NOT NULL AS built FROM strata.version();

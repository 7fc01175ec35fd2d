-- What every part of the test uses: a comparison of a rollup with its defining query, both ways.
CREATE FUNCTION compare(rollup regclass, groups_min bigint DEFAULT 1) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    wrong bigint;
    compared bigint;
BEGIN
    EXECUTE format('WITH expected AS MATERIALIZED (%s), found AS MATERIALIZED (SELECT * FROM %s) '
        'SELECT (SELECT count(*) FROM (SELECT * FROM expected EXCEPT ALL SELECT * FROM found) d) '
        '+ (SELECT count(*) FROM (SELECT * FROM found EXCEPT ALL SELECT * FROM expected) d), (SELECT count(*) FROM expected)',
        rtrim(strata.rollup_query(rollup), ';'), rollup) INTO wrong, compared;
    IF wrong > 0 OR compared < groups_min THEN
        RAISE EXCEPTION '% of % groups of % differ', wrong, compared, rollup;
    END IF;
    RETURN compared;
END
$$;

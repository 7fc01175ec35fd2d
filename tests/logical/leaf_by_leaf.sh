# Without publish_via_partition_root PostgreSQL takes no column list, so that batch ids come along; leaves are matched by
# name, new ones after REFRESH PUBLICATION. Strange names, and dates.
events="
CREATE TABLE \"Odd \"\"Näme\" (day date NOT NULL, \"select\" int, v numeric, PRIMARY KEY (day, \"select\"));
SELECT strata.create_event_table('\"Odd \"\"Näme\"', 'day', '1 day');
SELECT strata.ensure_partitions('\"Odd \"\"Näme\"', now() - interval '3 days', now());
SELECT strata.create_rollup('\"Röll up\"', '\"Odd \"\"Näme\"', '1 day', ARRAY['\"select\" % 3 AS third'], ARRAY['count(*) AS n', 'sum(v) AS v']);"
new_database leaf_by_leaf
publisher -c "INSERT INTO \"Odd \"\"Näme\" SELECT current_date - n % 3, n, n FROM generate_series(1, 300) n" \
    -c "CREATE PUBLICATION events FOR TABLE \"Odd \"\"Näme\""
subscriber -c "CREATE SUBSCRIPTION leaf_by_leaf CONNECTION '$(connection)' PUBLICATION events" 2>/dev/null
copied "SELECT compare('\"Röll up\"', 0)"
same_rows '"Odd ""Näme"' 'day, "select", v'
subscriber -c "SELECT strata.refresh_rollup('\"Röll up\"')" -c "SELECT compare('\"Röll up\"')" >/dev/null
publisher <<'SQL'
INSERT INTO "Odd ""Näme" SELECT current_date, n, n FROM generate_series(301, 320) n;
UPDATE "Odd ""Näme" SET v = 2 * v WHERE "select" % 10 = 1;
UPDATE "Odd ""Näme" SET day = day - 1 WHERE day = current_date AND "select" % 10 = 2;
DELETE FROM "Odd ""Näme" WHERE "select" % 10 = 3;
SQL
caught_up leaf_by_leaf "SELECT compare('\"Röll up\"')"
same_rows '"Odd ""Näme"' 'day, "select", v'
subscriber -c "SELECT compare('\"Röll up\"')" -c "SELECT strata.refresh_rollup('\"Röll up\"')" -c "SELECT compare('\"Röll up\"')" >/dev/null
# a partition that is new on both sides
for side in publisher subscriber; do
    $side -c "SELECT strata.ensure_partitions('\"Odd \"\"Näme\"', now() - interval '4 days', now())" >/dev/null
done
publisher -c "INSERT INTO \"Odd \"\"Näme\" VALUES (current_date - 4, 1, 1)"
subscriber -c "ALTER SUBSCRIPTION leaf_by_leaf REFRESH PUBLICATION"
copied
caught_up leaf_by_leaf
same_rows '"Odd ""Näme"' 'day, "select", v'
# one leaf truncated
publisher -c "DO \$\$ BEGIN EXECUTE 'TRUNCATE ' || (SELECT tableoid::regclass FROM \"Odd \"\"Näme\" WHERE day = current_date LIMIT 1); END \$\$"
caught_up leaf_by_leaf
same_rows '"Odd ""Näme"' 'day, "select", v'
subscriber -c "SELECT compare('\"Röll up\"')" -c "SELECT strata.refresh_rollup('\"Röll up\"')" -c "SELECT compare('\"Röll up\"')" >/dev/null
drop_subscription leaf_by_leaf

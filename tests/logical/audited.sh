# An audited table of the subscriber: what the worker applies is logged like everything else, the first copy too.
events=
new_database audited
tables="CREATE TABLE people (id int PRIMARY KEY, name text, city text);
CREATE TABLE visits (ts timestamptz NOT NULL, id int, page text, PRIMARY KEY (id, ts)) PARTITION BY RANGE (ts);
CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE visits_2 PARTITION OF visits FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');"
publisher -c "$tables" -c "INSERT INTO people VALUES (1, 'Ada', 'London'), (2, 'Bob', 'Paris'); INSERT INTO visits VALUES ('2026-02-01', 1, '/')"
subscriber -c "$tables" -c 'SET client_min_messages = warning' -c "SELECT strata.enable_audit('people', erasable => '{name}'), strata.enable_audit('visits')" >/dev/null
publisher -c 'CREATE PUBLICATION audited FOR TABLE people, visits WITH (publish_via_partition_root = true)'
subscriber -c "CREATE SUBSCRIPTION audited CONNECTION '$(connection)' PUBLICATION audited" 2>/dev/null
# nothing is ever wrong, whatever is being applied
sound="SELECT 1 / (count(*) = 0)::int FROM strata.verify_audit()"
copied "$sound"
publisher <<'SQL'
INSERT INTO people SELECT n, 'name ' || n, 'city' FROM generate_series(3, 100) n;
UPDATE people SET city = 'Rome' WHERE id <= 10;
BEGIN;
UPDATE people SET id = 1000, name = 'moved' WHERE id = 2;
DELETE FROM people WHERE id > 90 AND id < 1000;
SAVEPOINT s;
DELETE FROM people;
ROLLBACK TO s;
INSERT INTO visits VALUES ('2026-03-01', 2, '/a'), ('2026-08-01', 2, '/b');
COMMIT;
UPDATE visits SET ts = '2026-09-01' WHERE id = 1;
DELETE FROM visits WHERE page = '/a';
SQL
caught_up audited "$sound"
same_rows people 'id, name, city'
same_rows visits 'ts, id, page'
log="SELECT string_agg(operation || ' ' || added || ' ' || removed, ', ' ORDER BY operation) FROM (
    SELECT operation, sum(added) AS added, sum(removed) AS removed FROM strata.audit_log WHERE added + removed > 0 AND relation = '%s'::regclass GROUP BY operation) o"
# shellcheck disable=SC2059 # the table's name is put into the query
logged() { subscriber -c "$(printf "$log" "$1")"; }
expect "what was logged of people" "$(logged people)" "delete 0 11, insert 101 0, update 10 10"
expect "what was logged of visits" "$(logged visits)" "delete 0 2, insert 4 0"
expect "who applied" "$(subscriber -c "SELECT DISTINCT session_role FROM strata.audit_log WHERE operation = 'update'")" postgres
expect "an old version" "$(subscriber -c "SELECT version ->> 'city' FROM strata.row_history('people', '5') LIMIT 1")" city
publisher -c 'TRUNCATE people'
caught_up audited "$sound"
expect "a truncation" "$(subscriber -c "SELECT sum(removed) FROM strata.audit_log WHERE operation = 'truncate'")" 90
# a value that was erased here is written again by the worker: under another salt
publisher -c "INSERT INTO people VALUES (1, 'Ada', 'London')"
caught_up audited "$sound"
subscriber -c 'SET client_min_messages = warning' -c "SELECT 1 / (rows = 1)::int FROM strata.erase('people', '1')" >/dev/null
publisher -c "UPDATE people SET name = 'Ada King' WHERE id = 1"
caught_up audited "$sound"
expect "the value of after" "$(subscriber -c "SELECT name FROM people WHERE id = 1")" 'Ada King'
subscriber -c "SELECT 1 / (strata.seal_audit() > 0)::int" -c "$sound" >/dev/null
drop_subscription audited

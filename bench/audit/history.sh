#!/usr/bin/env bash
# How long it takes to look at one key among many old versions, and to undo one transaction among many.
# VERSIONS: how many (1,000,000; 10,000,000 takes some ten minutes and 3 GB), made by transactions of TRANSACTION_ROWS (1,000).
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
versions=${VERSIONS:-1000000}
rows=$((versions / 20))
at_once=${TRANSACTION_ROWS:-1000}
cluster=$(scripts/pg.sh create timezone=UTC shared_buffers=256MB max_wal_size=4GB fsync=off)
trap 'scripts/pg.sh destroy "$cluster"' EXIT
sql() { scripts/pg.sh psql "$cluster" -qXAt -v ON_ERROR_STOP=1 "$@"; }
sql >/dev/null <<SQL
SET client_min_messages = warning;
CREATE EXTENSION pg_strata;
CREATE TABLE accounts (id bigint PRIMARY KEY, name text, amount numeric(10, 2), at timestamptz, ok boolean, n int);
INSERT INTO accounts SELECT g, 'customer ' || g, g % 1000, now(), true, 0 FROM generate_series(1, $rows / 2) g;
SELECT strata.enable_audit('accounts');
CREATE PROCEDURE in_pieces(statement text, lower bigint, upper bigint) LANGUAGE plpgsql AS \$\$
BEGIN
    FOR piece IN lower / $at_once .. (upper - 1) / $at_once LOOP
        EXECUTE statement USING greatest(lower, piece * $at_once) + 1, least(upper, (piece + 1) * $at_once);
        COMMIT;
    END LOOP;
END
\$\$;
CALL in_pieces('INSERT INTO accounts SELECT g, ''customer '' || g, g % 1000, now(), true, 0 FROM generate_series(\$1, \$2) g', $rows / 2, $rows);
SELECT strata.seal_audit();
CREATE TABLE moments (name text, at timestamptz, xid xid8);
INSERT INTO moments VALUES ('first', clock_timestamp());
SQL
for round in $(seq 20); do
    sql -c "CALL in_pieces('UPDATE accounts SET n = n + 1 WHERE id BETWEEN \$1 AND \$2', 0, $rows)" -c "VACUUM accounts" >/dev/null
    [ "$round" != 10 ] || sql -c "INSERT INTO moments VALUES ('half', clock_timestamp())"
done
sql <<SQL
INSERT INTO moments SELECT 'last', clock_timestamp();
WITH changed AS (UPDATE accounts SET n = -1 WHERE id % ($rows / 10) = 5 RETURNING 1) INSERT INTO moments SELECT 'undo', now(), pg_current_xact_id();
CALL in_pieces('INSERT INTO accounts SELECT g, ''new'', 0, now(), true, 0 FROM generate_series(\$1, \$2) g', $rows, $rows * 2);
VACUUM ANALYZE accounts, accounts_history;
SQL
say "$(sql -c "SELECT count(*) || ' old versions, ' || pg_size_pretty(pg_total_relation_size('accounts_history')) || ', ' || (SELECT count(*) FROM strata._audit_chunks) || ' chunks' FROM accounts_history")"
measure() { # measure <name> <statement>: milliseconds, the first time in a session and the best of the next four
    sql -c '\timing on' -c "$2" -c "$2" -c "$2" -c "$2" -c "$2" | awk -v name="$1" '
        /^Time/ { n++; if (n == 1) first = $2; else if (n == 2 || $2 < best) best = $2 }
        END { printf "%-60s %9.1f ms, first in a session %9.1f ms\n", name, best, first }'
}
at() { sql -c "SELECT at FROM moments WHERE name = '$1'"; }
measure 'row_history of one key' "SELECT count(*) FROM strata.row_history('accounts', '42')"
measure 'a row as of half way, by key' "SELECT n FROM accounts_as_of('$(at half)') WHERE id = $((rows - 1))"
measure 'a row as of half way, by key, of the baseline' "SELECT n FROM accounts_as_of('$(at half)') WHERE id = 42"
measure 'a row as of the end, by key, which came later' "SELECT count(*) FROM accounts_as_of('$(at last)') WHERE id = $((rows + 42))"
measure 'all rows as of half way' "SELECT count(*) FROM accounts_as_of('$(at half)')"
xid=$(sql -c "SELECT xid FROM moments WHERE name = 'undo'")
measure 'undo_transaction of 10 rows, rolled back' "DO \$\$ BEGIN PERFORM strata.undo_transaction('$xid'); RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END \$\$"

#!/usr/bin/env bash
# What auditing costs: COPY, INSERT and UPDATE by CPU, single rows by transactions a second, verification by rows a second.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
cluster=$(scripts/pg.sh create timezone=UTC shared_buffers=256MB max_wal_size=2GB)
work=$(mktemp -d)
trap 'scripts/pg.sh destroy "$cluster"; rm -rf "$work"' EXIT
port=$(cat "$cluster/port")
sql() { scripts/pg.sh psql "$cluster" -qAt "$@"; }
sql >/dev/null <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION pg_strata;
CREATE TABLE plain (id bigint PRIMARY KEY, name text, amount numeric(10, 2), at timestamptz, ok boolean, n int);
CREATE TABLE audited (LIKE plain INCLUDING ALL);
SELECT strata.enable_audit('audited');
CREATE TABLE jsonb_trigger (LIKE plain INCLUDING ALL);
CREATE TABLE jsonb_log (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT now(), who name DEFAULT current_user, op text, old jsonb, new jsonb);
CREATE FUNCTION jsonb_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jsonb_log (op, old, new) VALUES (TG_OP, CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END, CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
    RETURN NULL;
END
$$;
CREATE TRIGGER jsonb_log AFTER INSERT OR UPDATE OR DELETE ON jsonb_trigger FOR EACH ROW EXECUTE FUNCTION jsonb_log();
CREATE TABLE source AS SELECT i::bigint AS id, 'customer ' || i AS name, (i % 1000) * 1.25 AS amount, now() + i * interval '1 s' AS at, i % 2 = 0 AS ok, i::int AS n FROM generate_series(1, 100000) i;
SQL
sql -c "COPY (SELECT * FROM source ORDER BY id) TO STDOUT" | split -l 10000 -d -a 1 - "$work/rows."
python3 bench/audit/run.py "$cluster" "$port" "$(pg_bindir)/psql" "$work"

echo "INSERT INTO :t (id, name, n) VALUES ((random() * 9e18)::bigint, 'one', 1);" >"$work/one.sql"
for clients in 1 16; do
    for round in 1 2; do
        for table in plain audited; do
            PGHOST=$cluster PGPORT=$port PGUSER=postgres "$(pg_bindir)/pgbench" -n -D t="$table" -f "$work/one.sql" -c "$clients" -j 2 -T 4 postgres 2>/dev/null |
                awk -v t="$table" -v c="$clients" '/^tps/ { printf "single-row inserts, %2d clients: %-8s %d tps\n", c, t, $3 }'
        done
    done
done
rows=$(sql -c "SELECT count(*) FROM audited")
sql -c '\timing on' -c "SELECT strata._audit_rows(strata._audit_scan('audited'))" | awk -v n="$rows" '/Time/ { printf "table verification: %d rows in %d ms\n", n, $2 }'

#!/usr/bin/env bash
# Single-row INSERT transactions through the batch default against the same partitioned table without a ledger:
# pgbench with 1 and 16 clients, alternating rounds in one run, medians. BENCH_SECONDS and BENCH_ROUNDS change its size.
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
seconds=${BENCH_SECONDS:-4}
rounds=${BENCH_ROUNDS:-5}
work=$(mktemp -d)
dir=$(bench_pg)
trap 'scripts/pg.sh destroy "$dir"; rm -rf "$work"' EXIT
eval "$(scripts/pg.sh env "$dir")"
scripts/pg.sh psql "$dir" -qc 'CREATE DATABASE bench' -c '\c bench' -c 'CREATE EXTENSION pg_strata'

for table in plain ledger; do
    sql -v table="$table" -f bench/schema.sql
    cat >"$work/$table.sql" <<END
\\set user random(1, 100000)
INSERT INTO $table (event_id, ts, user_id, kind, amount) VALUES (gen_random_uuid(), now(), :user, 'click', 12.50);
END
done
sql -c "SELECT strata.create_event_table('ledger', 'ts')" >/dev/null
# The same partitions for both.
sql <<'END'
SELECT format('CREATE TABLE plain_%s PARTITION OF plain FOR VALUES FROM (%L) TO (%L)', n, day, day + interval '1 day')
FROM generate_series(date_trunc('day', now()) - interval '1 day', now() + interval '4 days', interval '1 day') WITH ORDINALITY AS d (day, n)
\gexec
END

one() { # one <table> <clients>: transactions a second
    "$(pg_bindir)/pgbench" -n -M prepared -T "$seconds" -c "$2" -j 2 -f "$work/$1.sql" bench 2>/dev/null |
        sed -n 's/^tps = \([0-9.]*\).*/\1/p'
}

title "single-row INSERT transactions, medians of $rounds rounds of $seconds s"
printf '%-34s %12s %12s %8s   %s\n' '' 'no ledger/s' 'ledger/s' 'ratio' '(goal: 0.9 or more)'
for durability in on off; do
    export PGOPTIONS="-c synchronous_commit=$durability"
    for clients in 1 16; do
        rm -f "$work"/{plain,ledger,ratio}
        for round in $(seq "$rounds"); do
            # Whoever comes first has the emptier table and the cleaner disk: take turns.
            if [ $((round % 2)) = 0 ]; then order='plain ledger'; else order='ledger plain'; fi
            for table in $order; do
                sql -c CHECKPOINT
                one "$table" "$clients" >>"$work/$table"
            done
            calc "$(tail -n 1 "$work/ledger") / $(tail -n 1 "$work/plain")" >>"$work/ratio"
            echo >>"$work/ratio"
        done
        printf '%-34s %12.0f %12.0f %8.2f\n' "$clients client(s), synchronous_commit=$durability" \
            "$(median <"$work/plain")" "$(median <"$work/ledger")" "$(grep . "$work/ratio" | median)"
    done
done

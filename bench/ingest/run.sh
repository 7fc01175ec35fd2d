#!/usr/bin/env bash
# The sidecar against psql's \copy of the same rows, binary, into an identical event table; then with a rollup.
# Alternating rounds in one run, medians. BENCH_ROWS and BENCH_ROUNDS change its size.
. "$(dirname "$0")/lib.sh"
rows=${BENCH_ROWS:-1000000}
rounds=${BENCH_ROUNDS:-3}
title "producing $rows records into 8 shards"
"$BIN/strata" produce --stream bench --count "$rows" --late-share 0 --span-hours 48 --seed 1 2>&1 | tail -n 1

# This first pass also warms everything up.
fresh clicks
by_sidecar clicks "$work/warm"
[ "$(sql -c 'SELECT count(*) FROM clicks')" = "$rows" ] || die "not every record became a row"
export_rows clicks

title "$rounds rounds"
for round in $(seq "$rounds"); do
    fresh clicks && by_psql clicks "$work/psql"
    fresh clicks && by_sidecar clicks "$work/alone"
    fresh clicks clicks_by_user_day && by_sidecar clicks "$work/rollup"
    [ -z "$(sql -c "SELECT * FROM strata.verify_rollup('clicks_by_user_day')" 2>/dev/null)" ] || die "the rollup is wrong"
    say "round $round: psql $(tail -n 1 "$work/psql" | cut -d' ' -f1), sidecar $(tail -n 1 "$work/alone" | cut -d' ' -f1), with rollup $(tail -n 1 "$work/rollup" | cut -d' ' -f1) rows/s"
done

title "medians of $rounds rounds, $rows rows each"
psql_rate=$(column psql 1)
printf '%-28s %12s %8s %18s %22s %10s\n' '' 'rows/s' 'ratio' 'own CPU s/M rows' 'backends CPU s/M rows' 'peak MB'
printf '%-28s %12.0f %8s %18s %22.2f\n' 'psql \copy binary' "$psql_rate" 1 '' "$(column psql 2)"
for run in alone rollup; do
    name='strata ingest'
    [ $run = alone ] || name='strata ingest, one rollup'
    printf '%-28s %12.0f %8.2f %18.2f %22.2f %10.0f\n' "$name" "$(column $run 1)" "$(calc "$(column $run 1) / $psql_rate")" \
        "$(column $run 2)" "$(column $run 3)" "$(column $run 4)"
done
say "own CPU / backends' CPU: $(calc "$(column alone 2) / $(column alone 3)")   (goal: below 0.3)"
say "sidecar / psql:          $(calc "$(column alone 1) / $psql_rate")   (goal: 0.9 or more)"
say "with / without a rollup: $(calc "$(column rollup 1) / $(column alone 1)")   (goal: above 0.97)"
say "peak memory:             $(column alone 4) MB   (goal: under 100)"

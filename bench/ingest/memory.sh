#!/usr/bin/env bash
# What the sidecar takes in memory while the database is slow: events of 1 KB, a table whose every COPY sleeps, and far
# more records waiting than fit into memory. Resident memory is sampled; its highest value must stay below the limit, and
# must not grow: that of the second half against that of the first. BENCH_SECONDS (about so long), BENCH_ROWS and
# BENCH_WRITERS change it.
. "$(dirname "$0")/lib.sh"
rows=${BENCH_ROWS:-400000}
seconds=${BENCH_SECONDS:-600}
limit=100
"$BIN/strata" produce --stream bench --count "$rows" --late-share 0 --span-hours 48 --seed 1 --record-bytes 1000 2>&1 | tail -n 1
resident_mb() { awk '/^VmRSS/ { printf "%.1f\n", $2 / 1024 }' "/proc/$1/status" 2>/dev/null; }

failed=0
for writers in ${BENCH_WRITERS:-1 4}; do
    fresh clicks
    # Writers sleep side by side; a batch of one is about 5,000 rows, of four half as many each.
    batch=$((writers > 2 ? 2500 : 5000))
    pause=$(calc "$seconds * $writers * $batch / $rows")
    sql -c "CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep($pause); RETURN NULL; END'" \
        -c "CREATE TRIGGER slow AFTER INSERT ON clicks FOR EACH STATEMENT EXECUTE FUNCTION slow()"
    title "$writers writers, about $seconds s, each COPY sleeps $pause s"
    "$BIN/strata" ingest --stream bench --relation clicks --set "batch.writers=$writers" --exit-when-caught-up >"$work/strata.log" 2>&1 &
    pids[1]=$!
    began=$SECONDS
    : >"$work/samples"
    while [ $((SECONDS - began)) -lt "$seconds" ] && resident_mb "${pids[1]}" >>"$work/samples"; do sleep 0.1; done
    kill -TERM "${pids[1]}" 2>/dev/null || true
    wait "${pids[1]}" || { tail "$work/strata.log" >&2; die "the sidecar ended with code $?"; }
    pids=("${pids[0]}")
    stored=$(sql -c "SELECT coalesce(sum(rows), 0) FROM strata.shards")
    half=$(($(wc -l <"$work/samples") / 2))
    first=$(head -n "$half" "$work/samples" | sort -g | tail -n 1)
    second=$(tail -n "$half" "$work/samples" | sort -g | tail -n 1)
    say "$stored rows in $((SECONDS - began)) s; highest resident memory: $first MB in the first half, $second MB in the second (limit: $limit)"
    awk "BEGIN { exit !($first < $limit && $second < $limit && $second <= $first + 10) }" || failed=1
done
[ "$failed" = 0 ] || die "the sidecar took more memory than it may"

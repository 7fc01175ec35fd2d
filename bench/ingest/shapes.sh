#!/usr/bin/env bash
# Ingestion of small and large events, plain and as KPL aggregates of gzip, by one writer and by four, each against psql's
# \copy of the same rows, all over TCP. Processors in microseconds for an event: of the sidecar, of its backends, and of
# psql's backend. BENCH_ROWS, BENCH_ROUNDS, BENCH_BYTES and BENCH_SHAPES change it.
. "$(dirname "$0")/lib.sh"
rows=${BENCH_ROWS:-200000}
rounds=${BENCH_ROUNDS:-3}

printf '%-20s %8s %10s %8s %8s %10s %6s %8s\n' events writers rows/s 'of psql' sidecar backends psql 'peak MB'
for bytes in ${BENCH_BYTES:-200 500 1000}; do
    for shape in ${BENCH_SHAPES:-json kpl+gzip}; do
        stream=$shape-$bytes packing=()
        stream=${stream//+/-}
        [ "$shape" = json ] || packing=(--aggregate 100 --compression gzip)
        aws_call CreateStream "{\"StreamName\": \"$stream\", \"ShardCount\": 8}"
        "$BIN/strata" produce --stream "$stream" --count "$rows" --late-share 0 --span-hours 48 --seed 1 --record-bytes "$bytes" "${packing[@]}" >"$work/produce" 2>&1
        fresh clicks && by_sidecar clicks "$work/warm"
        [ "$(sql -c 'SELECT count(*) FROM clicks')" = "$rows" ] || die "not every event became a row"
        export_rows clicks
        rm -f "$work/psql" "$work/1" "$work/4"
        for round in $(seq "$rounds"); do
            fresh clicks && by_psql clicks "$work/psql"
            for writers in 1 4; do
                fresh clicks && by_sidecar clicks "$work/$writers" "batch.writers=$writers"
            done
        done
        for writers in 1 4; do
            printf '%-20s %8s %10.0f %8.2f %8.2f %10.2f %6.2f %8.0f\n' "$shape, $bytes bytes" "$writers" "$(column "$writers" 1)" \
                "$(calc "$(column "$writers" 1) / $(column psql 1)")" "$(column "$writers" 2)" "$(column "$writers" 3)" "$(column psql 2)" "$(column "$writers" 4)"
        done
    done
done

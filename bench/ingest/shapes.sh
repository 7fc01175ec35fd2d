#!/usr/bin/env bash
# Ingestion of small and large events, plain and as KPL aggregates of gzip, by one writer and by four, each against psql's
# \copy of the same rows. BENCH_ROWS and BENCH_ROUNDS change its size.
. "$(dirname "$0")/lib.sh"
rows=${BENCH_ROWS:-200000}
rounds=${BENCH_ROUNDS:-3}

printf '%-22s %8s %12s %8s %14s %10s\n' events writers rows/s 'of psql' 'own CPU us/row' 'peak MB'
for bytes in 200 1000; do
    for shape in json kpl+gzip; do
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
            printf '%-22s %8s %12.0f %8.2f %14.2f %10.0f\n' "$shape, $bytes bytes" "$writers" "$(column "$writers" 1)" \
                "$(calc "$(column "$writers" 1) / $(column psql 1)")" "$(column "$writers" 2)" "$(column "$writers" 4)"
        done
    done
done

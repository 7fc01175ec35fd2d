#!/usr/bin/env bash
# What make test leaves out: more rounds of the random tests of the pipeline and of rollups, fuzzing, the SQL tests at other times
# than now, and the conformance suite against two other endpoints from npm (node and npm needed, nothing else of them is). ROUNDS sets how many.
. "$(dirname "$0")/lib.sh"
"$ROOT/scripts/install.sh"
build_programs
cd "$ROOT"
failed=0
for round in $(seq "${ROUNDS:-10}"); do
    title "killed at random, round $round"
    cargo test --release --locked --test exactly_once || failed=1
done
title "every event once and in order, 200 rounds"
STRATA_CHAOS_ROUNDS=${CHAOS_ROUNDS:-200} cargo test --release --locked --test chaos -- --nocapture || failed=1
title "a slow database, ten minutes"
STRATA_SLOW_SECONDS=600 cargo test --release --locked --test slow -- --nocapture || failed=1
for seed in $(seq 50); do
    title "rollups under random operations, seed $seed"
    tests/random/run.sh --seed "$seed" --operations 2000 || failed=1
done
title "no alarm on clean data, ten minutes"
tests/audit/soak.sh --seconds 600 || failed=1
title "decoders and proofs under a fuzzer"
tests/fuzz/run.sh --seconds 300 || failed=1
title "SQL at other times than now"
tests/clocks/run.sh || failed=1
title "second opinions on Kinesis"
tests/kinesis/second-opinions.sh || failed=1
[ "$failed" = 0 ] || die "tests FAILED"

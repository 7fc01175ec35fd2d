#!/usr/bin/env bash
# The benchmarks. Each prints ratios taken in one run: on a busy machine only those mean something.
. "$(dirname "$0")/lib.sh"
"$ROOT/scripts/install.sh"
cd "$ROOT"
build_programs
bench/ingest/run.sh
bench/ingest/dedupe.sh
bench/ingest/shapes.sh
bench/insert/run.sh
bench/audit/run.sh
bench/audit/history.sh

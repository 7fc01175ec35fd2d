#!/usr/bin/env bash
# Builds the extension, the sidecar and the test endpoint. Always --release, so that dependencies compile once.
. "$(dirname "$0")/lib.sh"
"$ROOT/scripts/ensure-system.sh"
cd "$ROOT"
# One after the other: each of them is worth having when another does not build.
cargo build --release --locked -p strata -p kinesis-endpoint
PGRX_PG_CONFIG_PATH=$(command -v "$PG_CONFIG") cargo build --release --locked -p pg_strata
"$ROOT/scripts/assemble-sql.sh"

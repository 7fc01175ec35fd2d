#!/usr/bin/env bash
# Builds the extension, the sidecar and the test endpoint. Always --release, so that dependencies compile once.
. "$(dirname "$0")/lib.sh"
"$ROOT/scripts/ensure-system.sh"
cd "$ROOT"
# The sidecar first: it is worth having when the extension does not build.
build_programs
PGRX_PG_CONFIG_PATH=$(command -v "$PG_CONFIG") cargo build --release --locked -p pg_strata
"$ROOT/scripts/assemble-sql.sh"

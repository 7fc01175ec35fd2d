#!/usr/bin/env bash
# Removes what was built; what runs keeps running.
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
cargo clean

#!/usr/bin/env bash
# Unit and property tests of core. No PostgreSQL, no network, nothing to install.
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
exec cargo test --release --locked -p strata-core

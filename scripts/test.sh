#!/usr/bin/env bash
# Every test, from a bare machine. Goes on after a failure, ends with a summary, fails if anything did.
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
# A backtrace says where a test gave up, not why the promise does not hold.
export RUST_LIB_BACKTRACE=0
results=()
failed=0
step() { # step <name> <command…>
    local name=$1 began=$SECONDS outcome=ok
    shift
    title "$name"
    "$@" || { outcome=FAILED; failed=1; }
    results+=("$(printf '%-8s %5d s  %s' "$outcome" $((SECONDS - began)) "$name")")
}
finish() {
    title summary
    printf '%s\n' "${results[@]}"
    if [ "$failed" = 0 ]; then say "every test passed"; else say "tests FAILED"; fi
    exit "$failed"
}

step "system packages" scripts/ensure-system.sh
[ "$failed" = 0 ] || finish
step "build and install" scripts/install.sh
step "build the programs" build_programs
[ "$failed" = 0 ] || finish
step "SQL: regress, rights, isolation" scripts/test-sql.sh
step "Rust: core, sidecar, endpoint conformance, end to end" cargo test --release --locked --no-fail-fast
step "dump and restore" tests/dump/run.sh
step "conversion through crashes" tests/convert/run.sh
step "pg_upgrade" tests/upgrade/run.sh
step "logical replication, standby" tests/logical/run.sh
step "rollups under random operations" tests/random/run.sh --seed 1
step "alerts and dashboard on a Prometheus" tests/watching/run.sh
step "traces to a collector" tests/traces/run.sh
step "no alarm on clean data" tests/audit/soak.sh
step "the witness of the audit log" tests/audit/witness.sh
step "a verifier that believes no server" tests/audit/verifier.sh
step "digests against servers that go back in time" tests/audit/evidence.sh
step "digests in a bucket" tests/audit/s3.sh
step "digests by strata run" tests/audit/run_seals.sh
step "README" tests/readme/run.sh
step "the rules of make check can fail" python3 tests/check/test_rules.py
finish

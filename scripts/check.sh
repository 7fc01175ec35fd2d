#!/usr/bin/env bash
# Format, lints, layering, SQL rules, pgspot, deploy/. All of them run; any of them failing fails the whole.
. "$(dirname "$0")/lib.sh"
"$ROOT/scripts/ensure-system.sh"
cd "$ROOT"
PGRX_PG_CONFIG_PATH=$(command -v "$PG_CONFIG")
export PGRX_PG_CONFIG_PATH
failed=()
step() {
    title "$1"
    "${@:2}" || failed+=("$1")
}

venv=$TARGET/venv
ensure_venv() {
    if ! cmp -s tests/check/requirements.txt "$venv/requirements.txt"; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/pip" install -q --disable-pip-version-check -r tests/check/requirements.txt || return 1
        cp tests/check/requirements.txt "$venv/requirements.txt"
    fi
}

pgspot() {
    ensure_venv || return 1
    local script
    script=$(scripts/assemble-sql.sh) || return 1
    python3 tests/check/pgspot.py "$venv/bin/pgspot" "$script" tests/check/pgspot-allowed.txt
}

deploy() {
    ensure_venv && "$venv/bin/python" tests/check/test_deploy.py && "$venv/bin/python" tests/check/deploy.py
}

export PYTHONDONTWRITEBYTECODE=1
step "the rules can fail" python3 tests/check/test_rules.py
step layering python3 tests/check/layering.py
step "SQL rules" python3 tests/check/sql_rules.py
step "error codes" python3 tests/check/errors.py
step "what must not be committed" python3 tests/check/tree_rules.py
step pgspot pgspot
step "container, manifests, unit" deploy
step format cargo fmt --all --check
step lints cargo clippy --release --locked --workspace --all-targets --quiet -- -D warnings
step "lints of the feature otel" cargo clippy --release --locked --bins --features strata/otel --quiet -- -D warnings

title summary
if [ ${#failed[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${failed[@]}"
    exit 1
fi
say "all checks hold"

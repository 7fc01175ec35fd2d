#!/usr/bin/env bash
# Rollups under random operations (main.py) in a cluster of their own. Options: --seed N (else drawn, and printed),
# --operations N, --sessions N, --log FILE. The same seed gives the same operations in the same order.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
venv=$TARGET/random-venv
if ! cmp -s tests/random/requirements.txt "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r tests/random/requirements.txt
    cp tests/random/requirements.txt "$venv/requirements.txt"
fi
case " $* " in *" --seed "*) ;; *) set -- --seed "$((RANDOM * 32768 + RANDOM))" "$@" ;; esac
mkdir -p "$TARGET/random"
# (nobody is a standby that never comes: who wants its confirmation waits)
cluster=$(scripts/pg.sh create fsync=off max_prepared_transactions=10 synchronous_standby_names=nobody synchronous_commit=local \
    deadlock_timeout=100ms restart_after_crash=on timezone=UTC)
trap 'scripts/pg.sh destroy "$cluster"' EXIT
failed=0
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" tests/random/main.py \
    --dsn "host=$cluster port=$(cat "$cluster/port") user=postgres dbname=postgres" --log "$TARGET/random/operations.txt" "$@" || failed=1
if grep -E 'PANIC|TRAP:|terminated by signal (6|11)' "$cluster/log"; then
    warn "the server crashed"
    failed=1
fi
if [ "$failed" = 1 ]; then cp "$cluster/log" "$TARGET/random/server.txt"; fi
exit "$failed"

#!/usr/bin/env bash
# For tests of the witness, sourced: a throw-away cluster of the settings given, and what a command must end and say.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
cluster=$(scripts/pg.sh create fsync=off timezone=UTC "$@")
clusters=("$cluster")
work=$(mktemp -d)
started=()
finish() {
    [ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null || true
    wait
    for one in "${clusters[@]}"; do scripts/pg.sh destroy "$one"; done
    rm -rf "$work"
}
trap finish EXIT
sql() { scripts/pg.sh psql "$cluster" -qAt "$@"; }
expect() { # expect <exit code> <word> <command…>
    local code=0 wanted=$1 word=$2
    shift 2
    "$@" >"$work/out" 2>&1 || code=$?
    [ "$code" = "$wanted" ] && grep -qF -- "$word" "$work/out" || { cat "$work/out" >&2; die "$*: exit code $code, expected $wanted and $word"; }
}
eval "$(scripts/pg.sh env "$cluster")"
export STRATA_POSTGRES_DSN=$STRATA_TEST_DSN

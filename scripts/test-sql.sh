#!/usr/bin/env bash
# SQL tests against the installed extension, on a throw-away server.
#
#   test-sql.sh [regress|rights|isolation]… [--accept]
#
# A suite is tests/<suite>/ with schedule, sql/ or specs/, and expected/. --accept takes the results as expected;
# read the difference before you commit it.
. "$(dirname "$0")/lib.sh"
suites=() accept=
for argument in "$@"; do
    case $argument in
        --accept) accept=1 ;;
        *) suites+=("$argument") ;;
    esac
done
[ ${#suites[@]} -gt 0 ] || suites=(regress rights isolation)

harness=$(dirname "$(dirname "$("$PG_CONFIG" --pgxs)")")/test
dir=$("$ROOT/scripts/pg.sh" create fsync=off max_prepared_transactions=20 timezone=UTC)
trap '"$ROOT/scripts/pg.sh" destroy "$dir"' EXIT
port=$(cat "$dir/port")

failed=()
for suite in "${suites[@]}"; do
    input=$ROOT/tests/$suite
    [ -f "$input/schedule" ] || die "tests/$suite has no schedule"
    output=$TARGET/test-sql/$suite
    rm -rf "$output"
    mkdir -p "$output"
    title "$suite"
    runner=("$harness/regress/pg_regress")
    [ "$suite" != isolation ] || runner=("$harness/isolation/pg_isolation_regress")
    if ! PGOPTIONS='-c intervalstyle=postgres_verbose' "${runner[@]}" --bindir="$(pg_bindir)" --inputdir="$input" \
        --outputdir="$output" --host="$dir" --port="$port" --user=postgres --dbname="strata_$suite" \
        --load-extension=pg_strata --schedule="$input/schedule"; then
        failed+=("$suite")
        cat "$output/regression.diffs" 2>/dev/null || true
    fi
    if [ -n "$accept" ]; then
        mkdir -p "$input/expected"
        cp "$output"/results/*.out "$input/expected/"
    fi
done
if grep -E 'PANIC|was terminated by signal' "$dir/log"; then
    failed+=("the server crashed")
fi
[ ${#failed[@]} = 0 ] || die "failed: ${failed[*]}"

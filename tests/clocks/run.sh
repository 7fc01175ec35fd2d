#!/usr/bin/env bash
# The SQL tests and the documentation's at other times than now: shortly before and after midnight, at the end of a month and
# a year, on a leap day, when clocks change, a year from now. Options: instants instead of those below.
# Not the isolation specs: the clock that faketime shows stops lock timeouts from coming.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
command -v faketime >/dev/null || as_root apt-get install -y -q faketime
[ $# -gt 0 ] || set -- "2026-11-28 00:00:30" "2026-12-31 23:57:00" "2027-03-28 00:55:00" "2028-02-29 15:58:00" "2027-11-07 09:05:00"
failed=()
for instant; do
    title "at $instant"
    # (UTC, whatever the machine's zone)
    TZ=UTC faketime -f "@$instant" scripts/test-sql.sh regress rights || failed+=("SQL at $instant")
    TZ=UTC faketime -f "@$instant" tests/readme/run.sh || failed+=("documentation at $instant")
done
[ ${#failed[@]} = 0 ] || die "failed: ${failed[*]}"

#!/usr/bin/env bash
# pg_upgrade into a new cluster, by copy and by hard links, in the middle of pending work: everything goes on where it stood.
# From and to the one major version there is; what pg_upgrade carries, and how, is the same between two.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
clusters=()
trap 'for cluster in "${clusters[@]}"; do scripts/pg.sh destroy "$cluster"; done' EXIT
sql() { scripts/pg.sh psql "$1" -qX -v ON_ERROR_STOP=1 "${@:2}" >/dev/null; }
create() {
    clusters+=("$(scripts/pg.sh create fsync=off)")
    cluster=${clusters[-1]}
}

create
old=$cluster
sql "$old" -c 'CREATE ROLE work_sidecar' -c 'CREATE DATABASE work'
sql "$old" -d work <tests/dump/before.sql
for mode in copy link; do
    create
    # (copying has no option of its own; with hard links the old cluster is used up, so that they come last)
    option=()
    [ "$mode" = copy ] || option=(--link)
    scripts/pg.sh upgrade "$old" "$cluster" "${option[@]}"
    sql "$cluster" -d work <tests/dump/after.sql
    say "pg_upgrade by $mode: rollups equal, batches verified, work goes on"
done

#!/usr/bin/env bash
# pg_dump | psql into another cluster, in the middle of pending work: rollups, ledger and ingestion state go on there.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
from=$(scripts/pg.sh create fsync=off)
to=$(scripts/pg.sh create fsync=off)
trap 'scripts/pg.sh destroy "$from"; scripts/pg.sh destroy "$to"' EXIT
sql() { scripts/pg.sh psql "$1" -qX -v ON_ERROR_STOP=1 "${@:2}" >/dev/null; }

sql "$from" -c 'CREATE DATABASE work'
sql "$from" -d work <tests/dump/before.sql
sql "$to" -c 'CREATE DATABASE work'
eval "$(scripts/pg.sh env "$from")"
"$(pg_bindir)/pg_dump" work | sql "$to" -d work
sql "$to" -d work <tests/dump/after.sql
# the source is as good as it was
sql "$from" -d work <tests/dump/after.sql
say "dump and restore: rollups equal, batches verified, work goes on"

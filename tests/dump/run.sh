#!/usr/bin/env bash
# pg_dump into another cluster, as plain SQL and as archive with several workers, in the middle of pending work: rollups,
# ledger, retention and ingestion go on there where they stood.
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
from=$(scripts/pg.sh create fsync=off timezone=UTC)
to=$(scripts/pg.sh create fsync=off timezone=Asia/Kathmandu)
work=$(mktemp -d)
trap 'scripts/pg.sh destroy "$from"; scripts/pg.sh destroy "$to"; rm -rf "$work"' EXIT
sql() { scripts/pg.sh psql "$1" -qX -v ON_ERROR_STOP=1 "${@:2}" >/dev/null; }
in_cluster() { (eval "$(scripts/pg.sh env "$1")"; PATH=$(pg_bindir):$PATH; "${@:2}"); }

for cluster in "$from" "$to"; do sql "$cluster" -c 'CREATE ROLE work_sidecar'; done
sql "$from" -c 'CREATE DATABASE work'
sql "$from" -d work <tests/dump/before.sql
in_cluster "$from" pg_dump work >"$work/plain.sql"
in_cluster "$from" pg_dump -Fc -f "$work/archive" work

# whoever reads all data dumps all of it, whoever does not dumps nothing
sql "$from" -c 'CREATE ROLE work_dumper LOGIN'
as_dumper() { in_cluster "$from" env PGUSER=work_dumper pg_dump work; }
refusal=$(as_dumper 2>&1 >/dev/null || true)
case $refusal in *'permission denied for '*) ;; *) die "a role without rights got '$refusal' for a dump" ;; esac
sql "$from" -c 'GRANT pg_read_all_data TO work_dumper'
as_dumper >"$work/by_reader.sql"
# (each dump has a token of its own for \restrict)
sed -i '/^\\\(un\)\?restrict /d' "$work/by_reader.sql"
sed '/^\\\(un\)\?restrict /d' "$work/plain.sql" | cmp - "$work/by_reader.sql" || die "a member of pg_read_all_data dumps something else"
say "pg_dump by a member of pg_read_all_data: the same dump"

sql "$to" -c 'CREATE DATABASE work'
sql "$to" -d work <"$work/plain.sql"
sql "$to" -d work <tests/dump/after.sql
say "pg_dump | psql: rollups equal, batches verified, work goes on"

sql "$to" -c 'CREATE DATABASE work_archive'
in_cluster "$to" pg_restore --exit-on-error -j 3 -d work_archive "$work/archive"
sql "$to" -d work_archive <tests/dump/after.sql
say "pg_dump -Fc, pg_restore -j: the same"

# the source is as good as it was
sql "$from" -d work <tests/dump/after.sql
say "the source: the same"

#!/usr/bin/env bash
# What auditing costs, in one run: statements by CPU, single rows by transactions a second, the sealer's lag, waits, sizes,
# verification; beside the two usual shapes of audit triggers. BENCH_SECONDS changes how long clients run.
#
#   run.sh [COPY|INSERT|UPDATE|DELETE]…   nothing but these statements
. "$(dirname "$0")/../../scripts/lib.sh"
cd "$ROOT"
cluster=$(scripts/pg.sh create timezone=UTC shared_buffers=256MB max_wal_size=4GB checkpoint_timeout=1h)
work=$(mktemp -d)
trap 'scripts/pg.sh destroy "$cluster"; rm -rf "$work"' EXIT
eval "$(scripts/pg.sh env "$cluster")"
export BENCH_BINDIR PYTHONDONTWRITEBYTECODE=1
BENCH_BINDIR=$(pg_bindir)
scripts/pg.sh psql "$cluster" -q -f bench/audit/schema.sql >/dev/null
scripts/pg.sh psql "$cluster" -qAt -c "COPY (SELECT * FROM source ORDER BY id) TO STDOUT" | split -l 10000 -d -a 1 - "$work/rows."
read -r load _ </proc/loadavg
say "load of the machine when it began: $load on $(nproc) cores"
python3 bench/audit/statements.py "$work" "$@"
[ $# = 0 ] || exit 0
python3 bench/audit/clients.py "$work" "${BENCH_SECONDS:-4}"
python3 bench/audit/sizes.py

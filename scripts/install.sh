#!/usr/bin/env bash
# Builds the extension and puts it where the PostgreSQL of PG_CONFIG looks for it.
. "$(dirname "$0")/lib.sh"
"$ROOT/scripts/ensure-system.sh"
cd "$ROOT"
PGRX_PG_CONFIG_PATH=$(command -v "$PG_CONFIG") cargo build --release --locked -p pg_strata
script=$("$ROOT/scripts/assemble-sql.sh")
libdir=$("$PG_CONFIG" --pkglibdir)
extdir=$("$PG_CONFIG" --sharedir)/extension

put() { # put <mode> <from> <to>; nothing is written, and no right asked for, when it is there already
    cmp -s "$2" "$3" && return
    if [ -w "$(dirname "$3")" ]; then
        install -m "$1" "$2" "$3"
    else
        as_root install -m "$1" "$2" "$3"
    fi
    say "installed $3"
}
put 755 "$BIN/libpg_strata.so" "$libdir/pg_strata.so"
put 644 "$ROOT/sql/pg_strata.control" "$extdir/pg_strata.control"
put 644 "$script" "$extdir/$(basename "$script")"
for upgrade in "$ROOT"/sql/upgrade/pg_strata--*--*.sql; do
    [ -e "$upgrade" ] && put 644 "$upgrade" "$extdir/$(basename "$upgrade")"
done
exit 0

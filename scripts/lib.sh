# What every script shares: where things are, how to speak, how to become root or stop being it.
# Sourced, never run. Never starts anything.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
BIN=$TARGET/release
export PATH=$PATH:$HOME/.cargo/bin

if [ -z "${PG_CONFIG:-}" ]; then
    PG_CONFIG=pg_config
    if [ -x /usr/lib/postgresql/15/bin/pg_config ]; then
        PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config
    fi
fi
export PG_CONFIG

say() { printf '%s\n' "$*"; }
title() { printf '\n== %s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# As root, whoever we are; says what is missing when that cannot be had.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -n "$@" 2>/dev/null || sudo "$@"
    else
        die "this needs root or sudo: $*"
    fi
}

# The version all parts carry, from its one place.
version() {
    sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml"
}

pg_bindir() { "$PG_CONFIG" --bindir; }

# The sidecar and the endpoint. Always all default members, never -p: Cargo unites the features of what it is asked
# for, so that asking for less would compile the dependencies again.
build_programs() { (cd "$ROOT" && cargo build --release --locked --bins "$@"); }

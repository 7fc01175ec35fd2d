#!/usr/bin/env bash
# Installs by apt what building and testing need and the machine lacks. Silent and fast when nothing is missing.
. "$(dirname "$0")/lib.sh"

missing=()
need() { # need <package> <command that succeeds when its work is done already>
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
installed() { [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null)" = 'ii ' ]; }
libclang() { [ -n "${LIBCLANG_PATH:-}" ] || compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' || compgen -G '/usr/lib*/libclang*.so*'; }

command -v cargo >/dev/null || die "cargo is not on the PATH: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml") with rustup, then run this again"

if command -v dpkg-query >/dev/null; then
    need build-essential sh -c 'command -v cc && command -v make && echo "#include <stdio.h>" | cc -E -'
    need ca-certificates installed ca-certificates
    need libclang-dev libclang
    need pkg-config command -v pkg-config
    need procps command -v ps
    need python3 command -v python3
    need python3-venv python3 -c 'import ensurepip, venv'
    # Another PostgreSQL than Debian's is its owner's business.
    case $PG_CONFIG in
        pg_config | /usr/lib/postgresql/15/bin/pg_config)
            need postgresql-15 installed postgresql-15
            need postgresql-server-dev-15 installed postgresql-server-dev-15
            ;;
    esac
fi

if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || die "please install: ${missing[*]}"
    say "installing ${missing[*]}"

    # Debian's package would make and start a server on port 5432. We bring our own, for as long as we need it.
    no_cluster=/etc/postgresql-common/createcluster.d/zz-pg-strata.conf
    as_root mkdir -p "$(dirname "$no_cluster")"
    echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
    trap 'as_root rm -f "$no_cluster"' EXIT

    log=$(mktemp)
    apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1; }
    apt install -y --no-install-recommends "${missing[@]}" ||
        { apt update && apt install -y --no-install-recommends "${missing[@]}"; } ||
        { tail -n 30 "$log" >&2; die "apt could not install ${missing[*]} (whole log: $log)"; }
    rm -f "$log"
fi

command -v "$PG_CONFIG" >/dev/null || die "PG_CONFIG=$PG_CONFIG is not there: name the pg_config of a PostgreSQL with its server headers"

#!/usr/bin/env bash
# A throw-away PostgreSQL: a directory of its own, a port of its own on 127.0.0.1, never as root.
#
#   pg.sh create [name=value…]   make and start one with these settings; prints its directory
#   pg.sh env DIR                PGHOST, PGPORT, … and STRATA_TEST_DSN as shell assignments (eval them)
#   pg.sh psql DIR [argument…]   psql in it, as its superuser
#   pg.sh start DIR | stop DIR [mode] | restart DIR [mode] | destroy DIR
#   pg.sh standby DIR [name=value…]   make and start a streaming standby of DIR; prints the standby's directory
#   pg.sh disk DIR [SIZE]        a directory for the server's files, on a file system of that size (takes root or sudo); prints it
#   pg.sh promote DIR            make a standby the primary
#   pg.sh upgrade DIR NEW [option…]   pg_upgrade from DIR to NEW, a cluster just created; starts NEW
#
# mode is smart, fast or immediate (a crash, as the disk sees it). Over its socket, in a directory nobody else
# can enter, the server trusts; over 127.0.0.1 it asks for the password in DIR/password.
. "$(dirname "$0")/lib.sh"
bin=$(pg_bindir)

# Servers refuse root: they then run as Debian's postgres user, or as nobody.
user=$(id -un)
if [ "$user" = root ]; then
    user=postgres
    id -u postgres >/dev/null 2>&1 || user=nobody
fi
as_user() {
    if [ "$(id -un)" = "$user" ]; then "$@"; else (cd / && runuser -u "$user" -- "$@"); fi
}
control() { as_user "$bin/pg_ctl" -s -w -t 120 -D "$dir/data" -l "$dir/log" "$@"; }

free_port() { # a port nobody listens on; the range below the one the kernel hands out
    local port
    for _ in $(seq 100); do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
    die "no free port found on 127.0.0.1"
}

start() {
    # Somebody may take the port between our look and the server's bind: look again then.
    for attempt in 1 2 3 4 5; do
        [ -n "${port:-}" ] || port=$(free_port)
        if control -o "-p $port" start >/dev/null 2>&1; then
            echo "$port" >"$dir/port"
            return
        fi
        grep -q 'Address already in use' "$dir/log" && [ "$attempt" != 5 ] && port= && continue
        tail -n 20 "$dir/log" >&2
        die "PostgreSQL did not start (log: $dir/log)"
    done
}

command=${1:-}
[ -n "$command" ] || die "usage: pg.sh create|env|psql|start|stop|restart|destroy [DIR] …"
shift

settings() { # settings name=value…: appended to the configuration, where the last one counts
    {
        echo "unix_socket_directories = '$dir'"
        for setting in "$@"; do
            echo "${setting%%=*} = '${setting#*=}'"
        done
    } | as_user tee -a "$dir/data/postgresql.conf" >/dev/null
}

if [ "$command" = create ]; then
    dir=$(as_user mktemp -d "${TMPDIR:-/tmp}/pg_strata.XXXXXX")
    trap 'as_user rm -rf "$dir"' ERR
    as_user sh -c 'od -An -N16 -tx1 /dev/urandom | tr -d " \n" >"$1/password"' sh "$dir"
    as_user "$bin/initdb" -D "$dir/data" -U postgres --encoding=UTF8 --locale=C.UTF-8 --no-sync \
        --auth-local=trust --auth-host=scram-sha-256 --pwfile="$dir/password" >/dev/null
    settings listen_addresses=127.0.0.1 max_connections=60 'log_line_prefix=%m [%p] %q%a ' "$@"
    start
    echo "$dir"
    exit
fi

dir=${1:?pg.sh $command needs the directory that create printed}
shift
[ -f "$dir/data/PG_VERSION" ] || die "$dir is no cluster of pg.sh"
port=$(cat "$dir/port")
case $command in
    env)
        password=$(cat "$dir/password")
        cat <<END
export PGHOST='$dir' PGPORT='$port' PGUSER='postgres' PGDATABASE='postgres' PGPASSWORD='$password'
export STRATA_TEST_DSN='postgresql://postgres:$password@127.0.0.1:$port/postgres'
END
        ;;
    psql) PGHOST=$dir PGPORT=$port PGUSER=postgres exec "$bin/psql" -X -v ON_ERROR_STOP=1 "$@" ;;
    start) start ;;
    stop) control -m "${1:-fast}" stop ;;
    restart)
        control -m "${1:-fast}" stop
        start
        ;;
    promote) control promote ;;
    disk)
        as_user mkdir -p -m 700 "$dir/disk"
        if [ -n "${1:-}" ]; then
            as_root mount -t tmpfs -o "size=$1,mode=0700,uid=$(id -u "$user"),gid=$(id -g "$user")" pg_strata "$dir/disk"
        fi
        echo "$dir/disk"
        ;;
    destroy)
        control -m immediate stop 2>/dev/null || true
        ! mountpoint -q "$dir/disk" || as_root umount "$dir/disk"
        as_user rm -rf "$dir"
        ;;
    standby)
        primary=$dir primary_port=$port
        dir=$(as_user mktemp -d "${TMPDIR:-/tmp}/pg_strata.XXXXXX")
        trap 'as_user rm -rf "$dir"' ERR
        as_user cp "$primary/password" "$dir/password"
        as_user "$bin/pg_basebackup" -h "$primary" -p "$primary_port" -U postgres -D "$dir/data" -R -X stream -c fast --no-sync
        settings "$@"
        port=
        start
        echo "$dir"
        ;;
    upgrade)
        new=${1:?pg.sh upgrade needs the directory of the new cluster}
        shift
        # (the old one stands still already when it is upgraded a second time)
        [ ! -f "$dir/data/postmaster.pid" ] || control -m fast stop
        (dir=$new && control -m fast stop)
        # (it writes its logs and scripts into the directory it runs in)
        as_user sh -c 'cd "$1" && shift && exec "$@"' sh "$new" "$bin/pg_upgrade" -b "$bin" -B "$bin" -d "$dir/data" -D "$new/data" \
            -U postgres -p "$port" -P "$(cat "$new/port")" -s "$new" "$@" >"$new.log" 2>&1 || { tail -n 40 "$new.log" >&2; exit 1; }
        rm -f "$new.log"
        dir=$new port=$(cat "$new/port")
        start
        ;;
    *) die "pg.sh knows create, env, psql, start, stop, restart, disk, standby, promote, upgrade, destroy" ;;
esac

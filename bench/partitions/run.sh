#!/usr/bin/env bash
# Event tables against pg_partman 4 on the same tables: planning a query for one day, making partitions, regular
# upkeep, and listing them; with one table of 500 to 5,000 daily partitions, then with 500 tables of 10. Each side has a
# database of its own copied from one template. Medians of rounds in one run, taking turns except where partitions or
# tables are made (ours first there).
# BENCH_SIZES, BENCH_TABLES and BENCH_ROUNDS change its size. The default took 17 minutes on two cores busy with much else
# (load 9); BENCH_SIZES='500 5000' under six at a load of 2.
#
# Both sides: the table and index of bench/schema.sql, no default partition, statistics of the catalogs fresh,
# autovacuum and fsync off, locks enough. Ours has more to make: a BRIN index, the triggers that tell rollups of changes,
# the ledger's default. pg_partman is told not to look for the newest row in the data (infinite_time_partitions,
# ignore_default_data), which is its fastest way.
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
sizes=${BENCH_SIZES:-500 1000 2000 5000}
tables=${BENCH_TABLES:-500}
rounds=${BENCH_ROUNDS:-3}

extensions=$("$PG_CONFIG" --sharedir)/extension
if [ ! -f "$extensions/pg_partman.control" ] && command -v apt-get >/dev/null; then
    say "installing postgresql-15-partman"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends postgresql-15-partman >/dev/null
fi
[ -f "$extensions/pg_partman.control" ] || die "pg_partman is not in $extensions: install pg_partman 4 for the PostgreSQL of $PG_CONFIG"
grep -q "^default_version = '4\." "$extensions/pg_partman.control" || die "this compares with pg_partman 4; $extensions has another"

work=$(mktemp -d)
dir=''
finish() {
    [ -z "$dir" ] || scripts/pg.sh destroy "$dir"
    rm -rf "$work"
}
trap finish EXIT
dir=$(bench_pg autovacuum=off fsync=off max_locks_per_transaction=2000)
in_db() { # in_db <database> [psql argument…]
    PGOPTIONS='-c client_min_messages=error' "$ROOT/scripts/pg.sh" psql "$dir" -qAt -d "$@"
}

# --- measuring -------------------------------------------------------------------------------------------------

# timed <database> <times> <statement>: milliseconds of each of so many executions in one session
timed() {
    {
        # the statement's own rows go nowhere: only the timing is wanted
        printf '\\o /dev/null\n\\timing on\n'
        for _ in $(seq "$2"); do printf '%s;\n' "$3"; done
    } | in_db "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
}
# planned <database> <times> <query>: milliseconds of planning alone, unprepared
planned() {
    for _ in $(seq "$2"); do echo "EXPLAIN (SUMMARY) $3;"; done | in_db "$1" | sed -n 's/^Planning Time: \([0-9.]*\) ms.*/\1/p'
}

# compare <label> <fresh|warm> <times> <strata's statement> <pg_partman's> [how to measure]
# fresh: the first statement of a session; warm: the median of a session's, its first left out.
compare() {
    local label=$1 mode=$2 times=$3 measure=${6:-timed} order side statement
    rm -f "$work"/{strata,partman}
    for round in $(seq "$rounds"); do
        if [ $((round % 2)) = 0 ]; then order='strata partman'; else order='partman strata'; fi
        for side in $order; do
            statement=$5
            [ "$side" = partman ] || statement=$4
            if [ "$mode" = fresh ]; then
                "$measure" "$side" 1 "$statement"
            else
                "$measure" "$side" $((times + 1)) "$statement" | tail -n +2
            fi >>"$work/$side"
        done
    done
    line "$label, $mode" "$(median <"$work/strata")" "$(median <"$work/partman")"
}
# alone <label> <statement>: what pg_partman has nothing like
alone() {
    rm -f "$work/strata"
    for _ in $(seq "$rounds"); do timed strata 2 "$2" | tail -n 1 >>"$work/strata"; done
    line "$1, warm" "$(median <"$work/strata")" ''
}
heading() {
    title "$1"
    printf '%-48s %12s %14s %8s   %s\n' '' 'strata ms' 'pg_partman ms' 'ratio' '(goal: below 1)'
}
line() {
    if [ -n "$3" ]; then
        printf '%-48s %12.2f %14.2f %8.2f\n' "$1" "$2" "$3" "$(calc "$2 / $3")"
    else
        printf '%-48s %12.2f %14s %8s\n' "$1" "$2" - -
    fi
    printf '%s\t%s\t%s\t%s\n' "$size" "$1" "$2" "$3" >>"$work/results"
}

# --- the tables ------------------------------------------------------------------------------------------------

prepare() { # the extension of each side, in databases copied from the template
    for side in strata partman; do
        in_db postgres -c "DROP DATABASE IF EXISTS $side" -c "CREATE DATABASE $side TEMPLATE template STRATEGY file_copy"
    done
    in_db strata -c 'CREATE EXTENSION pg_strata'
    in_db partman -c 'CREATE SCHEMA partman' -c 'CREATE EXTENSION pg_partman SCHEMA partman'
}
settle() { # one round of upkeep and fresh statistics, so that nothing is left to be done
    in_db strata -c 'CALL strata.maintain_partitions()'
    in_db partman -c 'UPDATE partman.part_config SET infinite_time_partitions = true, ignore_default_data = true' \
        -c 'CALL partman.run_maintenance_proc()' >/dev/null
    for side in strata partman; do in_db "$side" -c 'VACUUM ANALYZE'; done
    in_db postgres -c CHECKPOINT
}
days() { echo "ARRAY(SELECT d FROM generate_series(date_trunc('day', now()) + interval '$1 days', date_trunc('day', now()) + interval '$2 days', interval '1 day') d)"; }
every_table() { echo "(SELECT parent_table FROM partman.part_config) AS t (parent), LATERAL partman.show_partitions(t.parent) AS p"; }
bounds_of() { echo "LATERAL partman.show_partition_info(p.partition_schemaname || '.' || p.partition_tablename, '1 day', t.parent) AS i"; }

listing() { # what both know of every partition, in three depths
    compare 'partitions: names' warm 3 'SELECT relation, partition FROM strata.partitions' \
        "SELECT t.parent, p.partition_tablename FROM $(every_table)"
    compare 'partitions: names and bounds' warm 3 'SELECT relation, partition, lower, upper FROM strata.partitions' \
        "SELECT t.parent, p.partition_tablename, i.child_start_time, i.child_end_time FROM $(every_table), $(bounds_of)"
    compare 'partitions: the whole view' fresh 1 'SELECT * FROM strata.partitions' \
        "SELECT t.parent, p.partition_tablename, i.child_start_time, i.child_end_time, pg_total_relation_size(c.oid), c.reltuples
         FROM $(every_table), $(bounds_of),
         pg_class c WHERE c.oid = to_regclass(format('%I.%I', p.partition_schemaname, p.partition_tablename))"
    alone 'event_tables' 'SELECT * FROM strata.event_tables'
    alone 'health' 'SELECT * FROM strata.health'
}

# Committed, ten more each time: files that a rollback deletes would slow down the next ones made on ext4.
new_partitions() {
    rm -f "$work"/{strata,partman}
    for round in $(seq "$rounds"); do
        # the first of each pair fills the session's caches
        timed strata 1 "SELECT strata.ensure_partitions('events', now(), now()); SELECT strata.ensure_partitions('events',
            now() + interval '$((round * 10)) days', now() + interval '$((round * 10 + 9)) days')" | tail -n 1 >>"$work/strata"
        timed partman 1 "SELECT partman.create_partition_time('public.events', $(days 0 0), false); SELECT partman.create_partition_time(
            'public.events', $(days $((round * 10)) $((round * 10 + 9))), false)" | tail -n 1 >>"$work/partman"
    done
    line '10 new partitions, warm' "$(median <"$work/strata")" "$(median <"$work/partman")"
}

# --- one table of many partitions ------------------------------------------------------------------------------

in_db postgres -c 'CREATE DATABASE template'
in_db template -v table=events -f bench/schema.sql
in_db template <<'SQL'
CREATE PROCEDURE grow(lowest int, highest int) LANGUAGE plpgsql AS $$
DECLARE
    day date;
BEGIN
    FOR day IN SELECT current_date + n FROM generate_series(lowest, highest) n LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)', 'events' || to_char(day, '"_p"YYYY_MM_DD'), day, day + 1);
        COMMIT;
    END LOOP;
END
$$;
SQL
have=0
for size in $sizes; do
    # from four days ahead of now back into the past
    in_db template -c "CALL grow($((5 - size)), $((4 - have)))"
    have=$size
    prepare
    in_db strata -c "SELECT strata.create_event_table('events', 'ts', accept_past => interval '20 years', accept_future => interval '5 years')" >/dev/null
    in_db partman -c "SELECT partman.create_parent('public.events', 'ts', 'native', 'daily', p_premake => 4)" >/dev/null
    settle

    heading "one table of $size partitions, medians of $rounds rounds"
    # with constants: with now() PostgreSQL prunes at execution, and plans for every partition
    query=$(in_db strata -c "SELECT format('SELECT count(*) FROM events WHERE ts >= %L AND ts < %L', current_date - 7, current_date - 6)")
    compare 'planning a query for one day' fresh 1 "$query" "$query" planned
    compare 'planning a query for one day' warm 20 "$query" "$query" planned
    compare '10 days that are there' fresh 1 "SELECT strata.ensure_partitions('events', now() - interval '9 days', now())" \
        "SELECT partman.create_partition_time('public.events', $(days -9 0), false)"
    compare '10 days that are there' warm 10 "SELECT strata.ensure_partitions('events', now() - interval '9 days', now())" \
        "SELECT partman.create_partition_time('public.events', $(days -9 0), false)"
    compare 'upkeep with nothing to do' fresh 1 "CALL strata.maintain_partitions('events')" "SELECT partman.run_maintenance('public.events')"
    compare 'upkeep with nothing to do' warm 3 "CALL strata.maintain_partitions('events')" "SELECT partman.run_maintenance('public.events')"
    listing
    new_partitions
done

# --- many tables of few partitions -----------------------------------------------------------------------------

size=tables
in_db postgres -c 'DROP DATABASE template' -c 'CREATE DATABASE template'
for number in $(seq "$tables"); do echo "\\set table events_$number"; echo '\i bench/schema.sql'; done | in_db template
prepare
heading "$tables tables of 10 partitions, medians of $rounds rounds"
for side in strata partman; do
    call="SELECT strata.create_event_table('events_%s', 'ts', premake => 9)"
    [ "$side" = strata ] || call="SELECT partman.create_parent('public.events_%s', 'ts', 'native', 'daily', p_premake => 9, p_start_partition => current_date::text)"
    # shellcheck disable=SC2059 # the call is the format
    for number in $(seq "$tables"); do printf "\\\\timing on\n$call;\n\\\\timing off\n" "$number"; done | in_db "$side" |
        sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' >"$work/$side"
done
line 'managing one more table (10 partitions)' "$(median <"$work/strata")" "$(median <"$work/partman")"
echo "SELECT format('DROP TABLE %s_default', parent_table) FROM partman.part_config \\gexec" | in_db partman
settle
compare 'upkeep of all with nothing to do' fresh 1 'CALL strata.maintain_partitions()' 'CALL partman.run_maintenance_proc()'

# a new day: the newest partition of each table goes, and upkeep has to make it
rm -f "$work"/{strata,partman}
for _ in $(seq "$rounds"); do
    for side in strata partman; do
        in_db "$side" >/dev/null <<'END'
SELECT format('DROP TABLE %s', max(i.inhrelid::regclass::text))
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent AND c.relkind = 'p'
GROUP BY i.inhparent
\gexec
END
        call='CALL strata.maintain_partitions()'
        [ "$side" = strata ] || call='CALL partman.run_maintenance_proc()'
        timed "$side" 1 "$call" >>"$work/$side"
    done
done
line 'upkeep of all with one new partition each, fresh' "$(median <"$work/strata")" "$(median <"$work/partman")"
listing

# --- growth ----------------------------------------------------------------------------------------------------

title 'one table: microseconds a partition, by number of partitions (even or falling: linear or better)'
python3 - "$work/results" <<'END'
import sys

sizes, steps = [], {}
for line in open(sys.argv[1]):
    size, label, *values = line.rstrip("\n").split("\t")
    if size == "tables":
        continue
    sizes += [size] * (size not in sizes)
    for side, value in zip(("strata", "pg_partman"), values):
        if value:
            steps.setdefault((label, side), {})[size] = float(value) * 1000 / int(size)
print(f"{'':58}" + "".join(f"{size:>9}" for size in sizes) + f"{'growth':>9}")
for (label, side), by_size in steps.items():
    row = [by_size[size] for size in sizes]
    print(f"{label + ': ' + side:58}" + "".join(f"{value:9.1f}" for value in row) + f"{row[-1] / row[0]:9.2f}")
END

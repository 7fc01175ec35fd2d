#!/usr/bin/env bash
# What rollups cost, in one run on one server: ours beside what people do without it. Every figure is of the same
# events: a click stream over one day, users skewed (a few are most of it), copied in and refreshed step by step.
#
#   matview   REFRESH MATERIALIZED VIEW
#   delta     a statement trigger that writes each INSERT's groups into a delta table, drained by the refresh
#   partman   a table of pg_partman, and a refresh written by hand: upsert of the rows above the highest id seen, which loses
#             rows where transactions overlap (ids are drawn before they are visible); nothing here overlaps
#
# BENCH_ROWS (1 M; FULL=1 2 M), BENCH_STEP (40 k), BENCH_USERS (100 k), BENCH_GROUPS (4 M stored groups in the part on growth,
# against a tenth of it; FULL=1 20 M), BENCH_SECONDS (15; FULL=1 60) of each sustained rate, BENCH_PARTS (sum ingest growth shared
# rate) change its size. CPU is the backend's own, from the kernel; WAL from the server. All sides have the same indexes but
# that ours and partman's have a BRIN index on the batch or id. Autovacuum is off, its work is done and measured by hand.
. "$(dirname "$0")/../lib.sh"
cd "$ROOT"
full=${FULL:-}
rows=${BENCH_ROWS:-$([ -n "$full" ] && echo 2000000 || echo 1000000)}
step=${BENCH_STEP:-40000}
users=${BENCH_USERS:-100000}
groups=${BENCH_GROUPS:-$([ -n "$full" ] && echo 20000000 || echo 4000000)}
seconds=${BENCH_SECONDS:-$([ -n "$full" ] && echo 60 || echo 15)}
parts=${BENCH_PARTS:-sum ingest growth shared rate}
steps=$((rows / step))

extensions=$("$PG_CONFIG" --sharedir)/extension
if [ ! -f "$extensions/pg_partman.control" ] && command -v apt-get >/dev/null; then
    say "installing postgresql-15-partman"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends postgresql-15-partman >/dev/null
fi
[ -f "$extensions/pg_partman.control" ] || die "pg_partman is not in $extensions: install pg_partman 4 for the PostgreSQL of $PG_CONFIG"

work=$(mktemp -d)
chmod 777 "$work"
dir=''
finish() {
    [ -z "$dir" ] || scripts/pg.sh destroy "$dir"
    rm -rf "$work"
}
trap finish EXIT
dir=$(bench_pg autovacuum=off max_locks_per_transaction=1000 "${BENCH_SETTINGS:-jit=on}")
scripts/pg.sh psql "$dir" -qc 'CREATE DATABASE bench' -c '\c bench' -c 'CREATE EXTENSION pg_strata' -c 'CREATE SCHEMA partman' \
    -c 'CREATE EXTENSION pg_partman SCHEMA partman'
export PGOPTIONS='-c client_min_messages=error'
columns='event_id, ts, user_id, session_id, item_id, kind, device, amount, properties'
by_user="strata.time_bucket('1 day', ts) AS bucket, user_id, count(*) AS events, sum(amount) AS spend, max(ts) AS last_seen"
rollup_of() { # rollup_of <name> <source>
    echo "SELECT strata.create_rollup('$1', '$2', '1 day', ARRAY['user_id'], ARRAY['count(*) AS events', 'sum(amount) AS spend', 'max(ts) AS last_seen'])"
}
# What one more aggregate of the same rows looks like: other keys, other buckets.
kinds=("'1 hour', ARRAY['kind', 'device']" "'1 day', ARRAY['item_id']" "'1 hour', ARRAY['item_id', 'device']" "'1 day', ARRAY['user_id']"
    "'1 minute', ARRAY['kind']" "'1 hour', ARRAY['user_id']" "'1 day', ARRAY['device', 'item_id']" "'1 day', '{}'")
rollups_of() { # rollups_of <source> <how many>: their names are <source>_1 …
    for number in $(seq "$2"); do
        echo "SELECT strata.create_rollup('$1_$number', '$1', ${kinds[$((number - 1))]}, ARRAY['count(*) AS n', 'sum(amount) AS spend', 'max(ts) AS last']);"
    done | sql >/dev/null
}
event_table() {
    sql -v table="$1" -f bench/schema.sql
    sql -c "SELECT strata.create_event_table('$1', 'ts')" >/dev/null
}

title "making $rows events in $steps files"
for file in $(seq "$steps"); do
    echo "COPY (SELECT gen_random_uuid(), date_trunc('day', now()) + (($file - 1) * $step + n) * (interval '1 day' / $rows),
        (power(random(), 3) * $users)::bigint, gen_random_uuid(), (random() * 1000)::int, CASE WHEN random() < 0.1 THEN 'buy' ELSE 'click' END,
        CASE WHEN random() < 0.5 THEN 'phone' ELSE 'web' END, round((random() * 100)::numeric, 2), NULL
        FROM generate_series(1, $step) n) TO '$work/$file';"
done | sql

# --- measuring: statements in one session, each followed by its label, milliseconds of the clock and of CPU, and WAL ---
measured() { # measured <label>: reads one statement from stdin, writes psql input
    cat <<END
SELECT extract(epoch FROM clock_timestamp()) * 1000 AS t, split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint / 1e6 AS c, pg_current_wal_insert_lsn() AS w \\gset
\\o /dev/null
$(cat)
\\o
SELECT '$1', extract(epoch FROM clock_timestamp()) * 1000 - :t, split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint / 1e6 - :c, pg_current_wal_insert_lsn() - :'w';
END
}
total() { # total <file> <label pattern> <column>
    awk -F'|' -v label="^($2)\$" -v column="$3" '$1 ~ label { s += $column } END { print s + 0 }' "$1"
}
middle() { # middle <file> <label> <column>: the median
    awk -F'|' -v label="$2" -v column="$3" '$1 == label { print $column }' "$1" | median
}
copy() { echo "COPY $1 ($columns) FROM '$work/$2';"; }

# --- the sum ---------------------------------------------------------------------------------------------------
sides='strata matview delta partman'
declare -A refresh=(
    [strata]="SELECT strata.refresh_rollup('strata_sum');"
    [matview]='REFRESH MATERIALIZED VIEW matview_sum;'
    [delta]='WITH d AS (DELETE FROM delta_new RETURNING *), g AS (SELECT bucket, user_id, sum(events) AS events, sum(spend) AS spend, max(last_seen) AS last_seen FROM d GROUP BY 1, 2)
        INSERT INTO delta_sum AS s SELECT * FROM g ORDER BY user_id, bucket ON CONFLICT (user_id, bucket)
        DO UPDATE SET events = s.events + EXCLUDED.events, spend = s.spend + EXCLUDED.spend, last_seen = greatest(s.last_seen, EXCLUDED.last_seen);'
    [partman]="WITH n AS MATERIALIZED (SELECT p.id AS low, (SELECT max(id) FROM partman_seen) AS high FROM partman_progress p),
        g AS (SELECT $by_user FROM partman WHERE id > (SELECT low FROM n) AND id <= (SELECT high FROM n) GROUP BY 1, 2),
        u AS (INSERT INTO partman_sum AS s SELECT * FROM g ORDER BY user_id, bucket ON CONFLICT (user_id, bucket)
        DO UPDATE SET events = s.events + EXCLUDED.events, spend = s.spend + EXCLUDED.spend, last_seen = greatest(s.last_seen, EXCLUDED.last_seen))
        UPDATE partman_progress SET id = (SELECT high FROM n);"
)
make_sides() {
    event_table strata
    sql -c "$(rollup_of strata_sum strata)" >/dev/null
    for table in matview delta partman; do sql -v table="$table" -f bench/schema.sql; done
    sql <<END
ALTER TABLE partman ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY;
CREATE INDEX ON partman USING brin (id) WITH (pages_per_range = 16, autosummarize = on);
SELECT partman.create_parent('public.partman', 'ts', 'native', 'daily', p_premake => 4) IS NULL;
DROP TABLE partman_default;
-- reading the highest id off the sequence is free
CREATE VIEW partman_seen AS SELECT coalesce(pg_sequence_last_value('partman_id_seq'), 0) AS id;
CREATE TABLE partman_progress AS SELECT 0::bigint AS id;
SELECT format('CREATE TABLE %1\$s_%2\$s PARTITION OF %1\$s FOR VALUES FROM (%3\$L) TO (%4\$L)', t, n, day, day + interval '1 day')
FROM unnest('{matview,delta}'::text[]) t, generate_series(date_trunc('day', now()), now() + interval '4 days', interval '1 day') WITH ORDINALITY AS d (day, n)
\\gexec
CREATE MATERIALIZED VIEW matview_sum AS SELECT $by_user FROM matview GROUP BY 1, 2;
CREATE UNIQUE INDEX ON matview_sum (user_id, bucket);
CREATE TABLE delta_new WITH (fillfactor = 100) AS SELECT $by_user FROM delta GROUP BY 1, 2 WITH NO DATA;
CREATE FUNCTION delta_add() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN INSERT INTO delta_new SELECT $by_user FROM added GROUP BY 1, 2; RETURN NULL; END \$\$;
CREATE TRIGGER delta_add AFTER INSERT ON delta REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION delta_add();
SELECT format('CREATE TABLE %s_sum WITH (fillfactor = 70) AS SELECT * FROM matview_sum WITH NO DATA; CREATE UNIQUE INDEX ON %1\$s_sum (user_id, bucket)', t) FROM unnest('{delta,partman}'::text[]) t
\\gexec
END
}
sum_part() {
    title "$rows events in one day, $users skewed users, refreshed every $step: totals of CPU seconds (and of the clock)"
    make_sides >/dev/null
    for number in $(seq "$steps"); do
        # Whoever comes first has the cleaner cache: take turns.
        order=$sides
        [ $((number % 2)) = 1 ] || order=$(tr ' ' '\n' <<<"$sides" | tac | xargs)
        for side in $order; do
            copy "$side" "$number" | measured "$side copy"
            measured "$side refresh" <<<"${refresh[$side]}"
            # what autovacuum would do in a minute of its own, for each side alike
            [ $((number % 10)) != 0 ] || echo "ANALYZE $side;"
            if [ $((number % 10)) = 0 ]; then
                tables=$(case $side in
                    strata) echo 'strata, strata_sum_storage, strata_sum_dirty, strata._batches, strata._rollup_progress' ;;
                    matview) echo 'matview, matview_sum' ;;
                    delta) echo 'delta, delta_sum, delta_new' ;;
                    partman) echo 'partman, partman_sum, partman_progress' ;; esac)
                measured "$side vacuum" <<<"VACUUM $tables;"
            fi
        done
    done | sql >"$work/sum"
    printf '%-9s %16s %16s %14s %14s %10s %12s %12s %14s\n' '' 'COPY' 'refresh' 'vacuum' 'sum' 'ratio' 'ms/refresh' 'last 5' 'WAL MB/M rows'
    for side in $sides; do
        for column in 3 2; do
            for label in copy refresh vacuum '.*'; do calc "$(total "$work/sum" "$side $label" $column) / 1000"; echo; done | xargs
        done | xargs >"$work/line"
        read -r c r v s tc tr tv ts <"$work/line"
        [ "$side" != strata ] || ours=$s
        printf '%-9s %7.1f (%6.1f) %7.1f (%6.1f) %5.1f (%5.1f) %5.1f (%5.1f) %9.2fx %12.0f %12.0f %14.0f\n' "$side" "$c" "$tc" "$r" "$tr" "$v" "$tv" "$s" "$ts" \
            "$(calc "$s / $ours")" "$(middle "$work/sum" "$side refresh" 3)" "$(grep "^$side refresh" "$work/sum" | tail -n 5 | cut -d'|' -f3 | median)" \
            "$(calc "$(total "$work/sum" "$side .*" 4) / 1048576 / ($rows / 1000000)")"
    done
    echo "(ratio: CPU of the sum against ours; ms of CPU, medians of all refreshes and of the last five)"
    sql -c "SELECT CASE WHEN count(*) = 0 THEN 'the rollup equals its query' ELSE 'THE ROLLUP IS WRONG' END FROM strata.verify_rollup('strata_sum')"
    for side in matview delta partman; do
        sql -c "SELECT CASE WHEN count(*) = 0 THEN '$side agrees' ELSE '$side DIFFERS' END FROM (SELECT user_id, events, spend FROM strata_sum EXCEPT SELECT user_id, events, spend FROM ${side}_sum) d"
    done
}

# --- ingestion -------------------------------------------------------------------------------------------------
ingest_part() {
    title "COPY of $step rows with 0, 1 and 4 rollups, nothing refreshed: CPU, medians of $steps rounds taking turns"
    for number in 0 1 4; do
        event_table "ingest$number"
        rollups_of "ingest$number" "$number"
    done
    for number in $(seq "$steps"); do
        order='0 1 4'
        case $((number % 3)) in 1) order='1 4 0' ;; 2) order='4 0 1' ;; esac
        for table in $order; do copy "ingest$table" "$number" | measured "$table"; done
    done | sql >"$work/ingest"
    base=$(middle "$work/ingest" 0 3)
    for table in 0 1 4; do
        printf '%s rollups %22.1f ms %8.3fx   %s\n' "$table" "$(middle "$work/ingest" $table 3)" "$(calc "$(middle "$work/ingest" $table 3) / $base")" \
            "$([ $table = 0 ] || echo '(goal: 1.03 or less)')"
    done
    sql -c 'DROP TABLE ingest0, ingest1, ingest4 CASCADE' >/dev/null
}

# --- growth ----------------------------------------------------------------------------------------------------
growth_part() {
    low=$((groups / 10))
    title "one refresh of $step rows beside $low and $groups stored groups: CPU, medians taking turns"
    days=$((groups / users))
    for table in small large; do
        event_table "$table"
        sql -c "SELECT strata.alter_event_table('$table', accept_past => '400 days')" >/dev/null
        many=$days
        [ "$table" = large ] || many=$((days / 10))
        sql -c "SELECT strata.ensure_partitions('$table', now() - interval '$many days', now())" -c "$(rollup_of "${table}_sum" "$table")" >/dev/null
        # the history is put where refreshes would have put it: only its size matters here
        sql -c "INSERT INTO ${table}_sum_storage (bucket, user_id, events, spend, last_seen)
            SELECT date_trunc('day', now()) - d * interval '1 day', u, 10, 50, now() - d * interval '1 day' FROM generate_series(1, $many) d, generate_series(1, $users) u" \
            -c "VACUUM ANALYZE ${table}_sum_storage"
    done
    for number in $(seq $((steps < 20 ? steps : 20))); do
        order='small large'
        [ $((number % 2)) = 0 ] || order='large small'
        for table in $order; do
            copy "$table" "$number"
            measured "$table" <<<"SELECT strata.refresh_rollup('${table}_sum');"
        done
    done | sql >"$work/growth"
    small=$(middle "$work/growth" small 3)
    large=$(middle "$work/growth" large 3)
    printf '%-22s %10.1f ms\n%-22s %10.1f ms %8.3fx   (goal: 1.10 or less)\n' "$low groups" "$small" "$groups groups" "$large" "$(calc "$large / $small")"
    sql -c 'DROP TABLE small, large CASCADE' -c 'SELECT 1' >/dev/null
}

# --- one pass for several rollups? -----------------------------------------------------------------------------
# What a shared pass could save is what reading the new rows costs; what it costs is writing them down and reading them again.
shared_part() {
    title "4 rollups of one table: what one shared pass over $step new rows could save (CPU, medians)"
    event_table shared
    rollups_of shared 4
    needed='ts, user_id, kind, device, item_id, amount'
    for number in $(seq $((steps < 15 ? steps : 15))); do
        copy shared "$number"
        echo "SELECT strata._summarize_tail(partition) FROM strata.partitions WHERE relation = 'shared'::regclass AND now() >= lower AND now() < upper;" | sed 's/^/\\o \/dev\/null\n/; s/$/\n\\o/'
        echo "SELECT max(batch_id) AS b FROM strata.batches WHERE relation = 'shared'::regclass \\gset"
        echo "SELECT count(amount) FROM shared WHERE batch_id >= (SELECT :b) AND batch_id = ANY (ARRAY(SELECT :b));" | measured 'reading the rows'
        echo "WITH r AS MATERIALIZED (SELECT $needed FROM shared WHERE batch_id >= (SELECT :b) AND batch_id = ANY (ARRAY(SELECT :b)))
            SELECT (SELECT count(amount) FROM r), (SELECT count(user_id) FROM r), (SELECT count(item_id) FROM r), (SELECT count(ts) FROM r);" | measured 'writing them down, reading that 4 times'
        for rollup in 1 2 3 4; do measured "refresh $rollup" <<<"SELECT strata.refresh_rollup('shared_$rollup');"; done
    done | sql | grep '|' >"$work/shared"
    reading=$(middle "$work/shared" 'reading the rows' 3)
    once=$(middle "$work/shared" 'writing them down, reading that 4 times' 3)
    all=0
    for rollup in 1 2 3 4; do all=$(calc "$all + $(middle "$work/shared" "refresh $rollup" 3)"); done
    printf 'the 4 refreshes %29.1f ms\nreading the rows 4 times %20.1f ms\nonce, written down, read 4 times %12.1f ms\nso that a shared pass would take %12.3fx\n' \
        "$all" "$(calc "4 * $reading")" "$once" "$(calc "($all - 4 * $reading + $once) / $all")"
    sql -c 'DROP TABLE shared CASCADE' >/dev/null
}

# --- sustained rates -------------------------------------------------------------------------------------------
# Writers stop while more than three steps are pending in any rollup: what they get through is the rate that stays bounded.
rate_part() {
    title "highest rate at which rollups stay bounded ($seconds s each, one writer, a session for each rollup, $(nproc) processors)"
    for number in 1 4 8; do
        event_table rate
        rollups_of rate "$number"
        end=$((SECONDS + seconds))
        workers=()
        for rollup in $(seq "$number"); do
            (while [ $SECONDS -lt $end ]; do
                for _ in 1 2 3 4 5; do echo "SELECT strata.refresh_rollup('rate_$rollup'); SELECT pg_sleep(0.02);"; done | sql
            done >/dev/null) &
            workers+=($!)
        done
        copied=0
        while [ $SECONDS -lt $end ]; do
            if [ "$(sql -c "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM strata._pending_batches p JOIN strata._rollups r USING (rollup_id) GROUP BY r.rollup_id) x")" -lt 3 ]; then
                copy rate $((copied % steps + 1)) | sql
                copied=$((copied + 1))
            else
                sleep 0.02
            fi
        done
        wait "${workers[@]}"
        printf '%s rollups %12.0f events/s\n' "$number" "$(calc "$copied * $step / $seconds")"
        sql -c 'DROP TABLE rate CASCADE' -c 'CALL strata.maintain_partitions()' >/dev/null
    done
}

for part in $parts; do "${part}_part"; done

//! `strata maintain`: partitions past retention go, nobody waits for it, and what kills it, holds it up or runs beside it
//! changes nothing but when.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use strata_e2e::process::Process;
use strata_e2e::{Cluster, Endpoint, Event, Sidecar, promises, sidecar, until};
use tokio_postgres::Client;

/// A week of daily partitions, of which three are past retention, and a rollup that has folded half of the rows.
const TABLE: &str = "
    CREATE TABLE clicks (event_id bigint NOT NULL, ts timestamptz NOT NULL, kind text NOT NULL DEFAULT 'view');
    SELECT strata.create_event_table('clicks', 'ts', premake => 1);
    SELECT strata.ensure_partitions('clicks', now() - interval '6 days', now());
    SELECT strata.create_rollup('by_day', 'clicks', '1 day', ARRAY['kind'], ARRAY['count(*) AS n']);
    INSERT INTO clicks SELECT n, now() - n % 7 * interval '1 day' FROM generate_series(1, 70) n;
    SELECT strata.refresh_rollup('by_day');
    INSERT INTO clicks SELECT n, now() - n % 7 * interval '1 day', 'click' FROM generate_series(71, 140) n;
    SELECT strata.alter_event_table('clicks', retention => '3 days', accept_past => '2 days');
    CREATE TABLE before AS SELECT * FROM by_day";

const EXPIRED: &str = "SELECT count(*) FROM strata.expired_partitions('clicks')";
const PARTITIONS: &str = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'clicks'::regclass";
/// Anybody waiting to lock a relation against everyone.
const WAITS: &str = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation' AND mode = 'AccessExclusiveLock'";
/// The server process that waits inside DETACH CONCURRENTLY.
const DETACHES: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE query ~ 'DETACH PARTITION .* CONCURRENTLY' AND state = 'active' AND wait_event_type = 'Lock'";
const PENDING: &str =
    "SELECT count(*) FROM pg_inherits WHERE inhparent = 'clicks'::regclass AND inhdetachpending";
const MAINTAIN: [&str; 4] = ["maintain", "--json", "--table", "clicks"];

/// A rollup that cannot fold a row it needs.
const BROKEN: &str = "
    SELECT strata.create_rollup('broken', 'clicks', '1 day', '{}', ARRAY['sum(1 / (event_id - 300)) AS boom']);
    INSERT INTO clicks VALUES (300, now() - interval '5 days');
    DROP TABLE before; CREATE TABLE before AS SELECT * FROM by_day";

async fn set_up() -> Result<(Cluster, Endpoint, Client)> {
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    let client = cluster.connect().await?;
    client.batch_execute(TABLE).await?;
    // A sidecar that waits for ever must fail the test, not hold it up too.
    client.batch_execute("SET lock_timeout = '10s'").await?;
    ensure!(promises::number(&client, EXPIRED).await? == 3, "three partitions are past retention");
    Ok((cluster, endpoint, client))
}

fn arguments<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    MAINTAIN.into_iter().chain(settings).collect()
}

/// Makes a role that may stream into the table and does not own it; gives the connection string it is reached by.
async fn carrier(cluster: &Cluster, client: &Client) -> Result<String> {
    client
        .batch_execute(
            "CREATE ROLE carrier LOGIN PASSWORD 'carrier'; SELECT strata.grant_ingest('clicks', 'carrier')",
        )
        .await?;
    let host = cluster.dsn.split_once('@').context("no host")?.1;
    Ok(format!("postgresql://carrier:carrier@{host}"))
}

/// Runs it to its end and gives what it printed.
fn maintain(cluster: &Cluster, endpoint: &Endpoint, settings: &[&str], code: i32) -> Result<(Value, String)> {
    let output = sidecar::run(cluster, endpoint, &arguments(settings))?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(code),
        "exit code {:?}, expected {code}: {errors}\n{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout)
    );
    Ok((serde_json::from_slice(&output.stdout).context("no JSON")?, errors))
}

fn start(cluster: &Cluster, endpoint: &Endpoint, settings: &[&str]) -> Result<Process> {
    Process::spawn(sidecar::command(cluster, endpoint, &arguments(settings))?, "maintain")
}

/// How often something was done.
fn count(report: &Value, action: &str) -> usize {
    report["actions"].as_array().map_or(0, |all| all.iter().filter(|a| a["action"] == action).count())
}

/// What is past retention is gone, and the rollup still knows it.
async fn gone(client: &Client, partitions: i64) -> Result<()> {
    ensure!(promises::number(client, EXPIRED).await? == 0, "partitions past retention are still there");
    let left = promises::number(client, PARTITIONS).await?;
    ensure!(left == partitions, "{left} partitions are left of {partitions}");
    let tables = "SELECT count(*) FROM pg_class WHERE relname ~ '^clicks_p' AND relkind = 'r'";
    ensure!(promises::number(client, tables).await? == partitions, "a detached table was left behind");
    let lost = "SELECT count(*) FROM (TABLE before EXCEPT TABLE by_day) lost";
    ensure!(promises::number(client, lost).await? == 0, "the rollup lost what it had folded");
    let differences = "SELECT count(*) FROM strata.verify_rollup('by_day')";
    ensure!(promises::number(client, differences).await? == 0, "the rollup differs from its query");
    Ok(())
}

async fn wait_for(client: &Client, what: &str, query: &str, least: i64) -> Result<()> {
    until(what, async || Ok((promises::number(client, query).await? >= least).then_some(()))).await
}

/// Reads and writes as applications do until the process ends, giving up where a lock is not to be had in a time far
/// above the sidecar's.
async fn live_beside(cluster: &Cluster, process: &mut Process, reads: &[String]) -> Result<i32> {
    let other = cluster.connect().await?;
    other.batch_execute("SET lock_timeout = '5s'").await?;
    loop {
        for read in reads {
            other.batch_execute(read).await.with_context(|| format!("somebody else was held up: {read}"))?;
        }
        if let Some(status) = process.ended()? {
            return status.code().context("it was killed");
        }
    }
}

fn reads() -> Vec<String> {
    let reads =
        ["SELECT count(*) FROM clicks", "INSERT INTO clicks VALUES (1000, now(), 'beside')", "TABLE by_day"];
    reads.map(str::to_owned).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_behind_a_long_reader() -> Result<()> {
    let (cluster, endpoint, client) = set_up().await?;
    let all = promises::number(&client, PARTITIONS).await?;
    let reader = cluster.connect().await?;
    reader.batch_execute("BEGIN; SELECT count(*) FROM clicks").await?;

    let mut process = start(&cluster, &endpoint, &["maintain.lock_attempts=5"])?;
    wait_for(&client, "it to wait for a lock", WAITS, 1).await?;
    let oldest: String = client
        .query_one("SELECT min(partition::text) FROM strata.expired_partitions('clicks')", &[])
        .await?
        .get(0);
    let reads = [reads(), vec![format!("SELECT count(*) FROM {oldest}")]].concat();
    let code = live_beside(&cluster, &mut process, &reads).await?;
    ensure!(code == 3, "exit code {code}:\n{}", process.output());
    ensure!(process.output().contains("left to the next run"), "it does not say so:\n{}", process.output());
    ensure!(promises::number(&client, PARTITIONS).await? == all, "something went in spite of the reader");

    reader.batch_execute("COMMIT").await?;
    let (report, _) = maintain(&cluster, &endpoint, &[], 0)?;
    let counts = ["sealed", "frozen", "detached", "dropped"].map(|action| count(&report, action));
    ensure!(counts == [3, 1, 3, 3], "{counts:?}: {report:#}");
    gone(&client, all - 3).await?;
    let (report, _) = maintain(&cluster, &endpoint, &[], 0)?;
    ensure!(count(&report, "dropped") + count(&report, "sealed") == 0, "a second run found work: {report:#}");
    Ok(())
}

/// A transaction that has the table open, and a snapshot, but not the partition: DETACH CONCURRENTLY waits for the one,
/// and FINALIZE for the other.
async fn old_transaction(cluster: &Cluster) -> Result<Client> {
    let old = cluster.connect().await?;
    let today: String = old.query_one("SELECT date_trunc('day', now())::text", &[]).await?.get(0);
    old.batch_execute(&format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM clicks WHERE ts >= '{today}'"
    ))
    .await?;
    Ok(old)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_detaching() -> Result<()> {
    let (cluster, endpoint, client) = set_up().await?;
    let all = promises::number(&client, PARTITIONS).await?;
    let old = old_transaction(&cluster).await?;
    let mut process = start(&cluster, &endpoint, &[])?;
    wait_for(&client, "DETACH CONCURRENTLY to wait", DETACHES, 1).await?;
    process.kill()?;
    // Its server process must not stay behind: the next run would find it in its way.
    until("the server to notice", async || {
        Ok((promises::number(&client, DETACHES).await? == 0).then_some(()))
    })
    .await?;
    ensure!(promises::number(&client, PENDING).await? == 1, "the detach is not halfway: this shows nothing");

    // Nobody is held up meanwhile, and a run that cannot finish says so and goes.
    let mut process = start(&cluster, &endpoint, &["maintain.lock_attempts=3"])?;
    let code = live_beside(&cluster, &mut process, &reads()).await?;
    ensure!(code == 3 && process.output().contains("detach"), "exit code {code}:\n{}", process.output());
    ensure!(promises::number(&client, PENDING).await? == 1, "the detach is not halfway any more");

    old.batch_execute("COMMIT").await?;
    let (report, _) = maintain(&cluster, &endpoint, &[], 0)?;
    ensure!(count(&report, "detached") == 3 && count(&report, "dropped") == 3, "{report:#}");
    gone(&client, all - 3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn detaching_waits_so_long_and_no_longer() -> Result<()> {
    let (cluster, endpoint, client) = set_up().await?;
    let all = promises::number(&client, PARTITIONS).await?;
    let old = old_transaction(&cluster).await?;
    let settings = ["maintain.detach_timeout_ms=300", "maintain.lock_attempts=2"];
    let mut process = start(&cluster, &endpoint, &settings)?;
    let code = live_beside(&cluster, &mut process, &reads()).await?;
    ensure!(code == 3, "exit code {code}:\n{}", process.output());
    ensure!(promises::number(&client, PENDING).await? == 1, "the detach is not halfway");
    old.batch_execute("COMMIT").await?;
    maintain(&cluster, &endpoint, &[], 0)?;
    gone(&client, all - 3).await
}

/// At its end DETACH CONCURRENTLY locks the partition against those who read it by its own name: the wait for that would
/// be in the way of others who do, so it is cut short.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_behind_the_end_of_detaching() -> Result<()> {
    let (cluster, endpoint, client) = set_up().await?;
    let all = promises::number(&client, PARTITIONS).await?;
    let old = old_transaction(&cluster).await?;
    let mut process = start(&cluster, &endpoint, &["maintain.lock_attempts=3"])?;
    wait_for(&client, "DETACH CONCURRENTLY to wait", DETACHES, 1).await?;
    let partition = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhdetachpending";
    let partition: String = client.query_one(partition, &[]).await?.get(0);
    let reader = cluster.connect().await?;
    reader.batch_execute(&format!("BEGIN; SELECT count(*) FROM {partition}")).await?;
    old.batch_execute("COMMIT").await?;
    wait_for(&client, "it to wait for the partition", WAITS, 1).await?;
    let reads = [reads(), vec![format!("SELECT count(*) FROM {partition}")]].concat();
    let code = live_beside(&cluster, &mut process, &reads).await?;
    ensure!(code == 3, "exit code {code}:\n{}", process.output());
    ensure!(promises::number(&client, PENDING).await? == 1, "the detach is not halfway");
    reader.batch_execute("COMMIT").await?;
    maintain(&cluster, &endpoint, &[], 0)?;
    gone(&client, all - 3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollup_holds_it_back() -> Result<()> {
    let (cluster, endpoint, client) = set_up().await?;
    let all = promises::number(&client, PARTITIONS).await?;
    client.batch_execute(BROKEN).await?;
    let (report, errors) = maintain(&cluster, &endpoint, &[], 3)?;
    ensure!(errors.contains("public.broken has not folded its rows"), "it does not say why: {errors}");
    ensure!(count(&report, "unrefreshed") == 1 && count(&report, "dropped") == 0, "{report:#}");
    let blocked = report["expired"].as_array().map_or(0, Vec::len);
    ensure!(blocked == 3, "{report:#}");

    let dry = sidecar::run(&cluster, &endpoint, &["maintain", "--dry-run", "--table", "clicks"])?;
    let status = sidecar::run(&cluster, &endpoint, &["status", "--json"])?;
    for output in [dry, status] {
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success() && text.contains("public.broken has not folded"), "says:\n{text}");
    }
    ensure!(promises::number(&client, PARTITIONS).await? == all, "a dry run did something");

    client.batch_execute("SELECT strata.suspend_rollup('broken')").await?;
    // Without a table named: every table this role may maintain, also one of a strange name.
    let strange = r#"CREATE TABLE "Ä b""c" (t timestamptz NOT NULL);
                     SELECT strata.create_event_table('"Ä b""c"', 't', premake => 0)"#;
    client.batch_execute(strange).await?;
    let output = sidecar::run(&cluster, &endpoint, &["maintain"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    gone(&client, all - 3).await?;
    let unknown = sidecar::run(&cluster, &endpoint, &["maintain", "--table", "clack"])?;
    let text = String::from_utf8_lossy(&unknown.stderr);
    ensure!(unknown.status.code() == Some(2) && text.contains("clicks"), "an unknown table: {text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once() -> Result<()> {
    let (mut cluster, endpoint, client) = set_up().await?;
    let all = promises::number(&client, PARTITIONS).await?;
    let reader = cluster.connect().await?;
    reader.batch_execute("BEGIN; SELECT count(*) FROM clicks").await?;
    let settings = ["maintain.lock_attempts=1000", "maintain.lock_timeout_ms=50"];
    let mut owner = start(&cluster, &endpoint, &settings)?;
    cluster.dsn = carrier(&cluster, &client).await?;
    let mut carrier = start(&cluster, &endpoint, &settings)?;
    wait_for(&client, "one to wait for a lock", WAITS, 1).await?;
    let other = "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^SELECT pg_try_advisory_lock'";
    wait_for(&client, "the other to wait for its turn", other, 1).await?;
    reader.batch_execute("COMMIT").await?;
    for process in [&mut owner, &mut carrier] {
        let status = process.wait().await?;
        ensure!(status.code() == Some(0), "{status}:\n{}", process.output());
    }
    gone(&client, all - 3).await?;
    let dropped = "SELECT count(*) FROM strata.retention_log WHERE action = 'dropped'";
    ensure!(promises::number(&client, dropped).await? == 3, "each is dropped once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_not_the_owner_lets_go() -> Result<()> {
    let (mut cluster, endpoint, client) = set_up().await?;
    let all = promises::number(&client, PARTITIONS).await?;
    cluster.dsn = carrier(&cluster, &client).await?;
    let (report, _) = maintain(&cluster, &endpoint, &[], 0)?;
    let sized = |action: &str| {
        let all = report["actions"].as_array();
        all.is_some_and(|all| all.iter().any(|a| a["action"] == action && a["bytes"].as_i64() > Some(0)))
    };
    ensure!(sized("sealed") && sized("detached") && sized("dropped"), "{report:#}");
    gone(&client, all - 3).await
}

/// Rows of an audited table leave its log before they leave the table, beside people who read and write it; and the log
/// itself is pruned as auditors have set, by the same command.
#[tokio::test(flavor = "multi_thread")]
async fn an_audited_table_lets_go() -> Result<()> {
    let (cluster, endpoint, client) = set_up().await?;
    let all = promises::number(&client, PARTITIONS).await?;
    client
        .batch_execute(
            "ALTER TABLE clicks ADD PRIMARY KEY (event_id, ts);
             SELECT strata.enable_audit('clicks');
             UPDATE clicks SET event_id = 1000 WHERE event_id = 70",
        )
        .await?;
    let faults = "SELECT count(*) FROM strata.verify_audit()";
    let mut process = start(&cluster, &endpoint, &[])?;
    let beside = ["SELECT count(*) FROM clicks", "INSERT INTO clicks VALUES (1000, now(), 'beside')", faults];
    let code = live_beside(&cluster, &mut process, &beside.map(str::to_owned)).await?;
    ensure!(code == 0, "exit code {code}: {}", process.output());
    gone(&client, all - 3).await?;
    let expired = "SELECT sum(removed) FROM strata.audit_log WHERE operation = 'expired'";
    ensure!(promises::number(&client, expired).await? == 60, "the rows of three partitions have expired");
    ensure!(promises::number(&client, faults).await? == 0, "table and log are of one mind");
    // a record is made behind the horizon, and chunks go once it is sealed
    let seal = "SELECT strata.seal_audit()";
    client.batch_execute("SELECT strata.set_audit_retention(NULL, '0', verify_within => '0')").await?;
    for _ in 0..2 {
        client.batch_execute(seal).await?;
        client.batch_execute(seal).await?;
        let (report, _) = maintain(&cluster, &endpoint, &[], 0)?;
        ensure!(count(&report, "log pruned") == 1, "{report:#}");
    }
    let left = "SELECT count(*) FROM strata.audit_log WHERE operation IN ('baseline', 'update', 'expired')";
    ensure!(promises::number(&client, left).await? == 0, "chunks past retention are still there");
    ensure!(promises::number(&client, faults).await? == 0, "a pruned log is sound");
    Ok(())
}

/// `strata run` does the same while it carries, and outlives what stands in the way.
#[tokio::test(flavor = "multi_thread")]
async fn run_maintains_too() -> Result<()> {
    let (cluster, endpoint, client) = set_up().await?;
    client.batch_execute(BROKEN).await?;
    endpoint.create_stream("clicks", 1).await?;
    let settings = ["maintain.interval_ms=100", "maintain.lock_attempts=2"];
    let mut running = Sidecar::start(&cluster, &endpoint, "run", "clicks", &settings)?;
    until("word of what holds retention back", async || {
        Ok(running.process.output().contains("public.broken has not folded its rows").then_some(()))
    })
    .await?;
    client.batch_execute("SELECT strata.suspend_rollup('broken')").await?;
    endpoint.put("clicks", &[record(2001, 0)]).await?;
    until("what is past retention to go", async || {
        Ok((promises::number(&client, EXPIRED).await? == 0).then_some(()))
    })
    .await?;
    wait_for(&client, "the record", "SELECT count(*) FROM clicks WHERE kind = 'late'", 1).await?;
    ensure!(running.process.ended()?.is_none(), "it ended:\n{}", running.process.output());
    ensure!(running.stop().await? == Some(0), "SIGTERM must end it with 0");
    Ok(())
}

fn record(id: i64, age_ms: i64) -> Event {
    let ts = strata_e2e::events::now_ms() - age_ms;
    let record = format!(r#"{{"event_id": {id}, "ts": {ts}, "kind": "late"}}"#).into_bytes();
    Event { id, key: id.to_string(), record }
}

/// Records for a time that retention has passed: whether its partition is frozen, or was sealed under the batch.
#[tokio::test(flavor = "multi_thread")]
async fn late_records_become_dead_letters() -> Result<()> {
    let (cluster, endpoint, client) = set_up().await?;
    // By size, so that the window of accepted times is wider than what is retained.
    client.batch_execute("SELECT strata.alter_event_table('clicks', retention_bytes => 1)").await?;
    endpoint.create_stream("clicks", 1).await?;
    let yesterday = 86_400_000;
    let holder = cluster.connect().await?;
    holder.batch_execute("BEGIN; LOCK TABLE clicks IN SHARE MODE").await?;
    endpoint.put("clicks", &[record(2001, yesterday), record(2002, 0)]).await?;
    let running = Sidecar::ingest(&cluster, &endpoint, "clicks", &["refresh.interval_ms=0"])?;
    wait_for(
        &client,
        "the writer to wait",
        "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'LOCK TABLE ONLY' AND wait_event_type = 'Lock'",
        1,
    )
    .await?;
    holder
        .batch_execute("DO $$ BEGIN WHILE strata._seal_expired('clicks') > 0 LOOP END LOOP; END $$; COMMIT")
        .await?;
    let come = "SELECT (SELECT count(*) FROM clicks WHERE kind = 'late') + (SELECT count(*) FROM strata.dead_letters)";
    wait_for(&client, "both records", come, 2).await?;

    maintain(&cluster, &endpoint, &[], 0)?;
    ensure!(promises::number(&client, EXPIRED).await? == 0, "partitions past retention are still there");
    endpoint.put("clicks", &[record(2003, yesterday), record(2004, 0)]).await?;
    wait_for(&client, "all four records", come, 4).await?;
    ensure!(running.stop().await? == Some(0), "SIGTERM must end it with 0");
    let stored = "SELECT string_agg(event_id::text, ' ' ORDER BY event_id) FROM clicks WHERE kind = 'late'";
    let stored: String = client.query_one(stored, &[]).await?.get(0);
    let letters =
        client.query("SELECT sqlstate, reason FROM strata.dead_letters ORDER BY dead_letter_id", &[]).await?;
    let letters: Vec<(String, String)> = letters.iter().map(|row| (row.get(0), row.get(1))).collect();
    ensure!(stored == "2002 2004" && letters.len() == 2, "stored {stored}, dead letters {letters:?}");
    ensure!(letters.iter().all(|(state, _)| state == "23514"), "{letters:?}");
    ensure!(letters[0].1.contains("strata_expired") && letters[1].1.contains("window"), "{letters:?}");
    Ok(())
}

/// A batch that lay ready when retention passed its times: so many rows are refused that a table would be given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_overtaken_by_retention_does_not_stop_the_sidecar() -> Result<()> {
    let (cluster, endpoint, client) = set_up().await?;
    client.batch_execute("SELECT strata.alter_event_table('clicks', retention_bytes => 1)").await?;
    endpoint.create_stream("clicks", 1).await?;
    let events: Vec<Event> = (2001..2101).map(|id| record(id, 86_400_000)).collect();
    endpoint.put("clicks", &events).await?;
    let holder = cluster.connect().await?;
    holder.batch_execute("BEGIN; LOCK TABLE clicks IN SHARE MODE").await?;
    let settings = ["refresh.interval_ms=0", "batch.refused_rows_max=10"];
    let running = Sidecar::ingest(&cluster, &endpoint, "clicks", &settings)?;
    let waits =
        "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'LOCK TABLE ONLY' AND wait_event_type = 'Lock'";
    wait_for(&client, "the writer to wait", waits, 1).await?;
    holder
        .batch_execute(
            "DO $$ BEGIN
                 WHILE strata._seal_expired('clicks') > 0 LOOP END LOOP;
                 PERFORM strata.refresh_rollup('by_day');
                 PERFORM strata._freeze_expired('clicks');
             END $$;
             COMMIT",
        )
        .await?;
    wait_for(&client, "a hundred dead letters", "SELECT count(*) FROM strata.dead_letters", 100).await?;
    ensure!(running.stop().await? == Some(0), "SIGTERM must end it with 0");
    let frozen = "SELECT count(*) FROM strata.dead_letters WHERE reason ~ 'window' AND sqlstate = '23514'";
    ensure!(promises::number(&client, frozen).await? == 100, "they are refused for what they are");
    Ok(())
}

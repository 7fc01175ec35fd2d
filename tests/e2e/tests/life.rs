//! A sidecar's life: it drains on SIGTERM, its successor resumes exactly, shards split and merge under it, Kinesis
//! misbehaves, the server goes away for a while.

use anyhow::{Result, ensure};
use strata_e2e::{Cluster, Endpoint, Sidecar, events, promises, until};
use tokio_postgres::Client;

async fn rows(client: &Client, count: i64) -> Result<()> {
    until(&format!("{count} rows"), async || {
        let rows = promises::number(client, "SELECT count(*) FROM clicks").await?;
        Ok((rows >= count).then_some(()))
    })
    .await
}

async fn set_up(shards: i32) -> Result<(Cluster, Endpoint, Client)> {
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", shards).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    Ok((cluster, endpoint, client))
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_drains_and_the_successor_resumes() -> Result<()> {
    let mut rng = strata_e2e::random("sigterm_drains_and_the_successor_resumes");
    let (cluster, endpoint, client) = set_up(2).await?;
    let mut told = endpoint.put("clicks", &events::events(1..3001, &mut rng)).await?;

    // A long linger: without a drain the last rows would not be committed for a minute.
    let first = Sidecar::ingest(
        &cluster,
        &endpoint,
        "clicks",
        &["batch.linger_ms=60000", "batch.rows=1000", "kinesis.page_records=400"],
    )?;
    rows(&client, 1000).await?;
    ensure!(first.stop().await? == Some(0), "SIGTERM must end it with 0");
    let committed = promises::number(&client, "SELECT count(*) FROM clicks").await?;
    let counted =
        promises::number(&client, "SELECT coalesce(sum(rows), 0)::bigint FROM strata.shards").await?;
    ensure!(committed == counted, "{committed} rows, checkpoints count {counted}");
    let held =
        "SELECT count(*) FROM strata.shards WHERE worker IS NOT NULL AND expires_at > clock_timestamp()";
    ensure!(promises::number(&client, held).await? == 0, "a sidecar that ended still holds leases");

    told.extend(endpoint.put("clicks", &events::events(3001..4001, &mut rng)).await?);
    let second = Sidecar::ingest(&cluster, &endpoint, "clicks", &[])?;
    rows(&client, 4000).await?;
    ensure!(second.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told).await?;
    promises::verified(&client).await?;
    promises::rollup_is_its_query(&client).await?;
    promises::checkpoints_at_end(&client, &endpoint.arn("clicks").await?, &told).await
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_split_and_merge() -> Result<()> {
    let mut rng = strata_e2e::random("shards_split_and_merge");
    let (cluster, endpoint, client) = set_up(2).await?;
    let mut told = endpoint.put("clicks", &events::events(1..1001, &mut rng)).await?;
    let settings = ["kinesis.page_records=200", "kinesis.list_interval_ms=500"];
    let sidecar = Sidecar::ingest(&cluster, &endpoint, "clicks", &settings)?;
    rows(&client, 300).await?;

    let parents = endpoint.shards("clicks").await?;
    let half = (1_u128 << 126).to_string();
    endpoint
        .client
        .split_shard()
        .stream_name("clicks")
        .shard_to_split(&parents[0])
        .new_starting_hash_key(half)
        .send()
        .await?;
    told.extend(endpoint.put("clicks", &events::events(1001..2001, &mut rng)).await?);
    let children: Vec<_> =
        endpoint.shards("clicks").await?.into_iter().filter(|shard| !parents.contains(shard)).collect();
    ensure!(children.len() == 2, "a split makes two shards, not {children:?}");
    endpoint
        .client
        .merge_shards()
        .stream_name("clicks")
        .shard_to_merge(&children[0])
        .adjacent_shard_to_merge(&children[1])
        .send()
        .await?;
    told.extend(endpoint.put("clicks", &events::events(2001..3001, &mut rng)).await?);

    rows(&client, 3000).await?;
    ensure!(sidecar.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told).await?;
    promises::verified(&client).await?;
    promises::checkpoints_at_end(&client, &endpoint.arn("clicks").await?, &told).await?;
    // No record of a child is committed in an earlier batch than the last one of its parent.
    let ended = promises::number(&client, "SELECT count(*) FROM strata.shards WHERE ended").await?;
    ensure!(ended == 3, "{ended} shards have ended, of three");
    let order = "SELECT count(*) FROM strata.batch_origins AS child, strata.batch_origins AS parent
                 WHERE parent.shard = $1 AND child.shard = ANY ($2) AND child.batch_id < parent.batch_id";
    let wrong: i64 = client.query_one(order, &[&parents[0], &children]).await?.get(0);
    ensure!(wrong == 0, "children were read before their parent had ended");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kinesis_misbehaves() -> Result<()> {
    let mut rng = strata_e2e::random("kinesis_misbehaves");
    let (cluster, endpoint, client) = set_up(3).await?;
    let told = endpoint.put("clicks", &events::events(1..4001, &mut rng)).await?;
    for kind in
        ["throttle", "expire", "internal_error", "empty", "duplicate", "reset", "reset_after", "cut_body"]
    {
        for _ in 0..3 {
            let after = rng.u32(..40);
            endpoint
                .fault(&format!(r#"{{"operation": "GetRecords", "kind": "{kind}", "after": {after}}}"#))
                .await?;
        }
    }
    let settings = [
        "kinesis.page_records=50",
        "kinesis.poll_interval_ms=10",
        "kinesis.idle_interval_ms=10",
        "batch.rows=500",
    ];
    let sidecar = Sidecar::ingest(&cluster, &endpoint, "clicks", &settings)?;
    rows(&client, 4000).await?;
    // What it is told twice at the end it must not believe either.
    until("every fault to have struck", async || Ok((endpoint.faults_pending().await? == 0).then_some(())))
        .await?;
    ensure!(sidecar.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told).await?;
    promises::verified(&client).await?;
    promises::checkpoints_at_end(&client, &endpoint.arn("clicks").await?, &told).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_away() -> Result<()> {
    let mut rng = strata_e2e::random("the_server_is_away");
    let cluster = Cluster::durable().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 1).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let mut told = endpoint.put("clicks", &events::events(1..501, &mut rng)).await?;
    let mut sidecar = Sidecar::ingest(&cluster, &endpoint, "clicks", &[])?;
    rows(&client, 500).await?;

    cluster.crash()?;
    told.extend(endpoint.put("clicks", &events::events(501..1001, &mut rng)).await?);
    let before = sidecar.process.output().len();
    until("word of the server's absence", async || {
        Ok((sidecar.process.output().len() > before).then_some(()))
    })
    .await?;
    ensure!(sidecar.process.ended()?.is_none(), "it must wait for the server:\n{}", sidecar.process.output());
    cluster.start_again()?;
    let client = cluster.connect().await?;
    rows(&client, 1000).await?;
    ensure!(sidecar.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told).await?;
    promises::verified(&client).await
}

/// Commits that were not on disk yet are gone after a crash, and their checkpoints with them: what they held is read
/// again, also from the shards that the next batch has nothing of.
#[tokio::test(flavor = "multi_thread")]
async fn commits_lost_in_a_crash_are_read_again() -> Result<()> {
    let mut rng = strata_e2e::random("commits_lost_in_a_crash_are_read_again");
    // Nothing but a commit that waits writes the log out.
    let cluster =
        Cluster::with(&["wal_writer_delay=10s", "wal_writer_flush_after=1GB", "autovacuum=off"]).await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 4).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let mut told = endpoint.put("clicks", &events::events(1..801, &mut rng)).await?;
    let sidecar = Sidecar::ingest(&cluster, &endpoint, "clicks", &["refresh.interval_ms=0"])?;
    rows(&client, 800).await?;
    cluster.crash_and_restart()?;
    let client = cluster.connect().await?;
    let survived = promises::number(&client, "SELECT count(*) FROM clicks").await?;
    ensure!(survived < 800, "the crash took nothing back: this shows nothing");

    told.extend(endpoint.put("clicks", &events::events(801..802, &mut rng)).await?);
    until("the first row after the crash", async || {
        let come = promises::number(&client, "SELECT count(*) FROM clicks WHERE event_id = 801").await?;
        Ok((come > 0).then_some(()))
    })
    .await?;
    told.extend(endpoint.put("clicks", &events::events(802..1602, &mut rng)).await?);
    rows(&client, 1601).await?;
    ensure!(sidecar.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told).await?;
    promises::verified(&client).await?;
    promises::rollup_is_its_query(&client).await?;
    promises::checkpoints_at_end(&client, &endpoint.arn("clicks").await?, &told).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_worker_cannot_commit_late() -> Result<()> {
    let mut rng = strata_e2e::random("a_paused_worker_cannot_commit_late");
    let (cluster, endpoint, client) = set_up(4).await?;
    let mut told = endpoint.put("clicks", &events::events(1..4001, &mut rng)).await?;
    let settings = [
        "lease.duration_ms=1000",
        "kinesis.page_records=50",
        "kinesis.poll_interval_ms=20",
        "batch.rows=200",
        "postgres.idle_in_transaction_timeout_ms=3000",
    ];
    let first = Sidecar::ingest(&cluster, &endpoint, "clicks", &[&settings[..], &["worker=first"]].concat())?;
    rows(&client, 400).await?;
    first.pause()?;
    let second =
        Sidecar::ingest(&cluster, &endpoint, "clicks", &[&settings[..], &["worker=second"]].concat())?;
    rows(&client, 4000).await?;
    let held = "SELECT count(*) FROM strata.shards WHERE worker = 'second'";
    ensure!(promises::number(&client, held).await? == 4, "the second worker has not taken over every shard");

    // What the first one read, and had in its hands all the while, must not go in a second time.
    first.resume()?;
    told.extend(endpoint.put("clicks", &events::events(4001..5001, &mut rng)).await?);
    rows(&client, 5000).await?;
    ensure!(first.stop().await? == Some(0), "SIGTERM must end the first with 0");
    ensure!(second.stop().await? == Some(0), "SIGTERM must end the second with 0");
    promises::exactly_once(&client, &told).await?;
    promises::verified(&client).await?;
    promises::checkpoints_at_end(&client, &endpoint.arn("clicks").await?, &told).await
}

#[tokio::test(flavor = "multi_thread")]
async fn run_refreshes_and_makes_partitions() -> Result<()> {
    let mut rng = strata_e2e::random("run_refreshes_and_makes_partitions");
    let (cluster, endpoint, client) = set_up(1).await?;
    let told = endpoint.put("clicks", &events::events(1..301, &mut rng)).await?;
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'clicks'::regclass";
    let made = promises::number(&client, partitions).await?;
    let last = "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
                WHERE i.inhparent = 'clicks'::regclass ORDER BY c.relname DESC LIMIT 1";
    let last: String = client.query_one(last, &[]).await?.get(0);
    client.batch_execute(&format!("DROP TABLE {last}")).await?;

    let settings = ["maintain.interval_ms=200", "refresh.interval_ms=200"];
    let sidecar = Sidecar::start(&cluster, &endpoint, "run", "clicks", &settings)?;
    rows(&client, 300).await?;
    until("the missing partition", async || {
        Ok((promises::number(&client, partitions).await? >= made).then_some(()))
    })
    .await?;
    until("the rollup to be refreshed", async || {
        let pending = "SELECT sum(pending_batches)::bigint FROM strata.rollups";
        Ok((promises::number(&client, pending).await? == 0).then_some(()))
    })
    .await?;
    ensure!(sidecar.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told).await?;
    promises::rollup_is_its_query(&client).await?;
    promises::verified(&client).await
}

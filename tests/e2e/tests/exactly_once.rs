//! The product's promise: whatever is killed whenever, every acknowledged event is in the table once, and the rollup
//! equals its query all the while.

use anyhow::{Result, ensure};
use fastrand::Rng;
use std::sync::Arc;
use strata_e2e::{Cluster, Endpoint, Event, Sidecar, events, promises, until};
use tokio_postgres::Client;

const EVENTS: i64 = 20_000;
const MALFORMED: i64 = 40;
/// Small pages and batches, so that many transactions stand between the first row and the last.
const SETTINGS: [&str; 5] = [
    "batch.rows=400",
    "kinesis.page_records=100",
    "kinesis.poll_interval_ms=40",
    "refresh.interval_ms=100",
    "refresh.rows=2000",
];

/// Looks until so many rows are committed, then a random number of times more, or until a transaction of the
/// sidecar is open: the moment to strike.
async fn moment(cluster: &Cluster, rows: i64, rng: &mut Rng) -> Result<()> {
    // The server may have just come back.
    let client = until("a connection", async || Ok(cluster.connect().await.ok())).await?;
    until(&format!("{rows} committed rows"), async || {
        let committed = promises::number(&client, "SELECT count(*) FROM clicks").await?;
        Ok((committed >= rows).then_some(()))
    })
    .await?;
    let more = rng.u32(..60);
    for _ in 0..more {
        promises::number(&client, "SELECT count(*) FROM strata.batches").await?;
    }
    if rng.bool() {
        until("an open transaction", async || {
            let open = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'
                        AND xact_start IS NOT NULL AND query ~* 'copy|_finish_batch|_advance_checkpoints|commit'";
            let done = promises::number(&client, "SELECT count(*) FROM clicks").await? >= EVENTS;
            Ok((done || promises::number(&client, open).await? > 0).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// Where the sidecar (five times) and the server (once, as number `server`) go down.
fn plan(rng: &mut Rng) -> (Vec<i64>, usize) {
    let mut at: Vec<i64> = (0..6).map(|_| rng.i64(EVENTS / 50..EVENTS * 9 / 10)).collect();
    at.sort_unstable();
    let server = rng.usize(..at.len());
    (at, server)
}

fn malformed(count: i64) -> Vec<Event> {
    let record = |id: i64| format!("{{\"event_id\": {id}, \"ts\": ").into_bytes();
    (0..count).map(|id| Event { id, key: format!("bad-{id}"), record: record(id) }).collect()
}

async fn settled(client: &Client) -> Result<()> {
    until("all rows and dead letters", async || {
        let rows = promises::number(client, "SELECT count(*) FROM clicks").await?;
        let dead = promises::number(client, "SELECT count(*) FROM strata.dead_letters").await?;
        Ok((rows >= EVENTS && dead >= MALFORMED).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_five_times_and_the_server_once() -> Result<()> {
    let mut rng = strata_e2e::random("killed_five_times_and_the_server_once");
    let cluster = Cluster::durable().await?;
    let endpoint = Arc::new(Endpoint::start().await?);
    endpoint.create_stream("clicks", 4).await?;
    cluster.connect().await?.batch_execute(events::TABLE).await?;

    // Half is there before, half comes while everything falls over.
    let mut all = events::events(1..EVENTS + 1, &mut rng);
    rng.shuffle(&mut all);
    let late = all.split_off(all.len() / 2);
    let mut told = endpoint.put("clicks", &all).await?;
    let producer = tokio::spawn({
        let endpoint = Arc::clone(&endpoint);
        async move {
            let mut told = endpoint.put("clicks", &late).await?;
            told.extend(endpoint.put("clicks", &malformed(MALFORMED)).await?.into_iter().map(|mut bad| {
                bad.id = -1;
                bad
            }));
            Ok::<_, anyhow::Error>(told)
        }
    });

    let mut unfinished = 0;
    let mut sidecar = Sidecar::ingest(&cluster, &endpoint, "clicks", &SETTINGS)?;
    let (moments, server) = plan(&mut rng);
    for (i, rows) in moments.into_iter().enumerate() {
        moment(&cluster, rows, &mut rng).await?;
        eprintln!("past {rows} rows: {} goes down", if i == server { "the server" } else { "the sidecar" });
        if i == server {
            cluster.crash_and_restart()?;
            ensure!(sidecar.process.ended()?.is_none(), "the sidecar did not outlive the server's restart");
        } else {
            sidecar.process.kill()?;
            let committed =
                promises::number(&cluster.connect().await?, "SELECT count(*) FROM clicks").await?;
            eprintln!("{committed} rows are committed");
            unfinished += i32::from(committed < EVENTS);
            promises::rollup_is_its_query(&cluster.connect().await?).await?;
            sidecar = Sidecar::ingest(&cluster, &endpoint, "clicks", &SETTINGS)?;
        }
    }
    ensure!(
        unfinished >= 4,
        "the sidecar had finished before it was killed: {unfinished} of 5 struck in time"
    );
    told.extend(producer.await??);
    let client = cluster.connect().await?;
    settled(&client).await?;
    ensure!(sidecar.stop().await? == Some(0), "SIGTERM must end it with 0");

    let (bad, good): (Vec<_>, Vec<_>) = told.iter().cloned().partition(|one| one.id < 0);
    promises::exactly_once(&client, &good).await?;
    promises::rollup_is_its_query(&client).await?;
    promises::verified(&client).await?;
    promises::checkpoints_at_end(&client, &endpoint.arn("clicks").await?, &told).await?;
    let letters = client.query("SELECT shard, sequence_number FROM strata.dead_letters", &[]).await?;
    let mut letters: Vec<(String, String)> = letters.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut expected: Vec<_> = bad.into_iter().map(|one| (one.shard, one.sequence)).collect();
    letters.sort();
    expected.sort();
    ensure!(letters == expected, "dead letters {letters:?}, expected {expected:?}");
    Ok(())
}

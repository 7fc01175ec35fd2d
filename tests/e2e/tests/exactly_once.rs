//! The product's promise: whatever is killed whenever, every acknowledged event is in the table once, and the rollup
//! equals its query all the while.

use anyhow::{Result, ensure};
use fastrand::Rng;
use std::sync::Arc;
use strata_e2e::{Acknowledged, Cluster, Endpoint, Event, Sidecar, events, promises, until};
use tokio_postgres::Client;

const EVENTS: usize = 20_000;
const MALFORMED: usize = 40;
/// The sidecar goes down five times, the server once.
const STRIKES: usize = 6;
/// Small pages and batches, so that many transactions stand between the first row and the last.
const SETTINGS: [&str; 5] = [
    "batch.rows=400",
    "kinesis.page_records=100",
    "kinesis.poll_interval_ms=40",
    "refresh.interval_ms=100",
    "refresh.rows=2000",
];

/// Looks until so many rows are committed, then a random number of times more, then perhaps for a transaction of the
/// sidecar to be open: the moment to strike.
async fn moment(cluster: &Cluster, rows: usize, rng: &mut Rng) -> Result<()> {
    let client = cluster.connect().await?;
    until(&format!("{rows} committed rows"), async || Ok((committed(&client).await? >= rows).then_some(())))
        .await?;
    for _ in 0..rng.u32(..60) {
        promises::number(&client, "SELECT count(*) FROM strata.batches").await?;
    }
    let open = "SELECT count(*) FROM pg_stat_activity
                WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND xact_start IS NOT NULL
                    AND query ~* 'copy|_finish_batch|_advance_checkpoints|commit|refresh_rollup'";
    // It may have nothing left to do: then it is struck idle.
    let mut looks = if rng.bool() { 300 } else { 0 };
    while looks > 0 && promises::number(&client, open).await? == 0 {
        looks -= 1;
    }
    Ok(())
}

async fn committed(client: &Client) -> Result<usize> {
    Ok(usize::try_from(promises::number(client, "SELECT count(*) FROM clicks").await?)?)
}

/// Good events with malformed ones among them, which have the id -1.
fn mixture(rng: &mut Rng) -> Result<Vec<Event>> {
    let mut all = events::events(1..i64::try_from(EVENTS)? + 1, rng);
    let bad =
        |n| Event { id: -1, key: format!("bad-{n}"), record: format!("{{\"event_id\": {n}").into_bytes() };
    all.extend((0..MALFORMED).map(bad));
    rng.shuffle(&mut all);
    Ok(all)
}

/// Puts events while other things happen.
fn produce(
    endpoint: &Arc<Endpoint>,
    events: Vec<Event>,
) -> tokio::task::JoinHandle<Result<Vec<Acknowledged>>> {
    let endpoint = Arc::clone(endpoint);
    tokio::spawn(async move { endpoint.put("clicks", &events).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_five_times_and_the_server_once() -> Result<()> {
    let mut rng = strata_e2e::random("killed_five_times_and_the_server_once");
    let cluster = Cluster::durable().await?;
    let endpoint = Arc::new(Endpoint::start().await?);
    endpoint.create_stream("clicks", 4).await?;
    cluster.connect().await?.batch_execute(events::TABLE).await?;

    // Some is there before, a slice more comes with every strike, the last after the last: it is never struck when
    // all is done.
    let mut left = mixture(&mut rng)?;
    let slice = left.len() / (STRIKES + 3);
    let mut told = endpoint.put("clicks", &left.split_off(left.len() - 2 * slice)).await?;
    let mut sidecar = Sidecar::ingest(&cluster, &endpoint, "clicks", &SETTINGS)?;
    let server = rng.usize(..STRIKES);
    for strike in 0..STRIKES {
        let producer = produce(&endpoint, left.split_off(left.len() - slice));
        let rows = slice * strike + rng.usize(1..2 * slice);
        moment(&cluster, rows, &mut rng).await?;
        eprintln!(
            "past {rows} rows: {} goes down",
            if strike == server { "the server" } else { "the sidecar" }
        );
        if strike == server {
            cluster.crash_and_restart()?;
            ensure!(sidecar.process.ended()?.is_none(), "the sidecar did not outlive the server's restart");
        } else {
            sidecar.process.kill()?;
            let client = cluster.connect().await?;
            eprintln!("{} rows are committed", committed(&client).await?);
            promises::rollup_is_its_query(&client).await?;
            sidecar = Sidecar::ingest(&cluster, &endpoint, "clicks", &SETTINGS)?;
        }
        told.extend(producer.await??);
    }
    told.extend(endpoint.put("clicks", &left).await?);

    let client = cluster.connect().await?;
    until("all rows and dead letters", async || {
        let dead = promises::number(&client, "SELECT count(*) FROM strata.dead_letters").await?;
        Ok((committed(&client).await? >= EVENTS && usize::try_from(dead)? >= MALFORMED).then_some(()))
    })
    .await?;
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

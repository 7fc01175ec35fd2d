//! A database that is slow for a long time: the stream is the buffer, and memory stays what the configuration allows.
//! `STRATA_SLOW_SECONDS` says how long; `make test-long` takes ten minutes.

use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};
use strata_e2e::proxy::Proxy;
use strata_e2e::{Cluster, Endpoint, Event, Sidecar, events, promises, until};

/// Events of the short run, with small batches, and of the long one, with those of the default.
const EVENTS: [i64; 2] = [24_000, 120_000];
/// What a row of them takes on its way, about.
const ROW_BYTES: u64 = 1_200;
/// What docs/ingestor.md says of the defaults.
const MEMORY_MB: u64 = 100;
/// How much more it may have at the end of the slow time than after a third of it.
const FLAT_MB: u64 = 10;

/// An event whose row is as large as its record.
fn large(event: Event) -> Result<Event> {
    let mut value: serde_json::Value = serde_json::from_slice(&event.record)?;
    value["device"] = serde_json::json!({ "pad": "x".repeat(1_100) });
    Ok(Event { record: value.to_string().into_bytes(), ..event })
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_flat_while_the_database_is_slow() -> Result<()> {
    let mut rng = strata_e2e::random("memory_is_flat_while_the_database_is_slow");
    let seconds = std::env::var("STRATA_SLOW_SECONDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let long = seconds > 60;
    let count = EVENTS[usize::from(long)];
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 4).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let all: Vec<Event> =
        events::events(1..count + 1, &mut rng).into_iter().map(large).collect::<Result<_>>()?;
    let told = endpoint.put("clicks", &all).await?;
    let target = cluster.dsn.split('@').nth(1).and_then(|rest| rest.split('/').next());
    let proxy = Proxy::start(target.context("no address")?.to_owned()).await?;
    let through = Cluster::named(&proxy.dsn(&cluster.dsn));
    let began = Instant::now();
    let slow = Duration::from_secs(seconds);
    // Half of what there is would pass in that time: there is always more to read.
    let backlog = u64::try_from(count)? * ROW_BYTES;
    proxy.throttle(backlog / 2 / seconds);
    let settings: &[&str] = if long { &[] } else { &["batch.bytes=2097152"] };
    let sidecar = Sidecar::ingest(&through, &endpoint, "clicks", settings)?;
    let mut early = None;
    let mut samples = 0_u32;
    while began.elapsed() < slow {
        let now = sidecar.process.memory_mb()?;
        ensure!(now <= MEMORY_MB, "{now} MB after {} s", began.elapsed().as_secs());
        if began.elapsed() > slow / 3 {
            early = early.or(Some(sidecar.process.peak_mb()?));
        }
        samples += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (early, peak) = (early.context("no sample")?, sidecar.process.peak_mb()?);
    ensure!(peak <= early + FLAT_MB, "memory grew from {early} to {peak} MB");
    let stored = promises::number(&client, "SELECT count(*) FROM clicks").await?;
    ensure!(stored < count, "the database was not slow: this shows nothing");
    eprintln!(
        "{samples} samples in {seconds} s: {early} MB after a third, {peak} MB at most; {stored} of {count} rows by then"
    );

    proxy.throttle(0);
    until("all rows", async || {
        Ok((promises::number(&client, "SELECT count(*) FROM clicks").await? >= count).then_some(()))
    })
    .await?;
    ensure!(sidecar.process.peak_mb()? <= MEMORY_MB, "{} MB at full speed", sidecar.process.peak_mb()?);
    ensure!(sidecar.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told).await?;
    promises::verified(&client).await
}

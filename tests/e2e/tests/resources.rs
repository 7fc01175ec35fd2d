//! A server that is out of something: room, connections, the right to write, itself. The sidecar stops reading, says
//! why, stays small, and goes on when there is some again.

use anyhow::{Result, ensure};
use strata_e2e::{Acknowledged, Cluster, Endpoint, Sidecar, events, http, promises, until};
use tokio_postgres::Client;

const SETTINGS: [&str; 5] = [
    "http.listen=127.0.0.1:0",
    "batch.rows=200",
    "kinesis.page_records=100",
    "kinesis.poll_interval_ms=10",
    "refresh.interval_ms=500",
];
/// Memory that a pipeline standing still may still take, in MB: buffers of the allocator, of retries, of probes.
const FLAT_MB: u64 = 8;

async fn rows(client: &Client, count: i64) -> Result<()> {
    until(&format!("{count} rows"), async || {
        let rows = promises::number(client, "SELECT count(*) FROM clicks").await?;
        Ok((rows >= count).then_some(()))
    })
    .await
}

/// All retries and all records so far.
async fn progress(address: &str) -> Result<(f64, f64)> {
    let (_, text) = http::get(address, "/metrics").await?;
    let retries = text.lines().filter_map(|line| line.strip_prefix("strata_retries_total{"));
    let retries = retries.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum();
    let records = http::value(&text, "strata_records_total{relation=\"public.clicks\",stream=\"clicks\"}");
    Ok((retries, records))
}

/// Waits until so many more attempts have failed; gives the records read by then.
async fn after_retries(address: &str, more: f64) -> Result<f64> {
    let (before, _) = progress(address).await?;
    until(&format!("{more} more retries"), async || {
        let (retries, records) = progress(address).await?;
        Ok((retries >= before + more).then_some(records))
    })
    .await
}

/// While the database takes nothing: reading has stopped, and memory stays what it is.
async fn stands_still(sidecar: &Sidecar, endpoint: &Endpoint, address: &str, produced: usize) -> Result<()> {
    let mut records = after_retries(address, 1.0).await?;
    loop {
        let now = after_retries(address, 2.0).await?;
        if now <= records {
            break;
        }
        records = now;
    }
    let (calls, memory) = (endpoint.calls("GetRecords").await?, sidecar.process.memory_mb()?);
    after_retries(address, 4.0).await?;
    let (calls_now, memory_now) = (endpoint.calls("GetRecords").await?, sidecar.process.memory_mb()?);
    ensure!(calls == calls_now, "it went on reading: {calls} calls, then {calls_now}");
    ensure!(memory_now <= memory + FLAT_MB, "memory grew from {memory} to {memory_now} MB");
    let (_, read) = progress(address).await?;
    #[allow(clippy::cast_precision_loss)]
    let all = produced as f64;
    ensure!(read < all, "{read} of {all} records were read while nothing was written");
    Ok(())
}

async fn whole(client: &Client, endpoint: &Endpoint, told: &[Acknowledged]) -> Result<()> {
    promises::exactly_once(client, told).await?;
    promises::verified(client).await?;
    promises::rollup_is_its_query(client).await?;
    promises::checkpoints_at_end(client, &endpoint.arn("clicks").await?, told).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_out() -> Result<()> {
    let mut rng = strata_e2e::random("a_full_disk_is_waited_out");
    let (cluster, disk) = Cluster::cramped().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 2).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let mut told = endpoint.put("clicks", &events::events(1..501, &mut rng)).await?;
    let sidecar = Sidecar::ingest(&cluster, &endpoint, "clicks", &SETTINGS)?;
    let address = http::address(&sidecar).await?;
    rows(&client, 500).await?;
    http::ready(&address, 200, "").await?;

    disk.fill()?;
    told.extend(endpoint.put("clicks", &events::events(501..12_001, &mut rng)).await?);
    let said = http::ready(&address, 503, "No space left on device").await?;
    ensure!(said.contains("takes no rows of public.clicks"), "/readyz says {said}");
    stands_still(&sidecar, &endpoint, &address, told.len()).await?;

    disk.free()?;
    rows(&client, 12_000).await?;
    http::ready(&address, 200, "").await?;
    ensure!(sidecar.stop().await? == Some(0), "SIGTERM must end it with 0");
    whole(&client, &endpoint, &told).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_lacks_is_waited_out() -> Result<()> {
    let mut rng = strata_e2e::random("what_the_server_lacks_is_waited_out");
    let cluster = Cluster::durable().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 2).await?;
    let mut client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let role = cluster.role("sidecar").await?;
    client.batch_execute("SELECT strata.grant_ingest('clicks', 'sidecar')").await?;
    let mut told = endpoint.put("clicks", &events::events(1..501, &mut rng)).await?;
    let sidecar = Sidecar::ingest(&role, &endpoint, "clicks", &SETTINGS)?;
    let address = http::address(&sidecar).await?;
    rows(&client, 500).await?;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'sidecar'";
    let mut count = 500;
    for (take, give, reason) in [
        // 53300
        (
            "CONNECTION LIMIT 0",
            "CONNECTION LIMIT -1",
            "does not answer: connecting to the database: too many connections",
        ),
        // 25006: it answers, and cannot be written to.
        (
            "SET default_transaction_read_only = on",
            "RESET default_transaction_read_only",
            "takes no rows of public.clicks: ",
        ),
    ] {
        http::ready(&address, 200, "").await?;
        client.batch_execute(&format!("ALTER ROLE sidecar {take}")).await?;
        promises::number(&client, cut).await?;
        told.extend(endpoint.put("clicks", &events::events(count + 1..count + 6001, &mut rng)).await?);
        http::ready(&address, 503, reason).await?;
        stands_still(&sidecar, &endpoint, &address, told.len()).await?;
        client.batch_execute(&format!("ALTER ROLE sidecar {give}")).await?;
        count += 6000;
        rows(&client, count).await?;
    }
    http::ready(&address, 200, "").await?;
    // 57P01, and a server that is not there for a while.
    cluster.shut_down()?;
    told.extend(endpoint.put("clicks", &events::events(count + 1..count + 6001, &mut rng)).await?);
    http::ready(&address, 503, "the database does not answer").await?;
    stands_still(&sidecar, &endpoint, &address, told.len()).await?;
    cluster.start_again()?;
    client = cluster.connect().await?;
    rows(&client, count + 6000).await?;
    http::ready(&address, 200, "").await?;
    ensure!(sidecar.stop().await? == Some(0), "SIGTERM must end it with 0");
    whole(&client, &endpoint, &told).await
}

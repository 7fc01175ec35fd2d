//! Where a stream that was not read before begins: with what is there, with what comes, or at a time.

use anyhow::{Result, ensure};
use strata_e2e::{Cluster, Endpoint, Sidecar, events, promises, until};
use tokio_postgres::Client;

async fn set_up() -> Result<(Cluster, Endpoint, Client)> {
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 2).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    Ok((cluster, endpoint, client))
}

fn from(start: &str) -> String {
    format!("[[feeds]]\nstream = \"clicks\"\nrelation = \"clicks\"\nstart = \"{start}\"\n")
}

async fn rows(client: &Client, count: i64) -> Result<()> {
    until(&format!("{count} rows"), async || {
        Ok((promises::number(client, "SELECT count(*) FROM clicks").await? >= count).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_is_a_time_that_a_restart_does_not_move() -> Result<()> {
    let mut rng = strata_e2e::random("latest_is_a_time_that_a_restart_does_not_move");
    let (cluster, endpoint, client) = set_up().await?;
    endpoint.put("clicks", &events::events(1..101, &mut rng)).await?;
    // (the endpoint counts arrival in milliseconds)
    endpoint.order(r#"{"advance_ms": 60000}"#).await?;
    let mut first = Sidecar::configured(&cluster, &endpoint, &from("LATEST"))?;
    let claimed =
        "SELECT count(*) FROM strata.shards WHERE initial_position LIKE 'AT:%' AND worker IS NOT NULL";
    until("both shards to be claimed", async || {
        Ok((promises::number(&client, claimed).await? == 2).then_some(()))
    })
    .await?;
    // Killed before a first record: what comes while nobody reads is not passed over by the next LATEST.
    first.process.kill()?;
    let mut told = endpoint.put("clicks", &events::events(101..201, &mut rng)).await?;
    let second = Sidecar::configured(&cluster, &endpoint, &from("LATEST"))?;
    rows(&client, 100).await?;
    told.extend(endpoint.put("clicks", &events::events(201..301, &mut rng)).await?);
    rows(&client, 200).await?;
    ensure!(second.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told).await?;
    promises::verified(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_where_it_begins() -> Result<()> {
    let mut rng = strata_e2e::random("a_time_is_where_it_begins");
    let (cluster, endpoint, client) = set_up().await?;
    endpoint.put("clicks", &events::events(1..101, &mut rng)).await?;
    let between: String = client
        .query_one(
            "SELECT to_char((now() + '30 s') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
            &[],
        )
        .await?
        .try_get(0)?;
    endpoint.order(r#"{"advance_ms": 60000}"#).await?;
    let told = endpoint.put("clicks", &events::events(101..201, &mut rng)).await?;
    let sidecar = Sidecar::configured(&cluster, &endpoint, &from(&between))?;
    rows(&client, 100).await?;
    ensure!(sidecar.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told).await?;
    promises::checkpoints_at_end(&client, &endpoint.arn("clicks").await?, &told).await
}

//! What a sidecar waits out, what stops one of its tables, and a failover to another server.

use anyhow::{Result, ensure};
use strata_e2e::{Cluster, Endpoint, Event, Sidecar, events, promises, until};
use tokio_postgres::Client;

async fn rows(client: &Client, table: &str, count: i64) -> Result<()> {
    let query = format!("SELECT count(*) FROM {table}");
    until(&format!("{count} rows in {table}"), async || {
        Ok((promises::number(client, &query).await? >= count).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_fails_stops_alone() -> Result<()> {
    let mut rng = strata_e2e::random("a_table_that_fails_stops_alone");
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 2).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let other = "CREATE TABLE other (event_id bigint NOT NULL, ts timestamptz NOT NULL);
                 SELECT strata.create_event_table('other', 'ts')";
    client.batch_execute(other).await?;
    let mut told = endpoint.put("clicks", &events::events(1..501, &mut rng)).await?;
    let mut sidecar = Sidecar::configured(
        &cluster,
        &endpoint,
        "[[feeds]]\nstream = \"clicks\"\nrelation = \"other\"\n[[feeds]]\nstream = \"clicks\"\nrelation = \"clicks\"\n",
    )?;
    rows(&client, "clicks", 500).await?;
    rows(&client, "other", 500).await?;
    client.batch_execute("DROP TABLE other").await?;
    told.extend(endpoint.put("clicks", &events::events(501..1001, &mut rng)).await?);
    rows(&client, "clicks", 1000).await?;
    until("the other table to be stopped", async || {
        Ok(sidecar.process.output().contains("the other tables go on").then_some(()))
    })
    .await?;
    told.extend(endpoint.put("clicks", &events::events(1001..1501, &mut rng)).await?);
    rows(&client, "clicks", 1500).await?;
    ensure!(sidecar.process.ended()?.is_none(), "it ended with one of its tables");
    sidecar.process.signal("TERM")?;
    ensure!(sidecar.end().await? == Some(1), "its exit code must say that a table failed");
    promises::exactly_once(&client, &told).await?;
    promises::verified(&client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_nearly_all_bad_is_not_taken_for_done() -> Result<()> {
    let mut rng = strata_e2e::random("a_batch_that_is_nearly_all_bad_is_not_taken_for_done");
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 1).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let renamed = |event: Event| Event {
        record: String::from_utf8_lossy(&event.record).replace("user_id", "userId").into_bytes(),
        ..event
    };
    let bad: Vec<Event> = events::events(1..1501, &mut rng).into_iter().map(renamed).collect();
    let told = endpoint.put("clicks", &bad).await?;
    let settings = ["batch.linger_ms=2000", "retry.first_ms=0"];
    let mut sidecar = Sidecar::ingest(&cluster, &endpoint, "clicks", &settings)?;
    ensure!(sidecar.end().await? == Some(1), "a wrong mapping must end it with 1");
    ensure!(sidecar.process.output().contains("mend the mapping"), "it does not say what is wrong");
    let dead = promises::number(&client, "SELECT count(*) FROM strata.dead_letters").await?;
    ensure!(dead == 0, "{dead} records were taken for done");
    let mended = Sidecar::configured(
        &cluster,
        &endpoint,
        "[[feeds]]\nstream = \"clicks\"\nrelation = \"clicks\"\n[feeds.columns]\nuser_id = \"$.userId\"\n",
    )?;
    rows(&client, "clicks", 1500).await?;
    ensure!(mended.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_loses_and_doubles_nothing() -> Result<()> {
    let mut rng = strata_e2e::random("a_failover_loses_and_doubles_nothing");
    let first = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 3).await?;
    let client = first.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let second = first.standby()?;
    let mut both = Cluster::named(&format!(
        "{},{}?target_session_attrs=read-write",
        first.dsn.trim_end_matches("/events"),
        second.dsn.split('@').nth(1).unwrap_or_default()
    ));
    let mut told = endpoint.put("clicks", &events::events(1..2001, &mut rng)).await?;
    let settings = ["batch.rows=100", "kinesis.page_records=50", "kinesis.poll_interval_ms=20"];
    let sidecar = Sidecar::ingest(&both, &endpoint, "clicks", &settings)?;
    rows(&client, "clicks", 500).await?;
    // What the standby had not received yet is lost with the primary: it is read again from the checkpoint there is.
    first.crash()?;
    second.promote()?;
    let client = second.connect().await?;
    told.extend(endpoint.put("clicks", &events::events(2001..3001, &mut rng)).await?);
    rows(&client, "clicks", 3000).await?;

    // And one that turns read-only under it: it waits, and goes on.
    client.batch_execute("ALTER DATABASE events SET default_transaction_read_only = on").await?;
    let cut =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'strata'";
    promises::number(&client, cut).await?;
    told.extend(endpoint.put("clicks", &events::events(3001..3501, &mut rng)).await?);
    until("it to be refused", async || {
        let output = sidecar.process.output();
        Ok((output.contains("read-only")
            || output.contains("session is not read-write")
            || output.contains("trying again"))
        .then_some(()))
    })
    .await?;
    client.batch_execute("SET default_transaction_read_only = off; ALTER DATABASE events RESET default_transaction_read_only").await?;
    rows(&client, "clicks", 3500).await?;
    ensure!(sidecar.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told).await?;
    promises::verified(&client).await?;
    promises::rollup_is_its_query(&client).await?;
    both.dsn.clear();
    promises::checkpoints_at_end(&client, &endpoint.arn("clicks").await?, &told).await
}

//! Ways to read a stream, and what to do when it keeps less than was to be read.

use anyhow::{Result, ensure};
use strata_e2e::{Cluster, Endpoint, Sidecar, events, promises, until};
use tokio_postgres::Client;

async fn rows(client: &Client, count: i64) -> Result<()> {
    until(&format!("{count} rows"), async || {
        Ok((promises::number(client, "SELECT count(*) FROM clicks").await? >= count).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn enhanced_fan_out_through_reshards_and_faults() -> Result<()> {
    let mut rng = strata_e2e::random("enhanced_fan_out_through_reshards_and_faults");
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 3).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let mut told = endpoint.put("clicks", &events::events(1..1001, &mut rng)).await?;
    for kind in ["throttle", "internal_error", "reset", "cut_body", "cut_body"] {
        let after = rng.u32(..4);
        endpoint
            .fault(&format!(r#"{{"operation": "SubscribeToShard", "kind": "{kind}", "after": {after}}}"#))
            .await?;
    }
    let toml = "[kinesis]\nlist_interval_ms = 300\n[lease]\nduration_ms = 2000\nbalance_interval_ms = 200\n\
                [[feeds]]\nstream = \"clicks\"\nrelation = \"clicks\"\nconsumer = \"strata\"\n";
    let sidecar = Sidecar::configured(&cluster, &endpoint, toml)?;
    rows(&client, 1000).await?;
    let shard = endpoint.shards("clicks").await?.remove(0);
    let split = endpoint.client.split_shard().stream_name("clicks").shard_to_split(shard);
    split.new_starting_hash_key((1_u128 << 125).to_string()).send().await?;
    told.extend(endpoint.put("clicks", &events::events(1001..2001, &mut rng)).await?);
    rows(&client, 2000).await?;
    ensure!(endpoint.calls("GetRecords").await? == 0, "records were polled");
    ensure!(sidecar.stop().await? == Some(0), "SIGTERM must end it with 0");
    // The next process's subscriptions take the place of those of the one before.
    let sidecar = Sidecar::configured(&cluster, &endpoint, toml)?;
    told.extend(endpoint.put("clicks", &events::events(2001..2501, &mut rng)).await?);
    rows(&client, 2500).await?;
    ensure!(sidecar.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told).await?;
    promises::verified(&client).await?;
    promises::checkpoints_at_end(&client, &endpoint.arn("clicks").await?, &told).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_older_than_the_stream_stops_or_is_written_down() -> Result<()> {
    let mut rng = strata_e2e::random("a_checkpoint_older_than_the_stream_stops_or_is_written_down");
    let cluster = Cluster::start().await?;
    let endpoint = Endpoint::start().await?;
    endpoint.create_stream("clicks", 1).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let mut told = endpoint.put("clicks", &events::events(1..101, &mut rng)).await?;
    let first = Sidecar::ingest(&cluster, &endpoint, "clicks", &["lease.duration_ms=1000"])?;
    rows(&client, 100).await?;
    // An idle stream is no gap: the tip was seen after the last record.
    until("the tip to be seen", async || {
        let seen = "SELECT count(*) FROM strata._leases WHERE read_at IS NOT NULL";
        Ok((promises::number(&client, seen).await? == 1).then_some(()))
    })
    .await?;
    ensure!(first.stop().await? == Some(0), "SIGTERM must end it with 0");
    client.batch_execute("UPDATE strata._checkpoints SET arrived_at = now() - interval '3 days'").await?;
    let idle = Sidecar::ingest(&cluster, &endpoint, "clicks", &[])?;
    told.extend(endpoint.put("clicks", &events::events(101..201, &mut rng)).await?);
    rows(&client, 200).await?;
    ensure!(idle.stop().await? == Some(0), "SIGTERM must end it with 0");

    // Away for three days: the stream has lost what came meanwhile.
    let lost = endpoint.put("clicks", &events::events(201..221, &mut rng)).await?;
    let shard = &lost[0].shard;
    endpoint
        .order(&format!(r#"{{"trim": {{"stream": "clicks", "shard": "{shard}", "records": 220}}}}"#))
        .await?;
    client.batch_execute("UPDATE strata._checkpoints SET arrived_at = now() - interval '3 days'; UPDATE strata._leases SET read_at = NULL").await?;
    told.extend(endpoint.put("clicks", &events::events(301..401, &mut rng)).await?);
    let mut stopped = Sidecar::ingest(&cluster, &endpoint, "clicks", &["retry.first_ms=0"])?;
    ensure!(stopped.end().await? == Some(1), "a gap must stop the table");
    ensure!(stopped.process.output().contains("on_gap"), "it does not say what to do");
    ensure!(
        promises::number(&client, "SELECT count(*) FROM clicks").await? == 200,
        "it went on over the gap"
    );
    let skipping = Sidecar::ingest(&cluster, &endpoint, "clicks", &["kinesis.on_gap=skip"])?;
    rows(&client, 300).await?;
    ensure!(skipping.stop().await? == Some(0), "SIGTERM must end it with 0");
    let gap = "SELECT count(*) FROM strata.ingest_gaps WHERE after_sequence IS NOT NULL AND lower_time < upper_time";
    ensure!(promises::number(&client, gap).await? == 1, "the gap is not written down");
    promises::exactly_once(&client, &told).await?;
    promises::verified(&client).await
}

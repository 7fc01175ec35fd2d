//! Several workers on one stream: shards shared out, handed over in order, taken over from the dead, each record once.

use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use strata_e2e::{Cluster, Endpoint, Sidecar, events, promises, until};
use tokio_postgres::Client;

const SETTINGS: [&str; 5] = [
    "lease.duration_ms=2000",
    "lease.balance_interval_ms=300",
    "kinesis.poll_interval_ms=20",
    "batch.linger_ms=50",
    "log.level=debug",
];

fn worker(cluster: &Cluster, endpoint: &Endpoint, name: &str) -> Result<Sidecar> {
    Sidecar::ingest(cluster, endpoint, "clicks", &[&SETTINGS[..], &[&format!("worker={name}")]].concat())
}

/// How many shards each worker holds now.
async fn held(client: &Client) -> Result<BTreeMap<String, i64>> {
    let query = "SELECT worker, count(*) FROM strata.shards WHERE expires_at > clock_timestamp() AND NOT ended GROUP BY 1";
    Ok(client.query(query, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn even(client: &Client, workers: &[&str], shards: i64) -> Result<()> {
    let count = i64::try_from(workers.len())?;
    until(&format!("{shards} shards to be even on {workers:?}"), async || {
        let held = held(client).await?;
        let fair = held.values().all(|n| *n == shards / count || *n == (shards + count - 1) / count);
        let right = held.keys().map(String::as_str).eq(workers.iter().copied());
        Ok((fair && right && held.values().sum::<i64>() == shards).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_shards_and_hand_them_over() -> Result<()> {
    let mut rng = strata_e2e::random("workers_share_shards_and_hand_them_over");
    let cluster = Cluster::start().await?;
    let endpoint = Arc::new(Endpoint::start().await?);
    endpoint.create_stream("clicks", 8).await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let producer = {
        let (endpoint, events) = (Arc::clone(&endpoint), events::events(1..12_001, &mut rng));
        tokio::spawn(async move {
            let mut told = Vec::new();
            for slice in events.chunks(200) {
                told.extend(endpoint.put("clicks", slice).await?);
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            anyhow::Ok(told)
        })
    };
    let first = worker(&cluster, &endpoint, "a")?;
    even(&client, &["a"], 8).await?;
    let second = worker(&cluster, &endpoint, "b")?;
    let began = Instant::now();
    even(&client, &["a", "b"], 8).await?;
    eprintln!("balanced {} ms after a join", began.elapsed().as_millis());
    let mut third = worker(&cluster, &endpoint, "c")?;
    even(&client, &["a", "b", "c"], 8).await?;
    let began = Instant::now();
    ensure!(second.stop().await? == Some(0), "SIGTERM must end it with 0");
    even(&client, &["a", "c"], 8).await?;
    eprintln!("balanced {} ms after a leave", began.elapsed().as_millis());
    // Until here everybody went in order: nothing that was read was dropped at a fence.
    ensure!(!first.process.output().contains("dropped records"), "a hand-over dropped what was read");
    third.process.kill()?;
    let began = Instant::now();
    even(&client, &["a"], 8).await?;
    ensure!(began.elapsed() > Duration::from_millis(500), "a live lease was taken");

    let told = producer.await??;
    until("all rows", async || {
        Ok((promises::number(&client, "SELECT count(*) FROM clicks").await? >= 12_000).then_some(()))
    })
    .await?;
    ensure!(first.stop().await? == Some(0), "SIGTERM must end it with 0");
    promises::exactly_once(&client, &told).await?;
    promises::verified(&client).await?;
    promises::rollup_is_its_query(&client).await?;
    promises::checkpoints_at_end(&client, &endpoint.arn("clicks").await?, &told).await
}

/// What a worker asks of the database at each look, without the rest of it.
async fn look(
    client: &Client,
    name: &str,
    shards: &[String],
    held: &mut Vec<String>,
    slowest: &AtomicUsize,
) -> Result<usize> {
    let positions = vec!["TRIM_HORIZON"; shards.len()];
    let began = Instant::now();
    let share =
        "SELECT shard, quota FROM strata._share_shards('clicks', 'arn:many', $1, 10000, $2, $3, $4, false)";
    let rows = client.query(share, &[&name, &shards, &positions, &*held]).await?;
    slowest.fetch_max(usize::try_from(began.elapsed().as_millis())?, Ordering::Relaxed);
    let mut quota = 0;
    for row in rows {
        quota = row.get::<_, i32>(1);
        held.extend(row.get::<_, Option<String>>(0));
    }
    let too_many = held.split_off(held.len().min(usize::try_from(quota)?));
    client
        .execute("SELECT strata._release_shards('clicks', $1, 'arn:many', $2)", &[&name, &too_many])
        .await?;
    let moved = "SELECT count(*) FROM strata._renew_leases($1, 10000, array_fill('clicks'::regclass, ARRAY[$2::int]),
                     array_fill('arn:many'::text, ARRAY[$2::int]), $3, ARRAY(SELECT k.epoch FROM unnest($3::text[]) WITH ORDINALITY AS u (shard, n)
                     JOIN strata.shards k USING (shard) WHERE k.stream = 'arn:many' ORDER BY n))";
    let lost: i64 = client.query_one(moved, &[&name, &i32::try_from(held.len())?, &*held]).await?.get(0);
    ensure!(lost == 0, "{name} lost {lost} leases that it had");
    Ok(held.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_shards_on_ten_workers() -> Result<()> {
    let cluster = Cluster::start().await?;
    let client = cluster.connect().await?;
    client.batch_execute(events::TABLE).await?;
    let shards: Arc<Vec<String>> = Arc::new((0..1000).map(|n| format!("shardId-{n:012}")).collect());
    let even = Arc::new(AtomicUsize::new(0));
    let slowest = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let workers: Vec<_> = (0..10)
        .map(|n| {
            let (shards, even, slowest) = (Arc::clone(&shards), Arc::clone(&even), Arc::clone(&slowest));
            let connecting = cluster.dsn.clone();
            tokio::spawn(async move {
                let (client, connection) =
                    tokio_postgres::connect(&connecting, tokio_postgres::NoTls).await?;
                tokio::spawn(connection);
                let (name, mut held, mut fair) = (format!("worker-{n}"), Vec::new(), false);
                for _ in 0..200 {
                    let now = look(&client, &name, &shards, &mut held, &slowest).await? == 100;
                    if now != fair {
                        fair = now;
                        if now {
                            even.fetch_add(1, Ordering::Relaxed)
                        } else {
                            even.fetch_sub(1, Ordering::Relaxed)
                        };
                    }
                    if even.load(Ordering::Relaxed) == 10 {
                        return Ok(());
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                anyhow::bail!("{name} holds {} shards after 200 looks", held.len())
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    eprintln!(
        "1,000 shards even on 10 workers after {} ms, slowest look {} ms",
        began.elapsed().as_millis(),
        slowest.load(Ordering::Relaxed)
    );
    let held = held(&client).await?;
    ensure!(held.len() == 10 && held.values().all(|n| *n == 100), "{held:?}");
    Ok(())
}

//! The proof of exactly once: three workers on eight shards that split and merge, while workers are killed, stopped and
//! frozen past their leases, the server is crashed, the network to it cut, stalled and delayed, and Kinesis throttles,
//! expires and breaks off. Each round has a seed; `STRATA_TEST_SEED` with `STRATA_CHAOS_ROUNDS=1` repeats one.

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use strata_e2e::proxy::Proxy;
use strata_e2e::{Acknowledged, Cluster, Endpoint, Event, Sidecar, events, promises, until};
use tokio_postgres::Client;

const EVENTS: i64 = 4_000;
const SLICE: usize = 200;
const SETTINGS: [&str; 13] = [
    "lease.duration_ms=1500",
    "lease.balance_interval_ms=200",
    "kinesis.poll_interval_ms=20",
    "kinesis.idle_interval_ms=40",
    "kinesis.page_records=60",
    "kinesis.fetches=4",
    "kinesis.list_interval_ms=400",
    "batch.rows=250",
    "batch.linger_ms=30",
    "refresh.interval_ms=300",
    "postgres.connect_timeout_ms=2000",
    "postgres.idle_in_transaction_timeout_ms=2000",
    "shutdown.timeout_ms=30000",
];

/// What befalls the round, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    Kill,
    Freeze,
    Term,
    Crash,
    Cut,
    Stall,
    Delay,
    Split,
    Merge,
}

struct Round {
    cluster: Arc<Cluster>,
    through: Cluster,
    proxy: Proxy,
    endpoint: Arc<Endpoint>,
    stream: String,
    workers: Vec<Sidecar>,
    started: usize,
    rng: Rng,
}

impl Round {
    fn start_worker(&mut self) -> Result<Sidecar> {
        self.started += 1;
        let name = format!("worker=w{}", self.started);
        let settings = [&SETTINGS[..], &[&name]].concat();
        Sidecar::ingest(&self.through, &self.endpoint, &self.stream, &settings)
    }

    async fn strike(&mut self, strike: Strike) -> Result<()> {
        let at = self.rng.usize(..self.workers.len());
        match strike {
            Strike::Kill => {
                self.workers[at].process.kill()?;
                self.workers[at] = self.start_worker()?;
            }
            Strike::Freeze => {
                self.workers[at].pause()?;
                tokio::time::sleep(Duration::from_millis(1500 + self.rng.u64(..1500))).await;
                self.workers[at].resume()?;
            }
            Strike::Term => {
                // One that has not begun to listen to signals is ended by the system.
                let worker = &self.workers[at];
                until("a worker to be up", async || Ok((!worker.process.output().is_empty()).then_some(())))
                    .await?;
                let next = self.start_worker()?;
                let old = std::mem::replace(&mut self.workers[at], next);
                ensure!(old.stop().await? == Some(0), "SIGTERM must end a worker with 0");
            }
            Strike::Crash => {
                let cluster = Arc::clone(&self.cluster);
                tokio::task::spawn_blocking(move || cluster.crash_and_restart()).await??;
            }
            Strike::Cut => self.proxy.cut(Duration::from_millis(self.rng.u64(50..500))).await,
            Strike::Stall => self.proxy.stall(Duration::from_millis(self.rng.u64(300..2000))).await,
            Strike::Delay => {
                let by = Duration::from_millis(self.rng.u64(2..15));
                self.proxy.delay(by, Duration::from_millis(800)).await;
            }
            Strike::Split | Strike::Merge => self.reshard(strike == Strike::Split).await?,
        }
        Ok(())
    }

    /// Splits a random open shard, or merges two that lie side by side.
    async fn reshard(&mut self, split: bool) -> Result<()> {
        let client = &self.endpoint.client;
        let list = client.list_shards().stream_name(&self.stream).send().await?;
        let mut open: Vec<(u128, u128, String)> = Vec::new();
        for shard in list.shards() {
            let closed = shard.sequence_number_range().is_some_and(|r| r.ending_sequence_number().is_some());
            let range = shard.hash_key_range().context("no range")?;
            if !closed {
                let (low, high) = (range.starting_hash_key().parse()?, range.ending_hash_key().parse()?);
                open.push((low, high, shard.shard_id().to_owned()));
            }
        }
        open.sort();
        if split {
            let (low, high, shard) = &open[self.rng.usize(..open.len())];
            let middle = (low + (high - low) / 2 + 1).to_string();
            client
                .split_shard()
                .stream_name(&self.stream)
                .shard_to_split(shard)
                .new_starting_hash_key(middle)
                .send()
                .await?;
        } else {
            let at = self.rng.usize(..open.len() - 1);
            let (first, second) = (&open[at].2, &open[at + 1].2);
            client
                .merge_shards()
                .stream_name(&self.stream)
                .shard_to_merge(first)
                .adjacent_shard_to_merge(second)
                .send()
                .await?;
        }
        Ok(())
    }

    async fn faults(&mut self) -> Result<()> {
        for kind in
            ["throttle", "expire", "internal_error", "empty", "duplicate", "reset", "reset_after", "cut_body"]
        {
            for _ in 0..2 {
                let (after, stream) = (self.rng.u32(..150), &self.stream);
                let rule = format!(
                    r#"{{"operation": "GetRecords", "stream": "{stream}", "kind": "{kind}", "after": {after}}}"#
                );
                self.endpoint.fault(&rule).await?;
            }
        }
        Ok(())
    }
}

/// Events by the same key are committed in the order of the stream: no later one in an earlier batch.
async fn in_order(client: &Client, events: &[Event], told: &[Acknowledged]) -> Result<()> {
    let rows = client.query("SELECT event_id, batch_id FROM clicks", &[]).await?;
    let batches: HashMap<i64, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let keys: HashMap<i64, &str> = events.iter().map(|event| (event.id, event.key.as_str())).collect();
    let mut by_key: BTreeMap<&str, Vec<(usize, &str, i64)>> = BTreeMap::new();
    for one in told {
        let key = keys.get(&one.id).context("an event nobody made")?;
        by_key.entry(key).or_default().push((one.sequence.len(), &one.sequence, one.id));
    }
    for (key, mut places) in by_key {
        places.sort_unstable();
        let order: Vec<i64> = places.iter().filter_map(|(.., id)| batches.get(id).copied()).collect();
        ensure!(order.is_sorted(), "events of {key} are in batches {order:?}");
    }
    Ok(())
}

fn produce(
    endpoint: &Arc<Endpoint>,
    stream: &str,
    events: Vec<Event>,
) -> tokio::task::JoinHandle<Result<Vec<Acknowledged>>> {
    let (endpoint, stream) = (Arc::clone(endpoint), stream.to_owned());
    tokio::spawn(async move {
        let mut told = Vec::new();
        for slice in events.chunks(SLICE) {
            told.extend(endpoint.put(&stream, slice).await?);
            tokio::time::sleep(Duration::from_millis(120)).await;
        }
        Ok(told)
    })
}

async fn round(cluster: &Arc<Cluster>, endpoint: &Arc<Endpoint>, number: u64, seed: u64) -> Result<()> {
    let began = Instant::now();
    let client = cluster.connect().await?;
    client.batch_execute("DROP TABLE IF EXISTS clicks CASCADE").await?;
    client.batch_execute(events::TABLE).await?;
    let target =
        cluster.dsn.split('@').nth(1).and_then(|rest| rest.split('/').next()).context("no address")?;
    let proxy = Proxy::start(target.to_owned()).await?;
    let mut round = Round {
        cluster: Arc::clone(cluster),
        through: Cluster::named(&proxy.dsn(&cluster.dsn)),
        proxy,
        endpoint: Arc::clone(endpoint),
        stream: format!("clicks-{number}-{seed}"),
        workers: Vec::new(),
        started: 0,
        rng: Rng::with_seed(seed),
    };
    endpoint.create_stream(&round.stream, 8).await?;
    let mut all = events::events(1..EVENTS + 1, &mut round.rng);
    let last = all.split_off(all.len() - SLICE);
    round.faults().await?;
    for _ in 0..3 {
        let worker = round.start_worker()?;
        round.workers.push(worker);
    }
    let producer = produce(endpoint, &round.stream, all.clone());
    let mut strikes = vec![Strike::Split, Strike::Merge, Strike::Kill, Strike::Freeze, Strike::Crash];
    let others = [Strike::Cut, Strike::Stall, Strike::Delay, Strike::Term, Strike::Kill, Strike::Split];
    strikes.extend((0..2).map(|_| others[round.rng.usize(..others.len())]));
    round.rng.shuffle(&mut strikes);
    for strike in &strikes {
        round.strike(*strike).await.with_context(|| format!("{strike:?}"))?;
        tokio::time::sleep(Duration::from_millis(round.rng.u64(..150))).await;
    }
    let mut told = producer.await??;
    told.extend(endpoint.put(&round.stream, &last).await?);
    all.extend(last);
    let client = cluster.connect().await?;
    until("all rows", async || {
        Ok((promises::number(&client, "SELECT count(*) FROM clicks").await? >= EVENTS).then_some(()))
    })
    .await?;
    for worker in std::mem::take(&mut round.workers) {
        ensure!(worker.stop().await? == Some(0), "SIGTERM must end a worker with 0");
    }
    promises::exactly_once(&client, &told).await?;
    in_order(&client, &all, &told).await?;
    promises::verified(&client).await?;
    promises::rollup_is_its_query(&client).await?;
    promises::checkpoints_at_end(&client, &endpoint.arn(&round.stream).await?, &told).await?;
    eprintln!("round {number}, seed {seed}: {strikes:?} in {} ms", began.elapsed().as_millis());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_once_and_in_order() -> Result<()> {
    let mut rng = strata_e2e::random("every_event_once_and_in_order");
    let rounds = std::env::var("STRATA_CHAOS_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let cluster = Arc::new(Cluster::start().await?);
    let endpoint = Arc::new(Endpoint::start().await?);
    // The first seed is the one given, so that one round can be repeated.
    let mut seed = std::env::var("STRATA_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| rng.u64(..));
    for number in 0..rounds {
        round(&cluster, &endpoint, number, seed).await.with_context(|| {
            format!("round {number}: repeat it with STRATA_CHAOS_ROUNDS=1 STRATA_TEST_SEED={seed}")
        })?;
        seed = rng.u64(..);
    }
    Ok(())
}

//! `strata produce`: a load generator. Puts a clickstream into a stream, tries failed entries again one by one, and
//! notes what was acknowledged. Never: the database.

mod clickstream;
mod packing;

use crate::cli::Produce;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::kinesis::{Kinesis, PUT_RECORDS_MAX};
use crate::print;
use crate::stop::Backoff;
use crate::stream::Stream;
use clickstream::Clickstream;
use packing::{Entry, Packer};
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

/// Bytes of one call at most; Kinesis takes 10 MiB, small ones keep memory and latency down.
const CALL_BYTES_MAX: usize = 1024 * 1024;

/// What was done.
#[derive(Debug, Default)]
struct Totals {
    acknowledged: AtomicU64,
    malformed: AtomicU64,
    late: AtomicU64,
    bytes: AtomicU64,
    retried: AtomicU64,
}

struct Putter {
    kinesis: Kinesis,
    stream: Stream,
    totals: Totals,
    acked: Option<Mutex<BufWriter<File>>>,
}

/// Puts `count` records and prints totals.
pub async fn produce(config: &Config, options: Produce) -> Result<()> {
    let mut clickstream = Clickstream::new(&options)?;
    let mut packer = Packer::new(options.aggregate, &options.compression)?;
    if options.dry_run {
        return (0..options.count).try_for_each(|_| {
            let mut data = clickstream.next().data;
            data.push(b'\n');
            std::io::stdout().lock().write_all(&data).map_err(|e| Error::end(format!("cannot write: {e}")))
        });
    }
    let name = config.feeds.first().map(|f| f.stream.as_str()).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Error::usage("no stream is configured: give --stream"))?;
    let kinesis = Kinesis::new(&config.kinesis).await?;
    let stream = kinesis.describe(name).await?;
    let acked = options.acked.as_deref().map(create).transpose()?;
    let putter = Arc::new(Putter { kinesis, stream, totals: Totals::default(), acked });

    let (calls, waiting) = mpsc::channel::<Vec<Entry>>(options.connections.max(1));
    let waiting = Arc::new(Mutex::new(waiting));
    let mut connections: JoinSet<Result<()>> = JoinSet::new();
    for _ in 0..options.connections.max(1) {
        let (putter, waiting) = (Arc::clone(&putter), Arc::clone(&waiting));
        connections.spawn(async move {
            loop {
                let call = waiting.lock().await.recv().await;
                let Some(entries) = call else { return Ok(()) };
                putter.put(entries).await?;
            }
        });
    }
    drop(waiting);
    let started = Instant::now();
    generate(&mut clickstream, &mut packer, &options, &calls).await?;
    drop(calls);
    while let Some(ended) = connections.join_next().await {
        ended.map_err(|e| Error::end(format!("a connection broke off: {e}")))??;
    }
    report(&putter.totals, started.elapsed())
}

fn create(path: &Path) -> Result<Mutex<BufWriter<File>>> {
    let file =
        File::create(path).map_err(|e| Error::usage(format!("{} cannot be written: {e}", path.display())))?;
    Ok(Mutex::new(BufWriter::new(file)))
}

/// Makes events at the wanted rate and sends them in calls; ends early when nobody takes them any more.
async fn generate(
    clickstream: &mut Clickstream,
    packer: &mut Packer,
    options: &Produce,
    calls: &mpsc::Sender<Vec<Entry>>,
) -> Result<()> {
    // At low rates a call goes out ten times a second, however few it holds.
    let per_call = match options.rate {
        0 => PUT_RECORDS_MAX,
        rate => usize::try_from(rate / 10).unwrap_or(PUT_RECORDS_MAX).clamp(1, PUT_RECORDS_MAX),
    };
    let started = Instant::now();
    let (mut call, mut bytes) = (Vec::with_capacity(per_call), 0);
    for made in 1..=options.count {
        if let Some(entry) = packer.add(clickstream.next(), made == options.count)? {
            bytes += entry.data.len();
            call.push(entry);
        }
        if call.len() < per_call && bytes < CALL_BYTES_MAX && made < options.count {
            continue;
        }
        if calls.send(std::mem::take(&mut call)).await.is_err() {
            return Ok(());
        }
        bytes = 0;
        if let Some(micros) = made.saturating_mul(1_000_000).checked_div(options.rate) {
            tokio::time::sleep_until((started + Duration::from_micros(micros)).into()).await;
        }
    }
    Ok(())
}

impl Putter {
    /// Puts records until every one is acknowledged.
    async fn put(&self, mut left: Vec<Entry>) -> Result<()> {
        let mut backoff = Backoff::default();
        while !left.is_empty() {
            let entries: Vec<(String, Vec<u8>)> =
                left.iter_mut().map(|e| (e.partition_key.clone(), std::mem::take(&mut e.data))).collect();
            let results = self.kinesis.put(&self.stream, &entries).await;
            for (entry, (_, data)) in left.iter_mut().zip(entries) {
                entry.data = data;
            }
            match results {
                Ok(results) => {
                    let failed: Vec<bool> = results.iter().map(Option::is_some).collect();
                    self.note(left.iter().zip(&failed).filter(|(_, failed)| !**failed).map(|(e, _)| e))
                        .await?;
                    let mut failed = failed.into_iter();
                    left.retain(|_| failed.next().unwrap_or(true));
                    if left.is_empty() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind == Kind::Retry => tracing::debug!(error = %error, "putting failed"),
                Err(error) => return Err(error),
            }
            self.totals.retried.fetch_add(left.len() as u64, Relaxed);
            tokio::time::sleep(backoff.next()).await;
        }
        Ok(())
    }

    async fn note(&self, acknowledged: impl Iterator<Item = &Entry>) -> Result<()> {
        let mut lines = String::new();
        let mut bytes = 0;
        let acknowledged = acknowledged.inspect(|entry| bytes += entry.data.len() as u64);
        for event in acknowledged.flat_map(|entry| &entry.events) {
            self.totals.acknowledged.fetch_add(1, Relaxed);
            self.totals.malformed.fetch_add(u64::from(event.id.is_none()), Relaxed);
            self.totals.late.fetch_add(u64::from(event.late), Relaxed);
            if let Some(id) = &event.id {
                lines.push_str(id);
                lines.push('\n');
            }
        }
        self.totals.bytes.fetch_add(bytes, Relaxed);
        if let Some(file) = &self.acked {
            let mut file = file.lock().await;
            file.write_all(lines.as_bytes())
                .and_then(|()| file.flush())
                .map_err(|e| Error::end(format!("acknowledged ids cannot be written: {e}")))?;
        }
        Ok(())
    }
}

fn report(totals: &Totals, elapsed: Duration) -> Result<()> {
    let acknowledged = totals.acknowledged.load(Relaxed);
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let report = json!({
        "acknowledged": acknowledged,
        "malformed": totals.malformed.load(Relaxed),
        "late": totals.late.load(Relaxed),
        "bytes": totals.bytes.load(Relaxed),
        "retried": totals.retried.load(Relaxed),
        "ms": millis,
        "records_per_second": acknowledged.saturating_mul(1000) / millis,
    });
    print(&format!("{report}\n"))
}

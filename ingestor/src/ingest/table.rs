//! One table: its readers, batcher, writer and upkeep started, watched and brought to their end. A failure here stops
//! this table and no other. Never: what concerns the whole process.

use super::setup::TableSetup;
use super::{Context, batcher, shards, upkeep, writer};
use crate::batch::Chunk;
use crate::error::{Error, Kind, Result};
use crate::stop::{Stop, Stopper};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// What the parts of one table share.
pub(crate) struct Table {
    pub(crate) plan: Arc<crate::decode::plan::TablePlan>,
    /// Rows committed since the rollups were refreshed.
    pub(crate) unrefreshed: AtomicU64,
    /// Enough rows for a refresh.
    pub(crate) refresh_due: Notify,
    /// Counts shards whose end is committed.
    pub(crate) shard_ended: watch::Sender<u64>,
    /// The end of this table, or of the process.
    pub(crate) stop: Stop,
}

/// The way to one of a table's writers. A shard keeps to one lane, so that its records are written in their order.
#[derive(Clone)]
pub(crate) struct Lane {
    /// Where decoded pages go.
    pub(crate) chunks: mpsc::Sender<Chunk>,
    /// Bounds the pages in memory.
    pub(crate) room: Arc<Semaphore>,
    /// Held once by each shard that goes this way.
    load: Arc<()>,
}

impl Lane {
    /// The one with the fewest shards.
    pub(crate) fn choose(lanes: &[Self]) -> Option<Self> {
        lanes.iter().min_by_key(|lane| Arc::strong_count(&lane.load)).cloned()
    }
}

/// Carries into one table until stopped, or until caught up.
///
/// It ends with [`Kind::Replan`] when `changed` does.
pub(crate) async fn run(
    context: Arc<Context>,
    setup: TableSetup,
    changed: impl Future<Output = ()>,
) -> Result<()> {
    let (stopper, stop) = context.stop.part();
    let table = Arc::new(Table {
        plan: Arc::clone(&setup.plan),
        unrefreshed: 0.into(),
        refresh_due: Notify::new(),
        shard_ended: watch::Sender::new(0),
        stop,
    });
    let mut carriers: JoinSet<Result<()>> = JoinSet::new();
    let mut helpers: JoinSet<Result<()>> = JoinSet::new();
    // Changes by key come in the order of commits; writers side by side could only get in each other's way.
    let writers = if table.plan.is_keyed() { 1 } else { context.config.batch.writers };
    let mut lanes = Vec::new();
    for _ in 0..writers {
        let (chunks, received) = mpsc::channel(1);
        let (batches, to_write) = mpsc::channel(1);
        context.metrics.watch(&table.plan.relation, "chunks", &chunks);
        context.metrics.watch(&table.plan.relation, "batches", &batches);
        carriers.spawn(batcher::run(Arc::clone(&context), Arc::clone(&table), received, batches));
        carriers.spawn(writer::run(Arc::clone(&context), Arc::clone(&table), to_write));
        let room = Arc::new(Semaphore::new(context.config.kinesis.fetches));
        lanes.push(Lane { chunks, room, load: Arc::default() });
    }
    let lanes: Arc<[Lane]> = lanes.into();
    for feed in setup.feeds {
        carriers.spawn(shards::run(Arc::clone(&context), Arc::clone(&table), feed, Arc::clone(&lanes)));
    }
    drop(lanes);
    helpers.spawn(upkeep::refresh(Arc::clone(&context), Arc::clone(&table)));
    if context.options.maintain && !table.plan.is_keyed() {
        helpers.spawn(upkeep::maintain(Arc::clone(&context), Arc::clone(&table)));
    }
    let outcome = watch_over(&context, &stopper, &mut carriers, &mut helpers, changed).await;
    carriers.shutdown().await;
    helpers.shutdown().await;
    let failed = outcome.as_ref().is_err_and(|error| error.kind != Kind::Replan);
    context.metrics.unblocked(&table.plan.relation, None);
    finish(&context, &table, failed).await;
    outcome
}

/// Waits until all that carries has ended. The first failure stops the rest, which still drains; draining is bounded
/// here after a failure, and by the process when that is what ends.
async fn watch_over(
    context: &Context,
    stopper: &Stopper,
    carriers: &mut JoinSet<Result<()>>,
    helpers: &mut JoinSet<Result<()>>,
    changed: impl Future<Output = ()>,
) -> Result<()> {
    tokio::pin!(changed);
    let mut failed: Option<(Error, tokio::time::Instant)> = None;
    let timeout = Duration::from_millis(context.config.shutdown.timeout_ms);
    loop {
        let deadline = failed.as_ref().map(|(_, deadline)| *deadline);
        let ended = tokio::select! {
            ended = carriers.join_next() => match ended {
                None => return failed.map_or(Ok(()), |(error, _)| Err(error)),
                Some(ended) => ended,
            },
            Some(ended) = helpers.join_next() => ended,
            () = &mut changed, if failed.is_none() => {
                Ok(Err(Error::new(Kind::Replan, "the configuration of its feeds has changed")))
            }
            () = async { tokio::time::sleep_until(deadline.unwrap_or_else(tokio::time::Instant::now)).await }, if deadline.is_some() => {
                return failed.map_or(Ok(()), |(error, _)| Err(error));
            }
        };
        let ended =
            ended.unwrap_or_else(|e| Err(Error::end(format!("a part of the pipeline broke off: {e}"))));
        if let Err(error) = ended
            && failed.is_none()
        {
            failed = Some((error, tokio::time::Instant::now() + timeout));
            stopper.stop();
        }
    }
}

/// Rollups a last time; the leases of a table that failed given back, for another worker to try. Failures here lose
/// nothing.
async fn finish(context: &Context, table: &Arc<Table>, failed: bool) {
    let timeout = Duration::from_millis(context.config.shutdown.timeout_ms);
    let work = async {
        if table.unrefreshed.load(Relaxed) > 0 && context.config.refresh.interval_ms > 0 {
            upkeep::refresh_once(context, table, &context.control).await;
        }
        if failed && !context.stop.is_stopped() {
            let session = context.control.session().await?;
            session.release_leases(&context.worker, Some(&table.plan.relation)).await?;
        }
        Ok::<(), Error>(())
    };
    match tokio::time::timeout(timeout, work).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = %error, relation = table.plan.relation, "leases were not released and will expire");
        }
        Err(_) => tracing::warn!(relation = table.plan.relation, "leases were not released and will expire"),
    }
}

//! Collects chunks into batches and has their partitions made, while the writer is busy with the batch before.
//! Never: rows, the data transaction.

use super::aside::aside;
use super::link::Link;
use super::{Context, Table};
use crate::batch::{Batch, Chunk};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::traces::{TARGET, count};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span, trace_span};

/// A batch on its way to the writer. The permit says that the writer is busy, until it is dropped.
pub struct Job {
    /// What to write.
    pub batch: Batch,
    /// Where its rows go.
    pub layout: Layout,
    /// Held while it is written.
    pub permit: OwnedSemaphorePermit,
    /// Its way from the first page to the commit.
    pub trace: Span,
}

/// Runs until all readers have ended.
pub async fn run(
    context: Arc<Context>,
    table: Arc<Table>,
    mut chunks: mpsc::Receiver<Chunk>,
    jobs: mpsc::Sender<Job>,
) -> Result<()> {
    let partitions = Link::new(context.database.clone());
    let writer_idle = Arc::new(Semaphore::new(1));
    let linger = Duration::from_millis(context.config.batch.linger_ms);
    while let Some(first) = chunks.recv().await {
        let mut batch = Batch::default();
        batch.push(first);
        let permit = collect(&context, &mut batch, &mut chunks, &writer_idle, Instant::now() + linger).await;
        check_share(&context, &table, &batch)?;
        let range = batch.range();
        let relation = table.plan.relation.as_str();
        let trace = trace(relation, &batch);
        let prepare = || async { partitions.session().await?.prepare_batch(relation, range).await };
        let span = trace_span!(target: TARGET, parent: &trace, "prepare");
        let layout = table.insist(&context, "preparing the batch", prepare).instrument(span).await?;
        // Stopped while the database is away: what was read is read again at the next start.
        let Some(layout) = layout else { return Ok(()) };
        let plan = Arc::clone(&table.plan);
        let (batch, layout) = aside(move || {
            batch.arrange(&layout, &plan);
            (batch, layout)
        })
        .await?;
        let permit = match permit {
            Some(permit) => permit,
            None => match Arc::clone(&writer_idle).acquire_owned().await {
                Ok(permit) => permit,
                Err(_) => return Ok(()),
            },
        };
        if jobs.send(Job { batch, layout, permit, trace }).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// The span of a batch, which comes of the pages it holds.
fn trace(relation: &str, batch: &Batch) -> Span {
    let (rows, pages) = (count(batch.rows()), count(batch.chunks.len()));
    let span = trace_span!(target: TARGET, parent: None, "batch", relation, rows, pages, batch_id = Empty);
    for chunk in &batch.chunks {
        span.follows_from(&chunk.trace);
    }
    span
}

/// A batch of which nearly every event is no row stops the table, before its records are taken for done.
fn check_share(context: &Context, table: &Table, batch: &Batch) -> Result<()> {
    let bounds = &context.config.batch;
    let (refused, events) = batch.refused_share();
    if events < bounds.bad_events_min || refused * 100 < events * usize::from(bounds.bad_percent_max) {
        return Ok(());
    }
    let last = batch.rejected().last().map(|r| r.reject.reason).unwrap_or_default();
    Err(Error::end(format!(
        "{refused} of {events} events of a batch for {} are no rows, the last one because: {last}; nothing of it was \
         written, the records are still in the stream; mend the mapping, or raise batch.bad_percent_max",
        table.plan.relation
    )))
}

/// Fills a batch up to its bounds, or until it has lingered and the writer has nothing to do.
async fn collect(
    context: &Context,
    batch: &mut Batch,
    chunks: &mut mpsc::Receiver<Chunk>,
    writer_idle: &Arc<Semaphore>,
    deadline: Instant,
) -> Option<OwnedSemaphorePermit> {
    let bounds = &context.config.batch;
    while batch.rows() < bounds.rows && batch.weight() < bounds.bytes_each() {
        let idle = async {
            tokio::time::sleep_until(deadline).await;
            Arc::clone(writer_idle).acquire_owned().await
        };
        tokio::select! {
            chunk = chunks.recv() => batch.push(chunk?),
            permit = idle => return permit.ok(),
        }
    }
    None
}

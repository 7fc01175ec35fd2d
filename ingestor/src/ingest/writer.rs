//! Carries batches into the database, one transaction each, through every failure that passes. After a connection
//! was lost, claiming the batch's shards anew tells whether the transaction happened: a claim waits for a commit
//! under way and returns the checkpoint. Never: SQL.

use super::batcher::Job;
use super::link::patient;
use super::{Context, Table};
use crate::batch::Batch;
use crate::error::{Kind, Result};
use crate::layout::Layout;
use crate::metrics::Metrics;
use crate::postgres::write::{Outcome, Writer, Written};
use crate::stop::Backoff;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use tokio::sync::mpsc;

/// Writes batches until none comes any more.
pub async fn run(context: Arc<Context>, table: Arc<Table>, mut jobs: mpsc::Receiver<Job>) -> Result<()> {
    let mut carrier = Carrier { context, table, writer: None };
    while let Some(Job { mut batch, layout, permit }) = jobs.recv().await {
        carrier.carry(&mut batch, &layout).await?;
        // Freeing a batch takes as long as a row or a thousand: the next one need not wait for it.
        tokio::task::spawn_blocking(move || {
            drop(batch);
            drop(permit);
        });
    }
    Ok(())
}

struct Carrier {
    context: Arc<Context>,
    table: Arc<Table>,
    writer: Option<Writer>,
}

impl Carrier {
    async fn carry(&mut self, batch: &mut Batch, layout: &Layout) -> Result<()> {
        let mut backoff = Backoff::default();
        let mut uncertain = false;
        loop {
            let dropped = batch.drop_lost();
            if dropped > 0 {
                tracing::warn!(
                    records = dropped,
                    relation = self.table.plan.relation,
                    "dropped records of lost shards"
                );
            }
            if batch.is_empty() {
                return Ok(());
            }
            let error = match self.attempt(batch, layout, &mut uncertain).await {
                Ok(true) => return Ok(()),
                Ok(false) => continue,
                Err(error) => error,
            };
            if error.connection_lost || self.writer.as_ref().is_some_and(Writer::is_closed) {
                uncertain |= self.writer.take().is_some();
            } else if error.kind != Kind::Retry {
                return Err(error.while_doing(format!("writing into {}", self.table.plan.relation)));
            }
            if !self.context.wait(&mut backoff, "writing a batch", &error).await {
                // Stopping: go on trying while the time for draining lasts, which others watch.
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }

    /// One attempt; `true` when the batch is in the database.
    async fn attempt(&mut self, batch: &mut Batch, layout: &Layout, uncertain: &mut bool) -> Result<bool> {
        if self.writer.is_none() {
            let session = self.context.database.connect().await.map_err(patient)?;
            let refused = self.context.config.batch.refused_rows_max;
            self.writer = Some(Writer::new(session, &self.table.plan, refused).await?);
        }
        if *uncertain {
            if self.happened(batch).await? {
                return Ok(true);
            }
            *uncertain = false;
            return Ok(false);
        }
        let Some(writer) = &self.writer else { return Ok(false) };
        let started = Instant::now();
        match writer.write(batch, layout).await? {
            Outcome::Committed(written) => {
                tracing::debug!(
                    relation = self.table.plan.relation,
                    batch = written.batch_id,
                    rows = written.rows,
                    dead_letters = written.dead_letters.len(),
                    ms = started.elapsed().as_secs_f64() * 1e3,
                    "committed"
                );
                self.account(&written);
                Ok(true)
            }
            Outcome::Fenced(shards) => {
                for (stream, shard) in shards {
                    tracing::warn!(
                        stream,
                        shard,
                        "the shard is another's, or its checkpoint is not where it was left"
                    );
                    for chunk in &batch.chunks {
                        if chunk.lease.stream == stream && chunk.lease.shard == shard {
                            chunk.lease.lose();
                        }
                    }
                }
                Ok(false)
            }
        }
    }

    /// Whether a transaction whose connection was lost did commit. The shards are ours again afterwards, or lost.
    async fn happened(&self, batch: &Batch) -> Result<bool> {
        let context = &self.context;
        let _epochs = context.epochs.lock().await;
        let mut happened = false;
        for advance in batch.advances(&[]) {
            let lease = &advance.lease;
            let before = lease.committed();
            let session = context.control.session().await?;
            let claim = session
                .claim_shard(
                    (&lease.relation, &lease.stream, &lease.shard),
                    &context.worker,
                    context.config.lease.duration_ms,
                    &before.initial_position,
                )
                .await?;
            let now = claim.checkpoint;
            if !claim.claimed {
                lease.lose();
            } else if advance.is_covered_by(now.sequence_number.as_deref(), now.ended) && now != before {
                happened = true;
                lease.set_epoch(claim.epoch);
                lease.advance(advance.last.as_deref(), advance.ended);
            } else if now.sequence_number == before.sequence_number && now.ended == before.ended {
                lease.set_epoch(claim.epoch);
            } else {
                // Another worker had the shard in between.
                lease.lose();
            }
        }
        if happened {
            tracing::info!(relation = self.table.plan.relation, "a commit whose answer was lost did happen");
            self.account(&Written {
                batch_id: 0,
                rows: batch.rows(),
                dead_letters: batch.rejected().map(|r| r.reject.sqlstate).collect(),
                advances: batch.advances(&[]),
            });
        }
        Ok(happened)
    }

    fn account(&self, written: &Written) {
        let (context, table) = (&self.context, &self.table);
        Metrics::add(&context.metrics.rows, written.rows);
        Metrics::add(&context.metrics.batches, 1);
        Metrics::add(&context.metrics.dead_letters, written.dead_letters.len());
        for advance in &written.advances {
            advance.lease.advance(advance.last.as_deref(), advance.ended);
            if advance.ended {
                table.shard_ended.send_modify(|n| *n += 1);
            }
        }
        // An empty batch changes no rollup, but counting it as one row is simpler than asking.
        let rows = (written.rows as u64).max(1);
        let unrefreshed = table.unrefreshed.fetch_add(rows, Relaxed) + rows;
        let due = context.config.refresh.rows;
        if due > 0 && unrefreshed >= due {
            table.refresh_due.notify_one();
        }
    }
}

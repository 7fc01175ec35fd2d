//! Carries batches into the database, one transaction each, through every failure that passes. After a connection
//! was lost, claiming the batch's shards anew tells whether the transaction happened: a claim waits for a commit
//! under way and returns the checkpoint. Never: SQL.

use super::batcher::Job;
use super::link::patient;
use super::{Context, Table};
use crate::batch::Batch;
use crate::error::{Error, Kind, Result};
use crate::layout::Layout;
use crate::postgres::write::{Outcome, Writer, Written};
use crate::stop::Backoff;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tracing::{Instrument, Span};

/// Writes batches until none comes any more.
pub async fn run(context: Arc<Context>, table: Arc<Table>, mut jobs: mpsc::Receiver<Job>) -> Result<()> {
    let mut carrier = Carrier { context, table, writer: None };
    while let Some(Job { mut batch, mut layout, permit, trace }) = jobs.recv().await {
        carrier.carry(&mut batch, &mut layout).instrument(trace).await?;
        drop(permit);
        // Freeing a batch takes as long as a row or a thousand: the next one need not wait for it.
        tokio::task::spawn_blocking(move || drop(batch));
    }
    Ok(())
}

/// What the writer does.
const WRITING: &str = "writing a batch";

/// How an attempt ended.
enum Attempt {
    /// The batch is in the database.
    Written,
    /// It is not, and what is left of it is to be tried at once.
    Again,
    /// The server refused too many rows.
    Stale(Error),
}

struct Carrier {
    context: Arc<Context>,
    table: Arc<Table>,
    writer: Option<Writer>,
}

impl Carrier {
    async fn carry(&mut self, batch: &mut Batch, layout: &mut Layout) -> Result<()> {
        let mut backoff = Backoff::default();
        let mut uncertain = false;
        let mut renewed = false;
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
            let attempt = self.attempt(batch, layout, &mut uncertain).await;
            if attempt.is_err() {
                self.count("failed");
            }
            let error = match attempt {
                Ok(Attempt::Written) => {
                    self.context.metrics.unblocked(&self.table.plan.relation, Some(WRITING));
                    return Ok(());
                }
                Ok(Attempt::Again) => continue,
                Ok(Attempt::Stale(error)) if renewed => {
                    return Err(error.while_doing(format!("writing into {}", self.table.plan.relation)));
                }
                Ok(Attempt::Stale(_)) => match self.renew(batch, layout).await {
                    Ok(()) => {
                        renewed = true;
                        continue;
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if error.connection_lost || self.writer.as_ref().is_some_and(Writer::is_closed) {
                uncertain |= self.writer.take().is_some();
            } else if error.kind != Kind::Retry {
                return Err(error.while_doing(format!("writing into {}", self.table.plan.relation)));
            }
            if !self.table.wait(&self.context, &mut backoff, WRITING, &error).await {
                // Stopping: go on trying while the time for draining lasts, which others watch.
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }

    /// Asks anew which times are accepted: retention may have passed a batch that lay ready, and then it is not the
    /// rows that are wrong, nor the table.
    async fn renew(&self, batch: &mut Batch, layout: &mut Layout) -> Result<()> {
        let session = self.context.control.session().await?;
        *layout = session.prepare_batch(&self.table.plan.relation, batch.range()).await?;
        layout.confirmed = true;
        batch.rearrange(layout, &self.table.plan);
        Ok(())
    }

    /// One attempt.
    async fn attempt(&mut self, batch: &mut Batch, layout: &Layout, uncertain: &mut bool) -> Result<Attempt> {
        if self.writer.is_none() {
            let session = self.context.database.connect().await.map_err(patient)?;
            let refused = self.context.config.batch.refused_rows_max;
            self.writer = Some(Writer::new(session, &self.table.plan, refused).await?);
        }
        if *uncertain {
            if self.happened(batch).await? {
                return Ok(Attempt::Written);
            }
            *uncertain = false;
            return Ok(Attempt::Again);
        }
        let Some(writer) = &self.writer else { return Ok(Attempt::Again) };
        let started = Instant::now();
        match writer.write(batch, layout).await? {
            Outcome::Committed(written) => {
                Span::current().record("batch_id", written.batch_id);
                tracing::debug!(
                    relation = self.table.plan.relation,
                    batch = written.batch_id,
                    rows = written.rows,
                    dead_letters = written.dead_letters.len(),
                    ms = started.elapsed().as_secs_f64() * 1e3,
                    copy_ms = written.copy.as_secs_f64() * 1e3,
                    commit_ms = written.commit.as_secs_f64() * 1e3,
                    "committed"
                );
                self.context.metrics.copy.observe(&self.table.plan.relation, written.copy);
                self.context.metrics.commit.observe(&self.table.plan.relation, written.commit);
                self.count("committed");
                self.account(&written);
                Ok(Attempt::Written)
            }
            Outcome::Stale(error) => {
                self.count("refused");
                Ok(Attempt::Stale(error))
            }
            Outcome::Fenced(shards) => {
                self.count("fenced");
                self.context.metrics.leases.add(&["fenced"], shards.len());
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
                Ok(Attempt::Again)
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
            // The database has lost commits, and a lease on the shard was taken anew: claiming it for this one would
            // take it from that.
            if lease.is_lost() {
                continue;
            }
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
            if claim.claimed {
                context.leases.claimed(lease, claim.epoch);
            }
            let now = claim.checkpoint;
            if !claim.claimed {
                lease.lose();
            } else if advance.is_covered_by(now.sequence_number.as_deref(), now.ended)
                && (&now.sequence_number, now.ended) != (&before.sequence_number, before.ended)
            {
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
            self.count("found_committed");
            self.account(&Written {
                batch_id: 0,
                rows: batch.rows(),
                repeated: 0,
                dead_letters: batch.rejected().map(|r| r.reject.sqlstate).collect(),
                advances: batch.advances(&[]),
                copy: Duration::ZERO,
                commit: Duration::ZERO,
            });
        }
        Ok(happened)
    }

    fn count(&self, outcome: &str) {
        self.context.metrics.outcomes.add(&[&self.table.plan.relation, outcome], 1);
    }

    fn account(&self, written: &Written) {
        let (context, table) = (&self.context, &self.table);
        context.metrics.committed(&table.plan.relation, written.rows, &written.dead_letters);
        context.metrics.repeated(&table.plan.relation, written.repeated);
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

//! The data transaction: batch, COPY, dead letters, ledger, checkpoints, in one. Rows the server refuses are set
//! aside by `copy`. Never: reconnecting, deciding whether a lost COMMIT happened.

use super::Session;
use super::apply::Apply;
use super::copy::Copied;
use super::known::Known;
use super::types::Micros;
use crate::batch::{Advance, Arranged, Batch, LeafRoot, Place, Refused, Reject};
use crate::decode::plan::TablePlan;
use crate::error::{Error, Kind, Result};
use crate::layout::Layout;
use crate::payload;
use crate::traces::{TARGET, count};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio_postgres::Statement;
use tracing::{Instrument, trace_span};

/// Changes of a target have no row in a ledger.
const NO_BATCH: i64 = 0;

/// What became of a batch.
#[derive(Debug)]
pub enum Outcome {
    /// All in.
    Committed(Written),
    /// Nothing written: the server refused so many rows that the layout may be out of date.
    Stale(Error),
    /// Nothing written: these shards (stream, shard) are another's now, or their checkpoint is not where we left it.
    Fenced(Vec<(String, String)>),
}

/// What a commit holds.
#[derive(Debug)]
pub struct Written {
    /// The batch.
    pub batch_id: i64,
    /// Rows stored.
    pub rows: usize,
    /// Rows that were left out: their events are there already, or changes by which others came.
    pub repeated: usize,
    /// Dead letters by SQLSTATE.
    pub dead_letters: Vec<Option<String>>,
    /// Checkpoints moved to.
    pub advances: Vec<Advance>,
    /// What COPY took.
    pub copy: Duration,
    /// What COMMIT took.
    pub commit: Duration,
}

/// Statements of one table, prepared once per session.
pub struct Writer {
    pub(super) session: Session,
    pub(super) copy: Statement,
    pub(super) relation: String,
    /// How changes get from their stage into the table; `None`: rows go there directly.
    pub(super) apply: Option<Apply>,
    /// Which events are there already, where that is asked.
    known: Option<Known>,
    plan: Arc<TablePlan>,
    column_ids: Vec<i32>,
    pub(super) refused_rows_max: usize,
    /// The layout was asked for again: a row that no partition takes is at fault, and not the layout.
    pub(super) confirmed: AtomicBool,
}

impl Writer {
    /// Prepares the statements.
    pub async fn new(session: Session, plan: &Arc<TablePlan>, refused_rows_max: usize) -> Result<Self> {
        let columns: Vec<String> = plan.columns.iter().map(|c| quote(&c.name)).collect();
        let apply = Apply::prepare(&session, plan).await?;
        let (into, beside) = match &apply {
            None => (plan.relation.as_str(), "batch_id"),
            Some(apply) => (apply.stage.as_str(), "strata_kept, strata_deleted"),
        };
        let copy = format!("COPY {into} ({}, {beside}) FROM STDIN (FORMAT binary)", columns.join(", "));
        let copy = session.client.prepare(&copy).await.map_err(|e| altered(session.failed(&e)))?;
        let known = Known::prepare(&session, plan).await?;
        let hashed = plan.columns.iter().filter(|c| c.is_hashed());
        let column_ids = hashed.map(|c| i32::try_from(c.id).unwrap_or(i32::MAX)).collect();
        Ok(Self {
            session,
            copy,
            relation: plan.relation.clone(),
            apply,
            known,
            plan: Arc::clone(plan),
            column_ids,
            refused_rows_max,
            confirmed: AtomicBool::new(false),
        })
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    /// One batch, one transaction. After an error nothing is committed, except that the outcome is unknown where
    /// the connection was lost.
    pub async fn write(&self, batch: &mut Batch, layout: &Layout) -> Result<Outcome> {
        self.confirmed.store(layout.confirmed, Relaxed);
        let outcome = self.transaction(batch, layout).await;
        let undo = match &outcome {
            Ok(Outcome::Committed(_)) => false,
            Ok(Outcome::Fenced(_) | Outcome::Stale(_)) => true,
            Err(error) => !error.connection_lost,
        };
        if undo {
            self.session.run("ROLLBACK").await?;
        }
        outcome
    }

    async fn transaction(&self, batch: &mut Batch, layout: &Layout) -> Result<Outcome> {
        let batch_id = self.begin(batch, layout).await?;
        let Some(arranged) = batch.arranged() else { return Err(Error::end("a batch is not arranged")) };
        let began = Instant::now();
        let wanted = arranged.places.clone();
        let fresh = match &self.known {
            Some(known) => known.new_rows(&self.session, batch, wanted).await?,
            None => wanted,
        };
        let repeated = batch.rows() - arranged.unplaced.len() - fresh.len();
        let all_fresh = fresh.len() == arranged.places.len();
        let span = trace_span!(target: TARGET, "copy", relation = self.relation, rows = count(fresh.len()));
        let (places, refused) = match self.copy_or_fall_back(batch, arranged, fresh).instrument(span).await? {
            Copied::Rows(places, refused) => (places, refused),
            Copied::TooManyRefused(error) => return Ok(Outcome::Stale(error)),
        };
        let copy = began.elapsed();
        let roots = if refused.is_empty() && all_fresh { None } else { Some(batch.roots(&places, layout)) };
        let mut dead: Vec<Refused> = batch.rejected().chain(self.unplaced(arranged)).chain(refused).collect();
        dead.sort_by_key(|d| (d.chunk, d.reject.record, d.reject.event));
        self.add_dead_letters(batch, batch_id, &dead).await?;
        if self.apply.is_none() {
            self.finish_batch(batch, batch_id, &places, roots.as_ref().unwrap_or(&arranged.roots)).await?;
        }
        let advances = batch.advances(&places);
        let fenced = self.advance_checkpoints(batch_id, &advances).await?;
        if !fenced.is_empty() {
            return Ok(Outcome::Fenced(fenced));
        }
        let began = Instant::now();
        self.session.run("COMMIT").instrument(trace_span!(target: TARGET, "commit")).await?;
        let commit = began.elapsed();
        let dead_letters = dead.into_iter().map(|d| d.reject.sqlstate).collect();
        let rows = places.len();
        Ok(Outcome::Committed(Written { batch_id, rows, repeated, dead_letters, advances, copy, commit }))
    }

    /// Begins a transaction and opens the batch in it, where the table has any.
    pub(super) async fn begin(&self, batch: &mut Batch, layout: &Layout) -> Result<i64> {
        // Nobody alters the table from here on, so that it is what was looked at.
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE",
            self.relation
        );
        self.session.run(&begin).await.map_err(altered)?;
        if self.session.fingerprint(&self.relation).await? != self.plan.fingerprint {
            return Err(Error::new(Kind::Replan, "its columns were altered"));
        }
        let mut batch_id = NO_BATCH;
        if self.apply.is_none() {
            let sql = "SELECT strata.current_batch($1::text::regclass)";
            let opened = self.session.client.query_one(sql, &[&self.relation]).await;
            batch_id = opened.map_err(|e| self.session.failed(&e))?.get(0);
            batch.stamp(batch_id);
        }
        batch.arrange(layout, &self.plan);
        Ok(batch_id)
    }

    /// Dead letters of the rows that no partition takes.
    pub(super) fn unplaced<'a>(&'a self, arranged: &'a Arranged) -> impl Iterator<Item = Refused> + 'a {
        arranged.unplaced.iter().cloned().map(|mut late| {
            late.reject.column = self.plan.time_column().map(|column| column.name.clone());
            late
        })
    }

    pub(super) async fn add_dead_letters(
        &self,
        batch: &Batch,
        batch_id: i64,
        dead: &[Refused],
    ) -> Result<()> {
        if dead.is_empty() {
            return Ok(());
        }
        let of = |d: &Refused| &batch.chunks[d.chunk as usize];
        let record = |d: &Refused| &of(d).records[d.reject.record as usize];
        let streams: Vec<&str> = dead.iter().map(|d| of(d).lease.source()).collect();
        let shards: Vec<&str> = dead.iter().map(|d| of(d).lease.shard.as_str()).collect();
        let numbers: Vec<&str> = dead.iter().map(|d| record(d).sequence_number.as_str()).collect();
        let subs: Vec<i32> = dead.iter().map(|d| d.reject.event.sub_sequence()).collect();
        let keys: Vec<String> =
            dead.iter().map(|d| of(d).partition_key(&d.reject).replace('\0', "\u{fffd}")).collect();
        let arrivals: Vec<Option<Micros>> = dead.iter().map(|d| record(d).arrived_at.map(Micros)).collect();
        let reasons: Vec<String> = dead.iter().map(|d| reason(&d.reject)).collect();
        let states: Vec<Option<&str>> = dead.iter().map(|d| d.reject.sqlstate.as_deref()).collect();
        let columns: Vec<Option<&str>> = dead.iter().map(|d| d.reject.column.as_deref()).collect();
        // A record of many events that are all no rows is kept once, with the first of them.
        let first = |i: usize| {
            let before = i.checked_sub(1).map(|before| (dead[before].chunk, dead[before].reject.record));
            before != Some((dead[i].chunk, dead[i].reject.record))
        };
        let kept: Vec<&[u8]> =
            dead.iter().enumerate().map(|(i, d)| if first(i) { &record(d).data[..] } else { &[] }).collect();
        let payloads: Vec<Vec<u8>> = kept.iter().map(|data| payload::compress(data)).collect();
        let sizes: Vec<i32> = kept.iter().map(|data| i32::try_from(data.len()).unwrap_or(i32::MAX)).collect();
        let sql = "SELECT strata._add_dead_letters($1::text::regclass, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        self.session
            .client
            .execute(
                sql,
                &[
                    &self.relation,
                    &batch_id,
                    &streams,
                    &shards,
                    &numbers,
                    &subs,
                    &keys,
                    &arrivals,
                    &reasons,
                    &states,
                    &columns,
                    &payloads,
                    &sizes,
                ],
            )
            .await
            .map(drop)
            .map_err(|e| ours(self.session.failed(&e)).while_doing("writing dead letters"))
    }

    pub(super) async fn finish_batch(
        &self,
        batch: &Batch,
        batch_id: i64,
        places: &[Place],
        roots: &[LeafRoot],
    ) -> Result<()> {
        let rows = i64::try_from(places.len()).unwrap_or(i64::MAX);
        let range = batch.range_of(places);
        let (lower, upper) = (range.map(|r| Micros(r.0)), range.map(|r| Micros(r.1)));
        let leaves: Vec<u32> = roots.iter().map(|r| r.oid).collect();
        let counts: Vec<i64> = roots.iter().map(|r| r.rows).collect();
        let hashes: Vec<&[u8]> = roots.iter().map(|r| r.root.as_slice()).collect();
        let sql = "SELECT strata._finish_batch($1::text::regclass, $2, $3, $4, $5, $6, $7, $8, $9)";
        self.session
            .client
            .execute(
                sql,
                &[
                    &self.relation,
                    &batch_id,
                    &rows,
                    &lower,
                    &upper,
                    &self.column_ids,
                    &leaves,
                    &counts,
                    &hashes,
                ],
            )
            .await
            .map(drop)
            .map_err(|e| ours(self.session.failed(&e)).while_doing("closing the batch"))
    }

    /// Moves the checkpoints; returns the shards that the batch does not follow on: taken by another, or set back
    /// by a database that lost commits.
    async fn advance_checkpoints(
        &self,
        batch_id: i64,
        advances: &[Advance],
    ) -> Result<Vec<(String, String)>> {
        let streams: Vec<&str> = advances.iter().map(|a| a.lease.stream.as_str()).collect();
        let shards: Vec<&str> = advances.iter().map(|a| a.lease.shard.as_str()).collect();
        let epochs: Vec<i64> = advances.iter().map(|a| a.lease.epoch()).collect();
        let before: Vec<Option<String>> =
            advances.iter().map(|a| a.lease.committed().sequence_number).collect();
        let firsts: Vec<Option<&str>> = advances.iter().map(|a| a.first.as_deref()).collect();
        let lasts: Vec<Option<&str>> = advances.iter().map(|a| a.last.as_deref()).collect();
        let arrivals: Vec<Option<Micros>> = advances.iter().map(|a| a.arrived_at.map(Micros)).collect();
        let first_arrivals: Vec<Option<Micros>> =
            advances.iter().map(|a| a.first_arrived_at.map(Micros)).collect();
        let rows: Vec<i64> = advances.iter().map(|a| a.rows).collect();
        let ended: Vec<bool> = advances.iter().map(|a| a.ended).collect();
        let sql = "SELECT stream, shard \
                   FROM strata._advance_checkpoints($1::text::regclass, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        let rows = self
            .session
            .client
            .query(
                sql,
                &[
                    &self.relation,
                    &batch_id,
                    &streams,
                    &shards,
                    &epochs,
                    &before,
                    &firsts,
                    &lasts,
                    &arrivals,
                    &rows,
                    &ended,
                    &first_arrivals,
                ],
            )
            .await
            .map_err(|e| ours(self.session.failed(&e)).while_doing("moving checkpoints"))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }
}

/// The reason, naming the event where the record has several.
fn reason(reject: &Reject) -> String {
    let reason = reject.reason.replace('\0', "\u{fffd}");
    match reject.event.number() {
        Some(number) => format!("event {number} of the record: {reason}"),
        None => reason,
    }
}

/// A table or column that is not there was there when the table was planned.
pub(super) fn altered(error: Error) -> Error {
    match error.code.as_deref() {
        Some("42P01" | "42703") => Error { kind: Kind::Replan, ..error },
        _ => error,
    }
}

/// An error of our own statements is never a row's fault.
pub(super) fn ours(mut error: Error) -> Error {
    if error.kind == Kind::SetAside {
        error.kind = Kind::End;
    }
    error
}

/// A quoted identifier.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

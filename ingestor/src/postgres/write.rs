//! The data transaction: batch, COPY, dead letters, ledger, checkpoints, in one. Rows the server refuses are set
//! aside by `copy`. Statements that need not wait for the answer to the one before are sent behind it at once; when
//! that one fails, they fail with it. Never: reconnecting, deciding whether a lost COMMIT happened.

use super::Session;
use super::apply::Apply;
use super::catalog::FINGERPRINT;
use super::complete::{ADVANCE, FINISH};
use super::copy::{Copied, SAVEPOINT};
use super::known::Known;
use crate::batch::{Advance, Arranged, Batch, Refused};
use crate::decode::plan::TablePlan;
use crate::error::{Error, Kind, Result};
use crate::layout::Layout;
use crate::traces::{TARGET, count};
use futures_util::future::{join3, try_join3};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;
use tracing::{Instrument, trace_span};

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
    /// Whether the columns are what they were, and the batch.
    open: Statement,
    pub(super) finish: Statement,
    pub(super) advance: Statement,
    pub(super) relation: String,
    /// How changes get from their stage into the table; `None`: rows go there directly.
    pub(super) apply: Option<Apply>,
    /// Which events are there already, where that is asked.
    known: Option<Known>,
    plan: Arc<TablePlan>,
    pub(super) column_ids: Vec<i32>,
    pub(super) refused_rows_max: usize,
    /// The layout was asked for again: a row that no partition takes is at fault, and not the layout.
    pub(super) confirmed: AtomicBool,
    /// The savepoint for rows has been used.
    pub(super) used: AtomicBool,
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
        // Changes of a target have no batch in a ledger.
        let batch = if apply.is_none() { "strata.current_batch($1::text::regclass)" } else { "0::bigint" };
        let open = format!("SELECT ({FINGERPRINT}), {batch}");
        let client = &session.client;
        let (open, finish, advance) =
            try_join3(client.prepare(&open), client.prepare(FINISH), client.prepare(ADVANCE))
                .await
                .map_err(|e| ours(session.failed(&e)))?;
        let known = Known::prepare(&session, plan).await?;
        let hashed = plan.columns.iter().filter(|c| c.is_hashed());
        let column_ids = hashed.map(|c| i32::try_from(c.id).unwrap_or(i32::MAX)).collect();
        Ok(Self {
            session,
            copy,
            open,
            finish,
            advance,
            relation: plan.relation.clone(),
            apply,
            known,
            plan: Arc::clone(plan),
            column_ids,
            refused_rows_max,
            confirmed: AtomicBool::new(false),
            used: AtomicBool::new(false),
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
        let advances = batch.advances(&places);
        let roots = roots.as_ref().unwrap_or(&arranged.roots);
        let fenced = self.complete(batch, (batch_id, &places, roots), &dead, &advances).await?;
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
        let relation: [&(dyn ToSql + Sync); 1] = [&self.relation];
        let opening = self.session.client.query_one(&self.open, &relation);
        let (locked, opened, saved) =
            join3(self.session.run(&begin), opening, self.session.run(SAVEPOINT)).await;
        locked.map_err(altered)?;
        let opened = opened.map_err(|e| self.session.failed(&e))?;
        saved?;
        self.used.store(false, Relaxed);
        if opened.get::<_, i64>(0) != self.plan.fingerprint {
            return Err(Error::new(Kind::Replan, "its columns were altered"));
        }
        let batch_id = opened.get(1);
        if self.apply.is_none() {
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

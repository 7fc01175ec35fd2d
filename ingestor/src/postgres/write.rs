//! The data transaction: batch, COPY, dead letters, ledger, checkpoints, in one. Rows the server refuses are set
//! aside inside savepoints. Never: reconnecting, deciding whether a lost COMMIT happened.

use super::Session;
use super::types::Micros;
use crate::batch::{Advance, Batch, Layout, Place, Refused, Reject};
use crate::decode::plan::TablePlan;
use crate::error::{Error, Kind, Result};
use crate::payload;
use bytes::Bytes;
use futures_util::SinkExt;
use std::pin::pin;
use tokio_postgres::Statement;

/// Rows of one attempt after the server refused one: small, so that a bad row costs little.
const CAREFUL_ROWS: usize = 2_000;
const COPY_HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_TRAILER: &[u8; 2] = b"\xff\xff";

/// What became of a batch.
#[derive(Debug)]
pub enum Outcome {
    /// All in.
    Committed(Written),
    /// Nothing written: these shards (stream, shard) are another's now.
    Fenced(Vec<(String, String)>),
}

/// What a commit holds.
#[derive(Debug)]
pub struct Written {
    /// The batch.
    pub batch_id: i64,
    /// Rows stored.
    pub rows: usize,
    /// Dead letters by SQLSTATE.
    pub dead_letters: Vec<Option<String>>,
    /// Checkpoints moved to.
    pub advances: Vec<Advance>,
}

/// Statements of one table, prepared once per session.
pub struct Writer {
    session: Session,
    copy: Statement,
    relation: String,
    column_ids: Vec<i32>,
    refused_rows_max: usize,
}

impl Writer {
    /// Prepares the statements.
    pub async fn new(session: Session, plan: &TablePlan, refused_rows_max: usize) -> Result<Self> {
        let columns: Vec<String> = plan.columns.iter().map(|c| quote(&c.name)).collect();
        let copy =
            format!("COPY {} ({}, batch_id) FROM STDIN (FORMAT binary)", plan.relation, columns.join(", "));
        let copy = session.client.prepare(&copy).await.map_err(|e| session.failed(&e))?;
        let column_ids = plan.columns.iter().map(|c| i32::try_from(c.id).unwrap_or(i32::MAX)).collect();
        Ok(Self { session, copy, relation: plan.relation.clone(), column_ids, refused_rows_max })
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    /// One batch, one transaction. After an error nothing is committed, except that the outcome is unknown where
    /// the connection was lost.
    pub async fn write(&self, batch: &mut Batch, layout: &Layout) -> Result<Outcome> {
        let outcome = self.transaction(batch, layout).await;
        let undo = match &outcome {
            Ok(Outcome::Committed(_)) => false,
            Ok(Outcome::Fenced(_)) => true,
            Err(error) => !error.connection_lost,
        };
        if undo {
            self.session.run("ROLLBACK").await?;
        }
        outcome
    }

    async fn transaction(&self, batch: &mut Batch, layout: &Layout) -> Result<Outcome> {
        let client = &self.session.client;
        let failed = |e: tokio_postgres::Error| self.session.failed(&e);
        self.session.run("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        let row = client
            .query_one("SELECT strata.current_batch($1::text::regclass)", &[&self.relation])
            .await
            .map_err(failed)?;
        let batch_id: i64 = row.get(0);
        batch.stamp(batch_id);
        let (places, unplaced) = batch.place(layout);
        let (places, refused) = self.copy_rows(batch, places).await?;
        let dead: Vec<Refused> = batch.rejected().chain(unplaced).chain(refused).collect();
        self.add_dead_letters(batch, batch_id, &dead).await?;
        self.finish_batch(batch, layout, batch_id, &places).await?;
        let advances = batch.advances(&places);
        let fenced = self.advance_checkpoints(batch_id, &advances).await?;
        if !fenced.is_empty() {
            return Ok(Outcome::Fenced(fenced));
        }
        self.session.run("COMMIT").await?;
        let dead_letters = dead.into_iter().map(|d| d.reject.sqlstate).collect();
        Ok(Outcome::Committed(Written { batch_id, rows: places.len(), dead_letters, advances }))
    }

    /// Sends rows; those the server refuses for their data come back, the others are in. A refused range is cut
    /// before and after the row the server names, or in two where it names none.
    async fn copy_rows(&self, batch: &Batch, places: Vec<Place>) -> Result<(Vec<Place>, Vec<Refused>)> {
        let mut refused: Vec<(usize, Refused)> = Vec::new();
        let mut stack = vec![0..places.len()];
        while let Some(range) = stack.pop().filter(|_| !places.is_empty()) {
            if range.is_empty() {
                continue;
            }
            if !refused.is_empty() && range.len() > CAREFUL_ROWS {
                stack.push(range.start + CAREFUL_ROWS..range.end);
                stack.push(range.start..range.start + CAREFUL_ROWS);
                continue;
            }
            let Err(error) = self.copy_range(batch, &places[range.clone()]).await else { continue };
            if error.kind != Kind::SetAside || error.connection_lost {
                return Err(error);
            }
            let named = error.line.and_then(|line| usize::try_from(line).ok()?.checked_sub(1));
            let at = match named.filter(|line| *line < range.len()) {
                Some(line) => range.start + line,
                None if range.len() == 1 => range.start,
                None => {
                    let middle = range.start + range.len() / 2;
                    stack.push(middle..range.end);
                    stack.push(range.start..middle);
                    continue;
                }
            };
            refused.push((at, refusal(batch, places[at], &error)));
            if refused.len() > self.refused_rows_max {
                return Err(Error::end(format!(
                    "{}: the server refused more than {} rows of one batch; the last: {}",
                    self.relation, self.refused_rows_max, error.message
                )));
            }
            stack.push(at + 1..range.end);
            stack.push(range.start..at);
        }
        let mut kept = places;
        refused.sort_by_key(|(at, _)| *at);
        for (at, _) in refused.iter().rev() {
            kept.remove(*at);
        }
        Ok((kept, refused.into_iter().map(|(_, r)| r).collect()))
    }

    /// One COPY inside a savepoint of its own. Constraints that were to be checked at the end are checked here,
    /// where a row can still be set aside.
    async fn copy_range(&self, batch: &Batch, places: &[Place]) -> Result<()> {
        self.session.run("SAVEPOINT strata_copy; SET CONSTRAINTS ALL IMMEDIATE").await?;
        match self.copy(batch, places).await {
            Ok(()) => self.session.run("RELEASE SAVEPOINT strata_copy").await,
            Err(error) if error.connection_lost => Err(error),
            Err(error) => {
                self.session.run("ROLLBACK TO SAVEPOINT strata_copy; RELEASE SAVEPOINT strata_copy").await?;
                Err(error)
            }
        }
    }

    async fn copy(&self, batch: &Batch, places: &[Place]) -> Result<()> {
        let failed = |e: tokio_postgres::Error| self.session.failed(&e);
        // The sink must be gone before the next statement, or that would wait for ever: it lives in this block.
        let sink = self.session.client.copy_in(&self.copy).await.map_err(failed)?;
        let mut sink = pin!(sink);
        let mut sent = Ok(());
        for slice in std::iter::once(Bytes::from_static(COPY_HEADER))
            .chain(batch.slices(places))
            .chain(std::iter::once(Bytes::from_static(COPY_TRAILER)))
        {
            sent = sink.feed(slice).await;
            if sent.is_err() {
                break;
            }
        }
        // An error while sending says only that the connection is closed; the reason, if any, comes at the end.
        let finished = sink.as_mut().finish().await.map_err(failed);
        match (sent, finished) {
            (_, Err(error)) => Err(error),
            (Err(error), _) => Err(failed(error)),
            (Ok(()), Ok(rows)) if rows == places.len() as u64 => Ok(()),
            (Ok(()), Ok(rows)) => Err(Error::end(format!(
                "{}: the server stored {rows} of {} rows; a trigger or rule of the table drops rows",
                self.relation,
                places.len()
            ))),
        }
    }

    async fn add_dead_letters(&self, batch: &Batch, batch_id: i64, dead: &[Refused]) -> Result<()> {
        if dead.is_empty() {
            return Ok(());
        }
        let of = |d: &Refused| &batch.chunks[d.chunk as usize];
        let record = |d: &Refused| &of(d).records[d.reject.record as usize];
        let streams: Vec<&str> = dead.iter().map(|d| of(d).lease.stream.as_str()).collect();
        let shards: Vec<&str> = dead.iter().map(|d| of(d).lease.shard.as_str()).collect();
        let numbers: Vec<&str> = dead.iter().map(|d| record(d).sequence_number.as_str()).collect();
        let subs: Vec<i32> = vec![0; dead.len()];
        let keys: Vec<String> =
            dead.iter().map(|d| record(d).partition_key.replace('\0', "\u{fffd}")).collect();
        let arrivals: Vec<Option<Micros>> = dead.iter().map(|d| record(d).arrived_at.map(Micros)).collect();
        let reasons: Vec<String> = dead.iter().map(|d| d.reject.reason.replace('\0', "\u{fffd}")).collect();
        let states: Vec<Option<&str>> = dead.iter().map(|d| d.reject.sqlstate.as_deref()).collect();
        let columns: Vec<Option<&str>> = dead.iter().map(|d| d.reject.column.as_deref()).collect();
        let payloads: Vec<Vec<u8>> = dead.iter().map(|d| payload::compress(&record(d).data)).collect();
        let sizes: Vec<i32> =
            dead.iter().map(|d| i32::try_from(record(d).data.len()).unwrap_or(i32::MAX)).collect();
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

    async fn finish_batch(
        &self,
        batch: &Batch,
        layout: &Layout,
        batch_id: i64,
        places: &[Place],
    ) -> Result<()> {
        let roots = batch.roots(places, layout);
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

    /// Moves the checkpoints; returns the shards whose epoch is gone.
    async fn advance_checkpoints(
        &self,
        batch_id: i64,
        advances: &[Advance],
    ) -> Result<Vec<(String, String)>> {
        let streams: Vec<&str> = advances.iter().map(|a| a.lease.stream.as_str()).collect();
        let shards: Vec<&str> = advances.iter().map(|a| a.lease.shard.as_str()).collect();
        let epochs: Vec<i64> = advances.iter().map(|a| a.lease.epoch()).collect();
        let firsts: Vec<Option<&str>> = advances.iter().map(|a| a.first.as_deref()).collect();
        let lasts: Vec<Option<&str>> = advances.iter().map(|a| a.last.as_deref()).collect();
        let arrivals: Vec<Option<Micros>> = advances.iter().map(|a| a.arrived_at.map(Micros)).collect();
        let rows: Vec<i64> = advances.iter().map(|a| a.rows).collect();
        let ended: Vec<bool> = advances.iter().map(|a| a.ended).collect();
        let sql = "SELECT stream, shard \
                   FROM strata._advance_checkpoints($1::text::regclass, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
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
                    &firsts,
                    &lasts,
                    &arrivals,
                    &rows,
                    &ended,
                ],
            )
            .await
            .map_err(|e| ours(self.session.failed(&e)).while_doing("moving checkpoints"))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }
}

/// An error of our own statements is never a row's fault.
fn ours(mut error: Error) -> Error {
    if error.kind == Kind::SetAside {
        error.kind = Kind::End;
    }
    error
}

fn refusal(batch: &Batch, place: Place, error: &Error) -> Refused {
    let reject = Reject {
        record: batch.row(place).record,
        sqlstate: error.code.clone(),
        reason: error.message.clone(),
        column: error.column.clone(),
    };
    Refused { chunk: place.0, reject }
}

/// A quoted identifier.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

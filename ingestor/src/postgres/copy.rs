//! COPY inside savepoints: rows the server refuses for their data are found and set aside, the others go in, all in
//! the transaction of the batch. Never: other statements of the batch.

use super::write::Writer;
use crate::batch::{Batch, Place, Refused, Reject};
use crate::error::{Error, Kind, Result};
use bytes::Bytes;
use futures_util::SinkExt;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;

/// Rows of one attempt after the server refused one: small, so that a bad row costs little.
const CAREFUL_ROWS: usize = 2_000;
/// What rows are put in under. Constraints that were to be checked at the end are checked here, where a row can still
/// be set aside.
pub(super) const SAVEPOINT: &str = "SAVEPOINT strata_copy; SET CONSTRAINTS ALL IMMEDIATE";
/// The rows are in.
pub(super) const RELEASE: &str = "RELEASE SAVEPOINT strata_copy";
const COPY_HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_TRAILER: &[u8; 2] = b"\xff\xff";

/// What became of the rows of a batch.
pub(super) enum Copied {
    /// These are in, these were refused.
    Rows(Vec<Place>, Vec<Refused>),
    /// More were refused than may be, or one that has no partition any more.
    TooManyRefused(Error),
}

impl Writer {
    /// Sends rows; those the server refuses for their data come back, the others are in. A refused range is cut
    /// before and after the row the server names, or in two where it names none.
    pub(super) async fn copy_rows(&self, batch: &Batch, places: Vec<Place>) -> Result<Copied> {
        let mut refused: Vec<(usize, Refused)> = Vec::new();
        let mut stack = Vec::new();
        stack.push(0..places.len());
        let mut staged = false;
        while let Some(range) = stack.pop().filter(|_| !places.is_empty()) {
            if range.is_empty() {
                continue;
            }
            if !refused.is_empty() && range.len() > CAREFUL_ROWS {
                stack.push(range.start + CAREFUL_ROWS..range.end);
                stack.push(range.start..range.start + CAREFUL_ROWS);
                continue;
            }
            let Err(error) = self.copy_range(batch, &places[range.clone()], staged).await else {
                staged = true;
                continue;
            };
            if error.kind != Kind::SetAside || error.connection_lost {
                return Err(error);
            }
            if error.unplaced && !self.confirmed.load(Relaxed) {
                return Ok(Copied::TooManyRefused(error));
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
                return Ok(Copied::TooManyRefused(Error::end(format!(
                    "{}: the server refused more than {} rows of one batch; the last: {}",
                    self.relation, self.refused_rows_max, error.message
                ))));
            }
            stack.push(at + 1..range.end);
            stack.push(range.start..at);
        }
        let mut kept = places;
        refused.sort_by_key(|(at, _)| *at);
        for (at, _) in refused.iter().rev() {
            kept.remove(*at);
        }
        Ok(Copied::Rows(kept, refused.into_iter().map(|(_, r)| r).collect()))
    }

    /// One COPY inside a savepoint of its own: the first in that the transaction began with, which stays open behind
    /// the last.
    async fn copy_range(&self, batch: &Batch, places: &[Place], staged: bool) -> Result<()> {
        if self.used.swap(true, Relaxed) {
            self.session.run(&format!("{RELEASE}; {SAVEPOINT}")).await?;
        }
        let stored = self.store(batch, places, staged).await;
        if stored.as_ref().is_err_and(|error| !error.connection_lost) {
            self.session.run("ROLLBACK TO SAVEPOINT strata_copy").await?;
        }
        stored
    }

    /// Rows into the table itself, or changes by way of the stage, which may hold some from before.
    async fn store(&self, batch: &Batch, places: &[Place], staged: bool) -> Result<()> {
        match &self.apply {
            None => self.copy(batch, places).await,
            Some(apply) => {
                if staged {
                    apply.empty(&self.session).await?;
                }
                self.copy(batch, places).await?;
                apply.merge(&self.session, places.len() == 1).await
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
}

fn refusal(batch: &Batch, place: Place, error: &Error) -> Refused {
    let row = batch.row(place);
    let reject = Reject {
        record: row.record,
        event: row.event,
        sqlstate: error.code.clone(),
        reason: error.message.clone(),
        column: error.column.clone(),
    };
    Refused { chunk: place.0, row: Some(place.1), reject }
}

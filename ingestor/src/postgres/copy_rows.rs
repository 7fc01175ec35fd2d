//! Tables read whole, as COPY sends them in binary. Never: what their values mean.

use super::Session;
use crate::error::{Error, Result};
use futures_util::StreamExt;
use std::pin::Pin;
use strata_core::copy_out::{CopyOut, fields};
use tokio_postgres::CopyOutStream;

/// Rows and bytes handed over at a time, about.
const BATCH_ROWS: usize = 4096;
const BATCH_BYTES: usize = 4 << 20;

/// Rows of one COPY as they come in.
pub struct CopyRows {
    stream: Pin<Box<CopyOutStream>>,
    cut: CopyOut,
    ended: bool,
}

/// Some rows.
#[derive(Debug, Default)]
pub struct RowBatch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl RowBatch {
    fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
    }

    fn is_full(&self) -> bool {
        self.ends.len() >= BATCH_ROWS || self.bytes.len() >= BATCH_BYTES
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The fields of each.
    pub fn rows(&self) -> impl Iterator<Item = impl Iterator<Item = Option<&[u8]>>> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let row = &self.bytes[start..*end];
            start = *end;
            fields(row)
        })
    }
}

impl Session {
    /// Begins to read: everything as of now, all rows or an error, for as long as it takes.
    pub async fn begin_reading(&self) -> Result<()> {
        self.run(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off; SET LOCAL search_path = pg_catalog; \
             SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0",
        )
        .await
    }

    /// The rows of a query.
    pub async fn copy_rows(&self, query: &str) -> Result<CopyRows> {
        let stream = self
            .client
            .copy_out(&format!("COPY ({query}) TO STDOUT (FORMAT binary)"))
            .await
            .map_err(|e| self.failed(&e))?;
        Ok(CopyRows { stream: Box::pin(stream), cut: CopyOut::default(), ended: false })
    }

    /// The next rows; `None` when there are no more.
    pub async fn next_rows(&self, rows: &mut CopyRows) -> Result<Option<RowBatch>> {
        let mut batch = RowBatch::default();
        // (behind its end the stream has other messages, which it takes for errors)
        while !batch.is_full() && !rows.ended {
            let Some(piece) = rows.stream.next().await else {
                if !rows.cut.is_whole() {
                    return Err(Error::end("the database ended a COPY before its end"));
                }
                rows.ended = true;
                break;
            };
            let piece = piece.map_err(|e| self.failed(&e))?;
            rows.cut.feed(&piece, |row| batch.push(row)).map_err(Error::end)?;
        }
        Ok((batch.len() > 0).then_some(batch))
    }
}

//! Dead letters read to be tried again, and the transaction that puts them in as rows. Never: decoding.

use super::Session;
use super::copy::{Copied, RELEASE};
use super::types::Micros;
use super::write::{Writer, ours};
use crate::batch::{Batch, EventNumber, Refused};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::payload;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

/// A dead letter with its record.
#[derive(Debug)]
pub struct Letter {
    /// Id.
    pub id: i64,
    /// ARN of the stream.
    pub stream: String,
    /// Shard.
    pub shard: String,
    /// Record.
    pub sequence_number: String,
    /// Which event of the record.
    pub event: EventNumber,
    /// Partition key.
    pub partition_key: Option<String>,
    /// Arrival in the stream.
    pub arrived_at: Option<i64>,
    /// The record.
    pub record: Vec<u8>,
}

/// What came of dead letters.
#[derive(Debug, Default, Clone, Copy)]
pub struct Retried {
    /// Tried.
    pub letters: usize,
    /// No dead letters any more.
    pub resolved: usize,
    /// Rows of these.
    pub rows: usize,
}

impl Session {
    /// The newest dead letter of a table.
    pub async fn last_dead_letter(&self, relation: &str) -> Result<i64> {
        let sql = "SELECT coalesce(max(dead_letter_id), 0) FROM strata.dead_letters WHERE relation = $1::text::regclass";
        let row = self.client.query_one(sql, &[&relation]).await.map_err(|e| self.failed(&e))?;
        Ok(row.get(0))
    }

    /// The batches that have dead letters up to one of them, all or these ids.
    pub async fn batches_with_dead_letters(
        &self,
        relation: &str,
        last: i64,
        ids: &[i64],
    ) -> Result<Vec<i64>> {
        let sql = "SELECT DISTINCT batch_id FROM strata.dead_letters WHERE relation = $1::text::regclass AND dead_letter_id <= $2 \
                       AND (cardinality($3::bigint[]) = 0 OR dead_letter_id = ANY ($3)) ORDER BY 1";
        let rows = self.client.query(sql, &[&relation, &last, &ids]).await.map_err(|e| self.failed(&e))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Dead letters of a batch between two ids (the first excluded), in their order, each with its record.
    pub async fn letters(
        &self,
        relation: &str,
        batch_id: i64,
        (after, last): (i64, i64),
        ids: &[i64],
        limit: i64,
    ) -> Result<Vec<Letter>> {
        let sql = "SELECT d.dead_letter_id, d.stream, d.shard, d.sequence_number, d.sub_sequence, d.reason ~ '^event [0-9]+ of the record:', \
                          d.partition_key, d.arrived_at, w.payload, w.payload_bytes \
                   FROM strata.dead_letters d JOIN strata.dead_letters w USING (relation, batch_id, stream, shard, sequence_number) \
                   WHERE d.relation = $1::text::regclass AND d.batch_id = $2 AND d.dead_letter_id > $3 AND d.dead_letter_id <= $4 \
                       AND (cardinality($5::bigint[]) = 0 OR d.dead_letter_id = ANY ($5)) AND w.payload_bytes > 0 \
                   ORDER BY 1 LIMIT $6";
        let rows = self
            .client
            .query(sql, &[&relation, &batch_id, &after, &last, &ids, &limit])
            .await
            .map_err(|e| self.failed(&e))?;
        let letter = |row: &tokio_postgres::Row| {
            let bytes = usize::try_from(row.get::<_, i32>(9)).unwrap_or_default();
            let number = u32::try_from(row.get::<_, i32>(4)).unwrap_or_default();
            Ok(Letter {
                id: row.get(0),
                stream: row.get(1),
                shard: row.get(2),
                sequence_number: row.get(3),
                event: if row.get(5) { EventNumber::new(number) } else { EventNumber::WHOLE },
                partition_key: row.get(6),
                arrived_at: row.get::<_, Option<Micros>>(7).map(|at| at.0),
                record: payload::decompress(row.get(8), bytes)?,
            })
        };
        rows.iter().map(letter).collect()
    }
}

/// Whose record it is: stream, shard, sequence number.
type RecordName<'a> = (&'a str, &'a str, &'a str);

impl Writer {
    /// One transaction: the rows that the letters' records come to, and these letters gone. A record of which no row
    /// came stays as it was.
    pub async fn retry(&self, batch: &mut Batch, layout: &Layout, letters: &[Letter]) -> Result<Retried> {
        self.confirmed.store(true, Relaxed);
        let outcome = self.retry_transaction(batch, layout, letters).await;
        match &outcome {
            Ok(retried) if retried.resolved > 0 => {}
            Err(error) if error.connection_lost => {}
            _ => self.session.run("ROLLBACK").await?,
        }
        outcome
    }

    async fn retry_transaction(
        &self,
        batch: &mut Batch,
        layout: &Layout,
        letters: &[Letter],
    ) -> Result<Retried> {
        let none = Retried { letters: letters.len(), ..Retried::default() };
        let batch_id = self.begin(batch, layout).await?;
        let Some(arranged) = batch.arranged() else { return Err(Error::end("a batch is not arranged")) };
        let (places, refused) = match self.copy_rows(batch, arranged.places.clone()).await? {
            Copied::Rows(places, refused) => (places, refused),
            Copied::TooManyRefused(error) => return Err(error),
        };
        let name = |chunk: u32, record: u32| -> RecordName<'_> {
            let chunk = &batch.chunks[chunk as usize];
            let number = chunk.records[record as usize].sequence_number();
            (&chunk.lease.stream, &chunk.lease.shard, number)
        };
        let mut rows_of: HashMap<RecordName, i64> = HashMap::new();
        for place in &places {
            *rows_of.entry(name(place.0, batch.row(*place).record)).or_default() += 1;
        }
        let of_letter = |l: &Letter| {
            rows_of.get(&(l.stream.as_str(), l.shard.as_str(), l.sequence_number.as_str())).copied()
        };
        let mut counted = std::collections::HashSet::new();
        let (mut ids, mut counts) = (Vec::new(), Vec::new());
        for letter in letters {
            let Some(rows) = of_letter(letter) else { continue };
            let first = counted.insert((&letter.stream, &letter.shard, &letter.sequence_number));
            ids.push(letter.id);
            counts.push(if first { rows } else { 0 });
        }
        if ids.is_empty() {
            return Ok(none);
        }
        let mut dead: Vec<Refused> = batch.rejected().chain(self.unplaced(arranged)).chain(refused).collect();
        dead.retain(|d| rows_of.contains_key(&name(d.chunk, d.reject.record)));
        dead.sort_by_key(|d| (d.chunk, d.reject.record, d.reject.event));
        self.session.run(RELEASE).await?;
        self.add_dead_letters(batch, batch_id, &dead).await?;
        let sql = "SELECT strata._resolve_dead_letters($1::text::regclass, $2, $3, $4)";
        self.session
            .client
            .execute(sql, &[&self.relation, &batch_id, &ids, &counts])
            .await
            .map_err(|e| ours(self.session.failed(&e)).while_doing("resolving dead letters"))?;
        let roots = batch.roots(&places, layout);
        self.finish_batch(batch, batch_id, &places, &roots).await?;
        self.session.run("COMMIT").await?;
        Ok(Retried { resolved: ids.len(), rows: places.len(), ..none })
    }
}

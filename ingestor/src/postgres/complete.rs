//! What a transaction writes down of its batch after the rows: dead letters, the row of the ledger, checkpoints.
//! Never: rows, BEGIN, COMMIT.

use super::copy::RELEASE;
use super::types::Micros;
use super::write::{Writer, ours};
use crate::batch::{Advance, Batch, LeafRoot, Place, Refused, Reject};
use crate::error::Result;
use crate::payload;
use futures_util::future::join3;

/// Completes and closes a batch.
pub(super) const FINISH: &str =
    "SELECT strata._finish_batch($1::text::regclass, $2, $3, $4, $5, $6, $7, $8, $9)";
/// Moves the checkpoints of its shards.
pub(super) const ADVANCE: &str = "SELECT stream, shard \
    FROM strata._advance_checkpoints($1::text::regclass, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

/// A batch as it was stored: its id, its rows, and count and root of them in each leaf.
type Stored<'a> = (i64, &'a [Place], &'a [LeafRoot]);

impl Writer {
    /// Everything that comes between the last row and COMMIT; returns the shards that the batch does not follow on.
    pub(super) async fn complete(
        &self,
        batch: &Batch,
        (batch_id, places, roots): Stored<'_>,
        dead: &[Refused],
        advances: &[Advance],
    ) -> Result<Vec<(String, String)>> {
        self.add_dead_letters(batch, batch_id, dead).await?;
        let finish = async {
            match self.apply {
                None => self.finish_batch(batch, batch_id, places, roots).await,
                Some(_) => Ok(()),
            }
        };
        let advance = self.advance_checkpoints(batch_id, advances);
        let (released, finished, fenced) = join3(self.session.run(RELEASE), finish, advance).await;
        released?;
        finished?;
        fenced
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
        let numbers: Vec<&str> = dead.iter().map(|d| record(d).sequence_number()).collect();
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
            dead.iter().enumerate().map(|(i, d)| if first(i) { record(d).data() } else { &[] }).collect();
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
        self.session
            .client
            .execute(
                &self.finish,
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
    pub(super) async fn advance_checkpoints(
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
        let rows = self
            .session
            .client
            .query(
                &self.advance,
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

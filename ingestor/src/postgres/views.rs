//! What `status` and `dead-letters` read. Never: writes.

use super::Session;
use super::types::Micros;
use crate::error::Result;
use serde::Serialize;

/// One shard of one table.
#[derive(Debug, Serialize)]
pub struct ShardStatus {
    /// Table.
    pub relation: String,
    /// Stream's ARN.
    pub stream: String,
    /// Shard.
    pub shard: String,
    /// Last record stored.
    pub sequence_number: Option<String>,
    /// Since the last stored record arrived in the stream, in milliseconds.
    pub age_ms: Option<i64>,
    /// Read to its end.
    pub ended: bool,
    /// Who holds it.
    pub worker: Option<String>,
    /// Whether the lease is alive.
    pub leased: bool,
    /// Rows stored.
    pub rows: i64,
}

/// One table.
#[derive(Debug, Serialize)]
pub struct TableStatus {
    /// Table.
    pub relation: String,
    /// Batches in the ledger.
    pub batches: i64,
    /// Rows of these.
    pub rows: i64,
    /// Since the last batch, in milliseconds.
    pub last_batch_age_ms: Option<i64>,
    /// Dead letters.
    pub dead_letters: i64,
}

/// A table that a worker has stopped feeding.
#[derive(Debug, Serialize)]
pub struct StopStatus {
    /// Table.
    pub relation: String,
    /// Worker.
    pub worker: String,
    /// Why.
    pub reason: String,
    /// Since then, in milliseconds.
    pub age_ms: i64,
    /// Until it tries again, in milliseconds.
    pub next_try_in_ms: i64,
}

/// One rollup.
#[derive(Debug, Serialize)]
pub struct RollupStatus {
    /// Rollup.
    pub rollup: String,
    /// Its table.
    pub source: String,
    /// Batches it has not folded in.
    pub pending_batches: Option<i64>,
}

/// A dead letter; its payload compressed.
#[derive(Debug)]
pub struct DeadLetter {
    /// Id.
    pub id: i64,
    /// Table.
    pub relation: String,
    /// Shard.
    pub shard: String,
    /// Record.
    pub sequence_number: String,
    /// Event of the record, where it has several.
    pub sub_sequence: i32,
    /// Partition key.
    pub partition_key: Option<String>,
    /// When it was set aside, microseconds since 2000-01-01 UTC.
    pub created_at: i64,
    /// Why.
    pub reason: String,
    /// SQLSTATE.
    pub sqlstate: Option<String>,
    /// Column at fault.
    pub column: Option<String>,
    /// LZ4 block.
    pub payload: Vec<u8>,
    /// Original size.
    pub payload_bytes: i32,
}

const DEAD_LETTER: &str = "SELECT dead_letter_id, relation::text, shard, sequence_number, partition_key, created_at, \
                           reason, sqlstate, column_name::text, payload, payload_bytes, sub_sequence FROM strata.dead_letters";

impl Session {
    /// All shards this role may see.
    pub async fn shard_status(&self) -> Result<Vec<ShardStatus>> {
        let sql = "SELECT relation::text, stream, shard, sequence_number, \
                          (extract(epoch FROM now() - arrived_at) * 1000)::bigint, ended, worker, \
                          coalesce(expires_at > now(), false), rows::bigint \
                   FROM strata.shards ORDER BY 1, 2, 3";
        let rows = self.client.query(sql, &[]).await.map_err(|e| self.failed(&e))?;
        Ok(rows
            .iter()
            .map(|r| ShardStatus {
                relation: r.get(0),
                stream: r.get(1),
                shard: r.get(2),
                sequence_number: r.get(3),
                age_ms: r.get(4),
                ended: r.get::<_, Option<bool>>(5).unwrap_or_default(),
                worker: r.get(6),
                leased: r.get(7),
                rows: r.get::<_, Option<i64>>(8).unwrap_or_default(),
            })
            .collect())
    }

    /// All event tables this role may see.
    pub async fn table_status(&self) -> Result<Vec<TableStatus>> {
        // Of a target there is no ledger: its changes are counted with the checkpoints.
        let sql = "SELECT t.relation::text, count(b.batch_id), \
                          coalesce(sum(b.rows), (SELECT sum(s.rows) FROM strata.shards s WHERE s.relation = t.relation), 0)::bigint, \
                          (extract(epoch FROM now() - max(b.created_at)) * 1000)::bigint, \
                          (SELECT count(*) FROM strata.dead_letters d WHERE d.relation = t.relation) \
                   FROM (SELECT relation FROM strata.event_tables UNION ALL SELECT relation FROM strata.target_tables) t \
                   LEFT JOIN strata.batches b ON b.relation = t.relation \
                   GROUP BY t.relation ORDER BY 1";
        let rows = self.client.query(sql, &[]).await.map_err(|e| self.failed(&e))?;
        Ok(rows
            .iter()
            .map(|r| TableStatus {
                relation: r.get(0),
                batches: r.get(1),
                rows: r.get(2),
                last_batch_age_ms: r.get(3),
                dead_letters: r.get(4),
            })
            .collect())
    }

    /// Tables that are stopped, of those this role may see.
    pub async fn stop_status(&self) -> Result<Vec<StopStatus>> {
        let sql = "SELECT relation::text, worker, reason, (extract(epoch FROM now() - stopped_at) * 1000)::bigint, \
                          greatest((extract(epoch FROM next_try_at - now()) * 1000)::bigint, 0) \
                   FROM strata.ingest_stops ORDER BY 1, 2";
        let rows = self.client.query(sql, &[]).await.map_err(|e| self.failed(&e))?;
        Ok(rows
            .iter()
            .map(|r| StopStatus {
                relation: r.get(0),
                worker: r.get(1),
                reason: r.get(2),
                age_ms: r.get(3),
                next_try_in_ms: r.get(4),
            })
            .collect())
    }

    /// All rollups this role may see.
    pub async fn rollup_status(&self) -> Result<Vec<RollupStatus>> {
        let sql = "SELECT rollup::text, source::text, pending_batches::bigint FROM strata.rollups ORDER BY 1";
        let rows = self.client.query(sql, &[]).await.map_err(|e| self.failed(&e))?;
        Ok(rows
            .iter()
            .map(|r| RollupStatus { rollup: r.get(0), source: r.get(1), pending_batches: r.get(2) })
            .collect())
    }

    /// Deletes dead letters set aside so many days ago or earlier.
    pub async fn purge_dead_letters(&self, relation: &str, days: u32) -> Result<i64> {
        let sql = "SELECT strata.purge_dead_letters($1::text::regclass, now() - make_interval(days => $2))";
        let days = i32::try_from(days).unwrap_or(i32::MAX);
        let row = self.client.query_one(sql, &[&relation, &days]).await.map_err(|e| self.failed(&e))?;
        Ok(row.get(0))
    }

    /// The records of a reversion: stream, shard, first and last of a range.
    pub async fn reversion(&self, id: i64) -> Result<Vec<(String, String, String, String)>> {
        let sql = "SELECT stream, shard, first_sequence, last_sequence FROM strata.reversion_origins WHERE reversion_id = $1";
        let rows = self.client.query(sql, &[&id]).await.map_err(|e| self.failed(&e))?;
        Ok(rows.iter().map(|r| (r.get(0), r.get(1), r.get(2), r.get(3))).collect())
    }

    /// The newest dead letters.
    pub async fn dead_letters(&self, relation: Option<&str>, limit: i64) -> Result<Vec<DeadLetter>> {
        let sql = format!(
            "{DEAD_LETTER} WHERE ($1::text IS NULL OR relation = $1::text::regclass) ORDER BY dead_letter_id DESC LIMIT $2"
        );
        let rows = self.client.query(&sql, &[&relation, &limit]).await.map_err(|e| self.failed(&e))?;
        Ok(rows.iter().map(dead_letter).collect())
    }

    /// One dead letter; its payload is that of the record it came from, which the first of them keeps.
    pub async fn dead_letter(&self, id: i64) -> Result<Option<DeadLetter>> {
        let sql = format!("{DEAD_LETTER} WHERE dead_letter_id = $1");
        let row = self.client.query_opt(&sql, &[&id]).await.map_err(|e| self.failed(&e))?;
        let Some(mut letter) = row.as_ref().map(dead_letter) else { return Ok(None) };
        if letter.payload_bytes == 0 {
            let sql = "SELECT w.payload, w.payload_bytes FROM strata.dead_letters d JOIN strata.dead_letters w \
                           USING (relation, batch_id, stream, shard, sequence_number) \
                       WHERE d.dead_letter_id = $1 AND w.payload_bytes > 0";
            if let Some(whole) = self.client.query_opt(sql, &[&id]).await.map_err(|e| self.failed(&e))? {
                (letter.payload, letter.payload_bytes) = (whole.get(0), whole.get(1));
            }
        }
        Ok(Some(letter))
    }
}

fn dead_letter(row: &tokio_postgres::Row) -> DeadLetter {
    DeadLetter {
        id: row.get(0),
        relation: row.get(1),
        shard: row.get(2),
        sequence_number: row.get(3),
        partition_key: row.get(4),
        created_at: row.get::<_, Micros>(5).0,
        reason: row.get(6),
        sqlstate: row.get(7),
        column: row.get(8),
        payload: row.get(9),
        payload_bytes: row.get(10),
        sub_sequence: row.get(11),
    }
}

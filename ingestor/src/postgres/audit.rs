//! What a witness asks of the audit log. Never: whether to believe it.

use super::Session;
use crate::error::{Error, Result};
use strata_core::chunk::{Record, Rows};
use strata_core::digest::Checkpoint;
use strata_core::merkle::Hash;
use tokio_postgres::Row;

/// Chunks that one call of `seal_audit` takes at most.
const SEAL_MAX: i64 = 100_000;
/// Records fetched at a time.
const RECORDS: u64 = 10_000;

/// A difference that the database found between digest, log and tables.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Its class.
    pub class: String,
    /// The table concerned.
    pub relation: Option<String>,
    /// Where.
    pub place: String,
    /// What.
    pub detail: String,
}

impl Session {
    /// Seals what is committed and reads the digest, in one transaction whose commit waits until both are flushed, on
    /// the standbys that are required too: a failover never contradicts what is signed then.
    pub async fn seal_audit(&self) -> Result<Checkpoint> {
        self.run("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = on").await?;
        loop {
            let row = self
                .client
                .query_one("SELECT strata.seal_audit()", &[])
                .await
                .map_err(|e| self.failed(&e).while_doing("sealing the audit log"))?;
            if row.get::<_, i64>(0) < SEAL_MAX {
                break;
            }
        }
        let row = self
            .client
            .query_one("SELECT origin, size, root FROM strata.audit_digest()", &[])
            .await
            .map_err(|e| self.failed(&e))?;
        let digest = Checkpoint {
            origin: row.get(0),
            size: row.get::<_, i64>(1).cast_unsigned(),
            root: hash(&row, 2)?,
        };
        self.run("COMMIT").await?;
        Ok(digest)
    }

    /// The database's proof that the log only grew.
    pub async fn audit_consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>> {
        let row = self
            .client
            .query_one("SELECT strata.prove_consistency($1, $2)", &[&from.cast_signed(), &to.cast_signed()])
            .await
            .map_err(|e| self.failed(&e))?;
        let proof: Vec<Vec<u8>> = row.get(0);
        proof.into_iter().map(|hash| Hash::try_from(hash).map_err(|_| not_a_hash())).collect()
    }

    /// The leaves of the log below `size`, each made anew from the record of its chunk; fewer if they are not there.
    pub async fn audit_leaves(&self, size: u64) -> Result<Vec<Hash>> {
        let mut leaves = Vec::new();
        loop {
            let lower = leaves.len() as u64;
            let upper = size.min(lower + RECORDS);
            let rows = self
                .client
                .query(
                    "SELECT log_index, chunk_id, uuid_send(table_uuid), operation, schema, timestamptz_send(changed_at), \
                     xid::text, system_identifier, added_count, added_root, added_keys, removed_count, removed_root, \
                     removed_keys, session_role, role, application, client, context, detail \
                     FROM strata.audit_records($1, $2)",
                    &[&lower.cast_signed(), &upper.cast_signed()],
                )
                .await
                .map_err(|e| self.failed(&e))?;
            for row in &rows {
                if u64::try_from(row.get::<_, i64>(0)) != Ok(leaves.len() as u64) {
                    return Ok(leaves);
                }
                leaves.push(leaf(row)?);
            }
            if rows.is_empty() || leaves.len() as u64 >= size {
                return Ok(leaves);
            }
        }
    }

    /// What the database itself finds.
    pub async fn verify_audit(&self, digest: &str) -> Result<Vec<Fault>> {
        let rows = self
            .client
            .query(
                "SELECT fault, relation::text, place::text, detail FROM strata.verify_audit($1)",
                &[&digest],
            )
            .await
            .map_err(|e| self.failed(&e))?;
        Ok(rows
            .iter()
            .map(|row| Fault {
                class: row.get(0),
                relation: row.get(1),
                place: row.get(2),
                detail: row.get(3),
            })
            .collect())
    }
}

fn leaf(row: &Row) -> Result<Hash> {
    let fixed = |column: usize| -> &[u8] { row.get(column) };
    let texts: [Option<&str>; 6] = std::array::from_fn(|n| row.get(14 + n));
    let record = Record {
        chunk_id: row.get::<_, i64>(1).cast_unsigned(),
        table: fixed(2).try_into().map_err(|_| not_a_hash())?,
        operation: row.get(3),
        schema: row.get::<_, i32>(4).cast_unsigned(),
        changed_at: i64::from_be_bytes(fixed(5).try_into().map_err(|_| not_a_hash())?),
        xid: row.get::<_, &str>(6).parse().map_err(|_| not_a_hash())?,
        system_identifier: row.get::<_, i64>(7).cast_unsigned(),
        added: rows(row, 8)?,
        removed: rows(row, 11)?,
        texts,
    };
    Ok(record.leaf())
}

/// Count, root and key hash of rows; the last two are NULL where there are none.
fn rows(row: &Row, column: usize) -> Result<Rows> {
    let none = Rows::of(&mut []);
    let count = row.get::<_, i32>(column).cast_unsigned();
    if row.get::<_, Option<&[u8]>>(column + 1).is_none() {
        return Ok(Rows { count, ..none });
    }
    Ok(Rows { count, root: hash(row, column + 1)?, keys: hash(row, column + 2)? })
}

fn hash(row: &Row, column: usize) -> Result<Hash> {
    let bytes: Option<&[u8]> = row.get(column);
    bytes.and_then(|bytes| Hash::try_from(bytes).ok()).ok_or_else(not_a_hash)
}

fn not_a_hash() -> Error {
    Error::end("the database sent something that is no part of an audit log")
}

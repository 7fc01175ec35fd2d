//! What a witness asks of the audit log. Never: whether to believe it.

use super::Session;
use crate::error::{Error, Result};
use std::collections::HashMap;
use strata_core::commitment::Salt;
use strata_core::digest::Checkpoint;
use strata_core::merkle::Hash;
use tokio_postgres::Row;

/// Chunks that one call of `seal_audit` takes at most.
const SEAL_MAX: i64 = 100_000;
/// Class of the advisory lock of the one who seals.
const SEAL_LOCK: i64 = 0x5354_5345;
/// Leaves of a tile.
pub const TILE: u64 = 256;

/// The extent of a log, which is believed only as far as the log bears it out.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Sealed chunks.
    pub size: u64,
    /// By the tables' UUIDs, the chunks that begin baselines.
    pub baselines: HashMap<[u8; 16], Vec<u64>>,
    /// The same, chunks of state records with their details.
    pub records: HashMap<[u8; 16], Vec<(u64, String)>>,
}

/// An audited table.
#[derive(Debug, Clone)]
pub struct Audited {
    /// What stands for it in leaves.
    pub uuid: [u8; 16],
    /// r or p, or what it is instead; `None`: it is gone.
    pub kind: Option<String>,
    /// Its name, qualified and quoted.
    pub name: String,
    /// That of its history.
    pub history: Option<String>,
    /// What its leaves are made of.
    pub description: String,
    /// JSON: the columns of the history by the ids of the columns they keep.
    pub history_columns: Option<String>,
    /// Whether this role may read table and history.
    pub may_read: bool,
    /// Whether policies would hide rows from it.
    pub row_security: bool,
    /// OIDs of partitions whose rows the log has no more.
    pub expired: Vec<String>,
}

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
    ///
    /// With a reason and the last digest: the log was restored, which begins another origin.
    pub async fn seal_audit(&self, restored: Option<(&str, &Checkpoint)>) -> Result<Checkpoint> {
        self.run("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = on").await?;
        if let Some((reason, last)) = restored {
            self.client
                .query_one(
                    "SELECT strata.declare_audit_restore($1, $2, $3, $4)",
                    &[&reason, &last.origin, &last.size.cast_signed(), &last.root.as_slice()],
                )
                .await
                .map_err(|e| self.failed(&e).while_doing("declaring a restore"))?;
        }
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

    /// Asks to be the one who seals, until the session ends.
    pub async fn lead_sealing(&self) -> Result<bool> {
        let sql =
            "SELECT pg_try_advisory_lock(($1::bigint << 32) | 'strata._audit_log'::regclass::oid::bigint)";
        let row = self.client.query_one(sql, &[&SEAL_LOCK]).await.map_err(|e| self.failed(&e))?;
        Ok(row.get(0))
    }

    /// Whether this role may seal and verify.
    pub async fn is_auditor(&self) -> Result<bool> {
        let sql = "SELECT pg_has_role('strata_auditor', 'MEMBER')";
        let row = self.client.query_one(sql, &[]).await.map_err(|e| self.failed(&e))?;
        Ok(row.get(0))
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

    /// Where the log ends, and where baselines begin and state records stand, as the database says.
    pub async fn audit_extent(&self) -> Result<Extent> {
        let row = self
            .client
            .query_one("SELECT coalesce(max(log_index) + 1, 0) FROM strata.audit_chunks", &[])
            .await
            .map_err(|e| self.failed(&e))?;
        let mut extent = Extent {
            size: row.get::<_, i64>(0).cast_unsigned(),
            baselines: HashMap::new(),
            records: HashMap::new(),
        };
        let sql = "SELECT uuid_send(table_uuid), chunk_id, operation = 'state', coalesce(detail, '') \
                   FROM strata.audit_chunks WHERE operation IN ('baseline', 'state') ORDER BY chunk_id";
        for row in self.client.query(sql, &[]).await.map_err(|e| self.failed(&e))? {
            let (table, id) = (uuid(&row, 0)?, row.get::<_, i64>(1).cast_unsigned());
            if row.get(2) {
                extent.records.entry(table).or_default().push((id, row.get(3)));
            } else {
                extent.baselines.entry(table).or_default().push(id);
            }
        }
        Ok(extent)
    }

    /// Places of the log, from one to below another, whose chunk is gone: its id and table, as the database says.
    pub async fn audit_pruned(&self, from: u64, to: u64) -> Result<HashMap<u64, (u64, [u8; 16])>> {
        let sql = "SELECT log_index, chunk_id, uuid_send(table_uuid) FROM strata.audit_pruned \
                   WHERE log_index >= $1 AND log_index < $2";
        let rows = self
            .client
            .query(sql, &[&from.cast_signed(), &to.cast_signed()])
            .await
            .map_err(|e| self.failed(&e))?;
        let place = |row: &Row| {
            Ok((row.get::<_, i64>(0).cast_unsigned(), (row.get::<_, i64>(1).cast_unsigned(), uuid(row, 2)?)))
        };
        rows.iter().map(place).collect()
    }

    /// What the log is called.
    pub async fn audit_origin(&self) -> Result<Option<String>> {
        let row = self
            .client
            .query_one("SELECT origin FROM strata.audit_digest()", &[])
            .await
            .map_err(|e| self.failed(&e))?;
        Ok(row.get(0))
    }

    /// The leaves that the tree has in the tiles `from` to below `to`; fewer if some are not there.
    pub async fn audit_tiles(&self, from: u64, to: u64) -> Result<HashMap<u64, Hash>> {
        let rows = self
            .client
            .query(
                "SELECT tile_index, hashes FROM strata.audit_tiles WHERE level = 0 AND tile_index >= $1 AND tile_index < $2",
                &[&from.cast_signed(), &to.cast_signed()],
            )
            .await
            .map_err(|e| self.failed(&e))?;
        let mut leaves = HashMap::new();
        for row in &rows {
            let first = row.get::<_, i64>(0).cast_unsigned() * TILE;
            leaves.extend((first..).zip(row.get::<_, &[u8]>(1).as_chunks::<32>().0.iter().copied()));
        }
        Ok(leaves)
    }

    /// What the catalog says of the tables that are audited.
    pub async fn audit_catalog(&self) -> Result<Vec<Audited>> {
        let rows = self
            .client
            .query(
                "SELECT uuid_send(k.table_uuid), c.relkind::text, k.name, k.history, k.description, k.history_columns::text, \
                 has_table_privilege(k.relation, 'SELECT'), has_table_privilege(k.history, 'SELECT'), \
                 row_security_active(k.relation), k.expired::oid[]::text[] \
                 FROM strata.audit_catalog() k LEFT JOIN pg_catalog.pg_class c ON c.oid = k.relation",
                &[],
            )
            .await
            .map_err(|e| self.failed(&e))?;
        let granted = |row: &Row, column| row.get::<_, Option<bool>>(column) != Some(false);
        rows.iter()
            .map(|row| {
                Ok(Audited {
                    uuid: uuid(row, 0)?,
                    kind: row.get(1),
                    name: row.get(2),
                    history: row.get(3),
                    description: row.get(4),
                    history_columns: row.get(5),
                    may_read: granted(row, 6) && granted(row, 7),
                    row_security: row.get::<_, Option<bool>>(8) == Some(true),
                    expired: row.get(9),
                })
            })
            .collect()
    }

    /// The salts of an audited table, by the hashes of the keys.
    pub async fn audit_salts(&self, name: &str) -> Result<HashMap<Vec<u8>, Salt>> {
        let mut salts = HashMap::new();
        let mut rows = self
            .copy_rows(&format!("SELECT key, salt FROM strata.audit_salts('{}')", name.replace('\'', "''")))
            .await?;
        while let Some(batch) = self.next_rows(&mut rows).await? {
            for mut fields in batch.rows() {
                let (Some(Some(key)), Some(Some(salt))) = (fields.next(), fields.next()) else {
                    return Err(not_a_hash());
                };
                salts.insert(key.to_vec(), salt.try_into().map_err(|_| not_a_hash())?);
            }
        }
        Ok(salts)
    }

    /// Triggers of audited tables that are gone or do not fire always: table, partition, trigger.
    pub async fn audit_triggers(&self) -> Result<Vec<(String, String, String)>> {
        let rows = self
            .client
            .query(
                "SELECT k.name, l.oid::regclass::text, w.name FROM strata.audit_catalog() k CROSS JOIN unnest(k.leaves) l (oid) \
                 CROSS JOIN (VALUES ('strata_audit', 'strata._audit_row'), ('strata_audit_truncate', 'strata._audit_truncate')) w (name, function) \
                 LEFT JOIN pg_catalog.pg_trigger t ON t.tgrelid = l.oid AND t.tgfoid = (w.function || '()')::regprocedure \
                 WHERE t.tgenabled <> 'A' OR (t.tgenabled IS NULL AND (w.name = 'strata_audit' OR l.oid = k.relation)) ORDER BY 1, 2, 3",
                &[],
            )
            .await
            .map_err(|e| self.failed(&e))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
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

fn uuid(row: &Row, column: usize) -> Result<[u8; 16]> {
    row.get::<_, &[u8]>(column).try_into().map_err(|_| not_a_hash())
}

fn hash(row: &Row, column: usize) -> Result<Hash> {
    let bytes: Option<&[u8]> = row.get(column);
    bytes.and_then(|bytes| Hash::try_from(bytes).ok()).ok_or_else(not_a_hash)
}

fn not_a_hash() -> Error {
    Error::end("the database sent something that is no part of an audit log")
}

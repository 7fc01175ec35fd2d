//! Claiming, renewing and giving back of leases, and the checkpoints behind them. Never: who gets which shard.

use super::Session;
use crate::error::Result;
use crate::lease::{Checkpoint, Lease};
use std::sync::Arc;

/// The database's answer to a claim.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Granted.
    pub claimed: bool,
    /// Who has it otherwise.
    pub held_by: Option<String>,
    /// The fencing epoch.
    pub epoch: i64,
    /// What is stored of the shard.
    pub checkpoint: Checkpoint,
}

/// A shard as the database knows it.
#[derive(Debug, Clone)]
pub struct KnownShard {
    /// Id.
    pub shard: String,
    /// Read to its end.
    pub ended: bool,
    /// Who holds or held it.
    pub worker: Option<String>,
}

impl Session {
    /// Asks for a shard. Waits for a commit of the former holder that is under way.
    pub async fn claim_shard(
        &self,
        (relation, stream, shard): (&str, &str, &str),
        worker: &str,
        lease_ms: u32,
        initial_position: &str,
    ) -> Result<Claim> {
        let sql = "SELECT claimed, held_by, epoch, sequence_number, ended, initial_position \
                   FROM strata._claim_shard($1::text::regclass, $2, $3, $4, $5, $6)";
        let lease_ms = i32::try_from(lease_ms).unwrap_or(i32::MAX);
        let row = self
            .client
            .query_one(sql, &[&relation, &stream, &shard, &worker, &lease_ms, &initial_position])
            .await
            .map_err(|e| self.failed(&e).while_doing(format!("claiming {shard}")))?;
        let checkpoint = Checkpoint {
            sequence_number: row.get(3),
            ended: row.get::<_, Option<bool>>(4).unwrap_or_default(),
            initial_position: row.get::<_, Option<String>>(5).unwrap_or_else(|| initial_position.to_owned()),
        };
        Ok(Claim {
            claimed: row.get(0),
            held_by: row.get(1),
            epoch: row.get::<_, Option<i64>>(2).unwrap_or_default(),
            checkpoint,
        })
    }

    /// Renews leases; returns those that are lost.
    pub async fn renew_leases(
        &self,
        worker: &str,
        lease_ms: u32,
        leases: &[(Arc<Lease>, i64)],
    ) -> Result<Vec<(String, String)>> {
        let sql =
            "SELECT stream, shard FROM strata._renew_leases($1, $2, $3::text[]::regclass[], $4, $5, $6)";
        let lease_ms = i32::try_from(lease_ms).unwrap_or(i32::MAX);
        let relations: Vec<&str> = leases.iter().map(|(l, _)| l.relation.as_str()).collect();
        let streams: Vec<&str> = leases.iter().map(|(l, _)| l.stream.as_str()).collect();
        let shards: Vec<&str> = leases.iter().map(|(l, _)| l.shard.as_str()).collect();
        let epochs: Vec<i64> = leases.iter().map(|(_, epoch)| *epoch).collect();
        let rows = self
            .client
            .query(sql, &[&worker, &lease_ms, &relations, &streams, &shards, &epochs])
            .await
            .map_err(|e| self.failed(&e).while_doing("renewing leases"))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Gives back all leases of this worker.
    pub async fn release_leases(&self, worker: &str) -> Result<()> {
        let sql = "SELECT strata._release_leases($1)";
        self.client
            .query(sql, &[&worker])
            .await
            .map(drop)
            .map_err(|e| self.failed(&e).while_doing("releasing leases"))
    }

    /// The shards of a stream that the database knows for a table, and the earliest `AT:` position among them.
    pub async fn known_shards(&self, relation: &str, stream: &str) -> Result<Vec<KnownShard>> {
        let sql = "SELECT shard, ended, worker FROM strata.shards \
                   WHERE relation = $1::text::regclass AND stream = $2";
        let rows = self.client.query(sql, &[&relation, &stream]).await.map_err(|e| self.failed(&e))?;
        Ok(rows
            .iter()
            .map(|row| KnownShard {
                shard: row.get(0),
                ended: row.get::<_, Option<bool>>(1).unwrap_or_default(),
                worker: row.get(2),
            })
            .collect())
    }
}

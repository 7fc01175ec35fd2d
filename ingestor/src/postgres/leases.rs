//! Claiming, renewing and giving back of leases, and the checkpoints behind them. Never: who gets which shard.

use super::Session;
use super::types::Micros;
use crate::error::Result;
use crate::lease::{Checkpoint, Lease};
use std::sync::Arc;

/// The database's answer to a claim.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Granted.
    pub claimed: bool,
    /// The fencing epoch.
    pub epoch: i64,
    /// What is stored of the shard.
    pub checkpoint: Checkpoint,
}

/// What came of sharing shards out.
#[derive(Debug, Clone, Default)]
pub struct Share {
    /// Shards claimed now.
    pub claims: Vec<(String, i64, Checkpoint)>,
    /// How many this worker should hold.
    pub quota: usize,
    /// How many nobody holds.
    pub unclaimed: usize,
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
    /// Where its reading began.
    pub initial_position: String,
    /// The fencing epoch.
    pub epoch: i64,
    /// Last record stored.
    pub sequence_number: Option<String>,
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
        let sql = "SELECT claimed, epoch, sequence_number, ended, initial_position \
                   FROM strata._claim_shard($1::text::regclass, $2, $3, $4, $5, $6)";
        let lease_ms = i32::try_from(lease_ms).unwrap_or(i32::MAX);
        let row = self
            .client
            .query_one(sql, &[&relation, &stream, &shard, &worker, &lease_ms, &initial_position])
            .await
            .map_err(|e| self.failed(&e).while_doing(format!("claiming {shard}")))?;
        let checkpoint = Checkpoint {
            sequence_number: row.get(2),
            complete_until: None,
            ended: row.get::<_, Option<bool>>(3).unwrap_or_default(),
            initial_position: row.get::<_, Option<String>>(4).unwrap_or_else(|| initial_position.to_owned()),
        };
        Ok(Claim { claimed: row.get(0), epoch: row.get::<_, Option<i64>>(1).unwrap_or_default(), checkpoint })
    }

    /// Tells that this worker is alive, claims free shards up to its quota. `None`: somebody else has begun with the
    /// stream since it was looked at.
    pub async fn share_shards(
        &self,
        (relation, stream): (&str, &str),
        worker: &str,
        lease_ms: u32,
        (shards, positions): (&[&str], &[&str]),
        held: &[&str],
        first_look: bool,
    ) -> Result<Option<Share>> {
        let sql = "SELECT shard, epoch, sequence_number, ended, initial_position, quota, unclaimed, arrived_at \
                   FROM strata._share_shards($1::text::regclass, $2, $3, $4, $5, $6, $7, $8)";
        let lease_ms = i32::try_from(lease_ms).unwrap_or(i32::MAX);
        let rows = self
            .client
            .query(sql, &[&relation, &stream, &worker, &lease_ms, &shards, &positions, &held, &first_look])
            .await
            .map_err(|e| self.failed(&e).while_doing("sharing shards"))?;
        if rows.is_empty() {
            return Ok(None);
        }
        let count = |n: i32| usize::try_from(n).unwrap_or_default();
        let mut dealt = Share::default();
        for row in &rows {
            let Some(shard) = row.get::<_, Option<String>>(0) else {
                (dealt.quota, dealt.unclaimed) = (count(row.get(5)), count(row.get(6)));
                continue;
            };
            let checkpoint = Checkpoint {
                sequence_number: row.get(2),
                complete_until: row.get::<_, Option<Micros>>(7).map(|at| at.0),
                ended: row.get(3),
                initial_position: row.get(4),
            };
            dealt.claims.push((shard, row.get(1), checkpoint));
        }
        Ok(Some(dealt))
    }

    /// Writes down that records between two times may be lost, in a shard that is there, or `gone`.
    pub async fn record_gap(
        &self,
        (relation, stream, shard): (&str, &str, &str),
        epoch: Option<i64>,
        after: Option<&str>,
        (lower, upper): (Option<i64>, i64),
    ) -> Result<()> {
        let sql = "SELECT strata._record_gap($1::text::regclass, $2, $3, $4, $5, $6, $7, $8)";
        let (lower, upper, gone) = (lower.map(Micros), Micros(upper), epoch.is_none());
        self.client
            .query(sql, &[&relation, &stream, &shard, &epoch, &after, &lower, &upper, &gone])
            .await
            .map(drop)
            .map_err(|e| self.failed(&e).while_doing("recording a gap"))
    }

    /// Gives a shard back.
    pub async fn release_shard(&self, lease: &Lease, worker: &str) -> Result<()> {
        let sql = "SELECT strata._release_shards($1::text::regclass, $2, $3, ARRAY[$4])";
        self.client
            .query(sql, &[&lease.relation, &worker, &lease.stream, &lease.shard])
            .await
            .map(drop)
            .map_err(|e| self.failed(&e).while_doing(format!("releasing {}", lease.shard)))
    }

    /// Renews leases; returns those that are lost.
    pub async fn renew_leases(
        &self,
        worker: &str,
        lease_ms: u32,
        leases: &[(Arc<Lease>, i64)],
    ) -> Result<Vec<(String, String)>> {
        let sql =
            "SELECT stream, shard FROM strata._renew_leases($1, $2, $3::text[]::regclass[], $4, $5, $6, $7)";
        let lease_ms = i32::try_from(lease_ms).unwrap_or(i32::MAX);
        let relations: Vec<&str> = leases.iter().map(|(l, _)| l.relation.as_str()).collect();
        let streams: Vec<&str> = leases.iter().map(|(l, _)| l.stream.as_str()).collect();
        let shards: Vec<&str> = leases.iter().map(|(l, _)| l.shard.as_str()).collect();
        let tips: Vec<bool> = leases.iter().map(|(l, _)| l.is_at_tip()).collect();
        let epochs: Vec<i64> = leases.iter().map(|(_, epoch)| *epoch).collect();
        let rows = self
            .client
            .query(sql, &[&worker, &lease_ms, &relations, &streams, &shards, &epochs, &tips])
            .await
            .map_err(|e| self.failed(&e).while_doing("renewing leases"))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Gives back all leases of this worker, on one table or on all.
    pub async fn release_leases(&self, worker: &str, relation: Option<&str>) -> Result<()> {
        let sql = "SELECT strata._release_leases($1, $2::text::regclass)";
        self.client
            .query(sql, &[&worker, &relation])
            .await
            .map(drop)
            .map_err(|e| self.failed(&e).while_doing("releasing leases"))
    }

    /// Tells that this worker has stopped feeding a table, and when it tries again.
    pub async fn record_stop(&self, relation: &str, worker: &str, reason: &str, next_try: i64) -> Result<()> {
        let sql = "SELECT strata._record_stop($1::text::regclass, $2, $3, $4)";
        self.client
            .query(sql, &[&relation, &worker, &reason, &Micros(next_try)])
            .await
            .map(drop)
            .map_err(|e| self.failed(&e).while_doing("recording a stop"))
    }

    /// The shards of a stream that the database knows for a table.
    pub async fn known_shards(&self, relation: &str, stream: &str) -> Result<Vec<KnownShard>> {
        let sql = "SELECT shard, ended, worker, initial_position, epoch, sequence_number FROM strata.shards \
                   WHERE relation = $1::text::regclass AND stream = $2";
        let rows = self.client.query(sql, &[&relation, &stream]).await.map_err(|e| self.failed(&e))?;
        Ok(rows
            .iter()
            .map(|row| KnownShard {
                shard: row.get(0),
                ended: row.get::<_, Option<bool>>(1).unwrap_or_default(),
                worker: row.get(2),
                initial_position: row.get(3),
                epoch: row.get(4),
                sequence_number: row.get(5),
            })
            .collect())
    }
}

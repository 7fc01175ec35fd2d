//! Records that a stream may have dropped before they were read: the table stops, or the gap is written down.
//! Never: reading.

use super::Reading;
use crate::clock::now;
use crate::config::OnGap;
use crate::error::{Error, Result};
use crate::lease::Checkpoint;
use crate::postgres::leases::KnownShard;
use crate::stream::Shard;
use std::collections::HashMap;
use std::time::Instant;
use strata_core::time::format_timestamptz;

impl Reading {
    /// Whether reading of a shard goes on behind records that may be lost.
    pub(super) async fn mind_the_gap(
        &self,
        shard: &str,
        epoch: i64,
        checkpoint: &Checkpoint,
    ) -> Result<bool> {
        let may_be = checkpoint.sequence_number.is_some() && self.stream.retention_hours > 0;
        let Some(complete) = checkpoint.complete_until.filter(|_| may_be) else {
            return Ok(false);
        };
        let kept_from = self.kept_from();
        if complete >= kept_from {
            return Ok(false);
        }
        let after = checkpoint.sequence_number.as_deref();
        self.decide_gap(shard, Some(epoch), after, (Some(complete), kept_from)).await?;
        Ok(true)
    }

    /// Shards that are gone before they were read to their end; `false`: stopped meanwhile.
    pub(super) async fn mind_the_gone(
        &mut self,
        known: &HashMap<String, KnownShard>,
        listed: &[Shard],
        asked: Instant,
    ) -> Result<bool> {
        // Listed since the database was asked what it knows, which is nothing that was not there then.
        let fresh =
            self.stream.retention_hours > 0 && self.listed.as_ref().is_some_and(|(at, _)| *at > asked);
        let is_listed = |shard: &str| listed.iter().any(|s| s.id == shard);
        for gone in known.values().filter(|k| fresh && !k.ended && !is_listed(&k.shard)) {
            if !self.active.contains_key(&gone.shard) && !self.ending.contains_key(&gone.shard) {
                self.decide_gap(&gone.shard, None, None, (None, self.kept_from())).await?;
            }
        }
        Ok(!self.table.stop.is_stopped())
    }

    /// Records that arrived before this are gone.
    fn kept_from(&self) -> i64 {
        now() - i64::from(self.stream.retention_hours) * 3_600_000_000
    }

    /// Stops the table, or writes the gap down and goes on.
    async fn decide_gap(
        &self,
        shard: &str,
        epoch: Option<i64>,
        after: Option<&str>,
        times: (Option<i64>, i64),
    ) -> Result<()> {
        let (relation, label) = (self.table.plan.relation.as_str(), self.stream.label.as_str());
        let what = match times.0 {
            Some(complete) => format!("was read until {} only", format_timestamptz(complete)),
            None => "has expired before it was read to its end".to_owned(),
        };
        let hours = self.stream.retention_hours;
        if self.context.config.kinesis.on_gap == OnGap::Stop {
            return Err(Error::end(format!(
                "{shard} of stream {} {what}, and the stream keeps records for {hours} hours: some may be lost; set \
                 kinesis.on_gap = \"skip\" to go on and write the gap down in strata.ingest_gaps",
                self.stream.name
            )));
        }
        tracing::error!(
            stream = self.stream.name,
            shard,
            relation,
            after,
            "{shard} {what}: records may be lost; going on, the gap is written down"
        );
        let attempt = || async {
            let session = self.context.control.session().await?;
            session.record_gap((relation, label, shard), epoch, after, times).await
        };
        self.table.insist(&self.context, "recording a gap", attempt).await.map(drop)
    }
}

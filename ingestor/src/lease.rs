//! A lease on one shard for one table, as this process knows it. The database decides; this is the memory of its
//! last answer, shared by the reader, the writer and the renewal. Never: I/O.

use crate::stream::compare_sequence;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tokio::sync::watch;

/// What the database holds of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// Last record stored.
    pub sequence_number: Option<String>,
    /// Up to when nothing is missing, microseconds since 2000-01-01 UTC.
    pub complete_until: Option<i64>,
    /// The shard was read to its end.
    pub ended: bool,
    /// Where reading begins while nothing is stored: `TRIM_HORIZON` or `AT:` and a time.
    pub initial_position: String,
}

/// What is to become of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It is ours.
    Kept,
    /// It is ours, and to be given back once what was read is committed.
    Yielding,
    /// Another took it.
    Lost,
}

/// A lease taken by this process.
#[derive(Debug)]
pub struct Lease {
    /// Table it is for.
    pub relation: String,
    /// What its checkpoints are kept under: the stream's ARN.
    pub stream: String,
    /// Id of the shard.
    pub shard: String,
    epoch: AtomicI64,
    hold: watch::Sender<Hold>,
    at_tip: AtomicBool,
    committed: watch::Sender<Checkpoint>,
}

impl Lease {
    /// A lease just granted.
    pub fn new(relation: &str, stream: &str, shard: &str, epoch: i64, checkpoint: Checkpoint) -> Self {
        Self {
            relation: relation.to_owned(),
            stream: stream.to_owned(),
            shard: shard.to_owned(),
            epoch: AtomicI64::new(epoch),
            hold: watch::Sender::new(Hold::Kept),
            at_tip: AtomicBool::new(false),
            committed: watch::Sender::new(checkpoint),
        }
    }

    /// The stream itself: a replay keeps its checkpoints under the stream's name with words of its own before it.
    pub fn source(&self) -> &str {
        self.stream.rsplit(' ').next().unwrap_or(&self.stream)
    }

    /// The fencing epoch.
    pub fn epoch(&self) -> i64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Whether the tip of the shard was seen with all before it committed.
    pub fn is_at_tip(&self) -> bool {
        self.at_tip.load(Ordering::Acquire)
    }

    /// The tip was seen, or records came since; `last` is the last one handed on.
    pub fn see_tip(&self, tip: bool, last: Option<&str>) {
        let settled =
            last.is_none_or(|last| self.committed.borrow().sequence_number.as_deref() == Some(last));
        self.at_tip.store(tip && settled, Ordering::Release);
    }

    /// The lease was granted anew to this process, with nothing changed in between.
    pub fn set_epoch(&self, epoch: i64) {
        self.epoch.store(epoch, Ordering::Release);
    }

    /// Whether another took it.
    pub fn is_lost(&self) -> bool {
        self.hold() == Hold::Lost
    }

    /// What is to become of it.
    pub fn hold(&self) -> Hold {
        *self.hold.borrow()
    }

    /// Another took it.
    pub fn lose(&self) {
        self.hold.send_replace(Hold::Lost);
    }

    /// It is to be given back, in order.
    pub fn give_up(&self) {
        self.hold.send_if_modified(|hold| {
            let kept = *hold == Hold::Kept;
            if kept {
                *hold = Hold::Yielding;
            }
            kept
        });
    }

    /// Waits until it is lost or to be given back.
    pub async fn called_in(&self) -> Hold {
        let mut hold = self.hold.subscribe();
        hold.wait_for(|hold| *hold != Hold::Kept).await.map_or(Hold::Lost, |hold| *hold)
    }

    /// Waits until what was read up to a record is committed; `false` when the lease is lost before.
    pub async fn settled(&self, last: &str) -> bool {
        let (mut hold, mut committed) = (self.hold.subscribe(), self.committed.subscribe());
        let reached = |checkpoint: &Checkpoint| {
            checkpoint.sequence_number.as_deref().is_some_and(|number| compare_sequence(number, last).is_ge())
        };
        tokio::select! {
            settled = committed.wait_for(reached) => settled.is_ok(),
            _ = hold.wait_for(|hold| *hold == Hold::Lost) => false,
        }
    }

    /// What is stored, as far as known.
    pub fn committed(&self) -> Checkpoint {
        self.committed.borrow().clone()
    }

    /// More is stored.
    pub fn advance(&self, sequence_number: Option<&str>, ended: bool) {
        self.committed.send_modify(|committed| {
            if let Some(sequence_number) = sequence_number {
                committed.sequence_number = Some(sequence_number.to_owned());
            }
            committed.ended |= ended;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lease_given_up_waits_for_its_commits() {
        let lease = Lease::new("t", "s", "0", 1, Checkpoint::default());
        lease.give_up();
        assert_eq!(lease.called_in().await, Hold::Yielding);
        lease.advance(Some("9"), false);
        let wait = lease.settled("10");
        tokio::pin!(wait);
        assert!(futures_util::poll!(wait.as_mut()).is_pending());
        lease.advance(Some("10"), false);
        assert!(wait.await);
    }

    #[tokio::test]
    async fn a_lost_lease_is_not_waited_for() {
        let lease = Lease::new("t", "s", "0", 1, Checkpoint::default());
        lease.lose();
        lease.give_up();
        assert_eq!(lease.called_in().await, Hold::Lost);
        assert!(!lease.settled("10").await);
    }
}

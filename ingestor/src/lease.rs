//! A lease on one shard for one table, as this process knows it. The database decides; this is the memory of its
//! last answer, shared by the reader, the writer and the renewal. Never: I/O.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// What the database holds of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// Last record stored.
    pub sequence_number: Option<String>,
    /// The shard was read to its end.
    pub ended: bool,
    /// Where reading begins while nothing is stored: `TRIM_HORIZON` or `AT:` and a time.
    pub initial_position: String,
}

/// A lease taken by this process.
#[derive(Debug)]
pub struct Lease {
    /// Table it is for.
    pub relation: String,
    /// ARN of the stream.
    pub stream: String,
    /// Id of the shard.
    pub shard: String,
    epoch: AtomicI64,
    lost: AtomicBool,
    committed: Mutex<Checkpoint>,
}

impl Lease {
    /// A lease just granted.
    pub fn new(relation: &str, stream: &str, shard: &str, epoch: i64, checkpoint: Checkpoint) -> Self {
        Self {
            relation: relation.to_owned(),
            stream: stream.to_owned(),
            shard: shard.to_owned(),
            epoch: AtomicI64::new(epoch),
            lost: AtomicBool::new(false),
            committed: Mutex::new(checkpoint),
        }
    }

    /// The fencing epoch.
    pub fn epoch(&self) -> i64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The lease was granted anew to this process, with nothing changed in between.
    pub fn set_epoch(&self, epoch: i64) {
        self.epoch.store(epoch, Ordering::Release);
    }

    /// Whether another took it.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Another took it.
    pub fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// What is stored, as far as known.
    pub fn committed(&self) -> Checkpoint {
        self.committed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// More is stored.
    pub fn advance(&self, sequence_number: Option<&str>, ended: bool) {
        let mut committed = self.committed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(sequence_number) = sequence_number {
            committed.sequence_number = Some(sequence_number.to_owned());
        }
        committed.ended |= ended;
    }
}

//! The endpoint's notion of now, in milliseconds since 1970.
//! Every rule about time (expiry, retention, limits, arrival) asks here, so that a test moves time instead of waiting.
//! Nothing here sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock that can be moved forward; clones share one time.
#[derive(Clone, Debug)]
pub struct Clock {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The time of a clock that stands still; a running clock adds the system's time instead.
    standing_at: Option<u64>,
    advanced_ms: AtomicU64,
}

impl Clock {
    /// Follows the system's time.
    pub fn system() -> Self {
        Self::new(None)
    }

    /// Stands at `now_ms` until it is advanced.
    pub fn manual(now_ms: u64) -> Self {
        Self::new(Some(now_ms))
    }

    fn new(standing_at: Option<u64>) -> Self {
        Self { inner: Arc::new(Inner { standing_at, advanced_ms: AtomicU64::new(0) }) }
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        let base = self.inner.standing_at.unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        });
        base.saturating_add(self.inner.advanced_ms.load(Ordering::Acquire))
    }

    /// Moves time forward.
    pub fn advance_ms(&self, ms: u64) {
        self.inner.advanced_ms.fetch_add(ms, Ordering::AcqRel);
    }
}

//! Work that keeps a processor busy for milliseconds, done where nobody waits for the network or the database: their
//! answers would lie unread meanwhile, and the server stand idle. Never: waiting.

use crate::error::{Error, Result};

/// Does work on a thread for such work.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::end(format!("a part of the pipeline broke off: {e}")))
}

//! A session that is opened again when it was lost, and the loop that waits for the database as long as it takes.
//! Never: what is said over the session.

use super::{Context, Table};
use crate::error::{Error, Kind, Result};
use crate::postgres::{Database, Session};
use crate::stop::{Backoff, Stop};
use std::sync::Arc;
use tokio::sync::Mutex;

/// A session to be had at any time.
pub struct Link {
    database: Database,
    session: Mutex<Option<Arc<Session>>>,
}

impl Link {
    /// A link that is not connected yet.
    pub fn new(database: Database) -> Self {
        Self { database, session: Mutex::new(None) }
    }

    /// The session; a new one where the last is gone. Once a process has run, a refused login is waited out like
    /// any other absence of the database.
    pub async fn session(&self) -> Result<Arc<Session>> {
        let mut session = self.session.lock().await;
        if let Some(open) = session.as_ref().filter(|open| !open.is_closed()) {
            return Ok(Arc::clone(open));
        }
        *session = None;
        let opened = Arc::new(self.database.connect().await.map_err(patient)?);
        *session = Some(Arc::clone(&opened));
        Ok(opened)
    }
}

/// Makes a refused login something to wait out.
pub fn patient(error: Error) -> Error {
    if error.kind == Kind::Usage {
        Error { kind: Kind::Retry, connection_lost: true, ..error }
    } else {
        error
    }
}

impl Table {
    /// Tries until it works, waiting as long as the failure is of the kind that passes. `None`: stopped meanwhile.
    pub(crate) async fn insist<T, F, Fut>(
        &self,
        context: &Context,
        what: &str,
        mut attempt: F,
    ) -> Result<Option<T>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let mut backoff = Backoff::default();
        loop {
            match attempt().await {
                Ok(value) => {
                    if backoff.attempts() > 0 {
                        context.metrics.unblocked(&self.plan.relation, Some(what));
                    }
                    return Ok(Some(value));
                }
                Err(error) if error.kind == Kind::Retry => {
                    if !self.wait(context, &mut backoff, what, &error).await {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error.while_doing(what)),
            }
        }
    }

    /// Waits for the next attempt; `false` when asked to stop meanwhile. A table whose database fails a second time
    /// is not ready until that works.
    pub(crate) async fn wait(
        &self,
        context: &Context,
        backoff: &mut Backoff,
        what: &str,
        error: &Error,
    ) -> bool {
        if backoff.attempts() > 0 && error.is_of_database() {
            context.metrics.blocked(&self.plan.relation, what, error);
        }
        context.wait(&self.stop, backoff, what, error).await
    }
}

impl Context {
    /// Waits for the next attempt; `false` when asked to stop meanwhile.
    pub(crate) async fn wait(&self, stop: &Stop, backoff: &mut Backoff, what: &str, error: &Error) -> bool {
        self.metrics.retry(error);
        let throttled = error.retry_kind() == "kinesis_throttled";
        let delay = if throttled { backoff.next_slower() } else { backoff.next() };
        if backoff.attempts() > 2 {
            tracing::warn!(error = %error, attempt = backoff.attempts(), "{what} failed, trying again");
        } else {
            tracing::debug!(error = %error, "{what} failed, trying again");
        }
        stop.sleep(delay).await
    }
}

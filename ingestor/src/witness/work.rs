//! Work on several cores, its results in the order in which it was given.

use crate::error::{Error, Result};
use std::collections::VecDeque;
use tokio::task::JoinHandle;

/// Pieces of work under way.
pub struct Folding<T> {
    under_way: VecDeque<JoinHandle<Result<T>>>,
    most: usize,
}

impl<T: Send + 'static> Folding<T> {
    /// None yet.
    pub fn new() -> Self {
        let most = std::thread::available_parallelism().map_or(1, usize::from) + 1;
        Self { under_way: VecDeque::new(), most }
    }

    /// Begins a piece; waits for the first one under way if there are enough.
    pub async fn push(&mut self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<Option<T>> {
        self.under_way.push_back(tokio::task::spawn_blocking(work));
        if self.under_way.len() > self.most { self.next().await } else { Ok(None) }
    }

    /// The result of the first piece under way; `None` if there is none.
    pub async fn next(&mut self) -> Result<Option<T>> {
        let Some(first) = self.under_way.pop_front() else { return Ok(None) };
        first.await.map_err(|e| Error::end(format!("a thread ended: {e}")))?.map(Some)
    }
}

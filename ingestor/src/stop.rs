//! The request to stop, as an argument: from a signal, from a test, from a part that failed. Also the delays of
//! retries. Never: what stopping means for a part.

use std::time::Duration;
use tokio::sync::watch;

/// Whoever holds this can ask for the end.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<bool>);

/// Whoever holds this hears of it.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// A new pair.
pub fn pair() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Asks for the end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether the end was asked for.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is.
    pub async fn stopped(&self) {
        let mut receiver = self.0.clone();
        // An error means that nobody is left who could ask: the process is ending.
        let _ = receiver.wait_for(|stopped| *stopped).await;
    }

    /// Waits a while; `false` when the end was asked for meanwhile.
    pub async fn sleep(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.stopped() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}

/// Growing, jittered delays between attempts.
#[derive(Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

/// The first delay, before jitter.
const BACKOFF_FIRST_MS: u64 = 100;
/// The longest.
const BACKOFF_LAST_MS: u64 = 10_000;

impl Backoff {
    /// The next delay.
    pub fn next(&mut self) -> Duration {
        let whole = BACKOFF_FIRST_MS.saturating_mul(1 << self.attempts.min(16)).min(BACKOFF_LAST_MS);
        self.attempts += 1;
        Duration::from_millis(fastrand::u64(whole / 2..=whole))
    }

    /// Attempts so far.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_bound() {
        let mut backoff = Backoff::default();
        let delays: Vec<_> = (0..40).map(|_| backoff.next()).collect();
        assert!(delays[0] <= Duration::from_millis(BACKOFF_FIRST_MS));
        assert!(delays.iter().all(|d| *d <= Duration::from_millis(BACKOFF_LAST_MS)));
        assert!(delays[30] >= Duration::from_millis(BACKOFF_LAST_MS / 2));
        backoff.reset();
        assert_eq!(backoff.attempts(), 0);
    }

    #[tokio::test]
    async fn stopping_ends_a_sleep() {
        let (stopper, stop) = pair();
        assert!(stop.sleep(Duration::ZERO).await);
        stopper.stop();
        assert!(stop.is_stopped());
        assert!(!stop.sleep(Duration::from_hours(1)).await);
    }
}

//! The request to stop, as an argument: from a signal, from a test, from a part that failed. Also the delays of
//! retries. Never: what stopping means for a part.

use std::time::Duration;
use tokio::sync::watch;

/// Whoever holds this can ask for the end.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<bool>);

/// Whoever holds this hears of it.
#[derive(Debug, Clone)]
pub struct Stop {
    own: watch::Receiver<bool>,
    /// What ends this too.
    whole: Option<watch::Receiver<bool>>,
}

/// A new pair.
pub fn pair() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop { own: receiver, whole: None })
}

impl Stopper {
    /// Asks for the end.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// A pair for a part of the process: it ends by itself, or with the whole.
    pub fn part(&self) -> (Stopper, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Stop { own: receiver, whole: Some(self.own.clone()) })
    }

    /// Whether the end was asked for.
    pub fn is_stopped(&self) -> bool {
        *self.own.borrow() || self.whole.as_ref().is_some_and(|whole| *whole.borrow())
    }

    /// Waits until it is.
    pub async fn stopped(&self) {
        // An error means that nobody is left who could ask: the process is ending.
        let heard = async |receiver: &watch::Receiver<bool>| {
            let _ = receiver.clone().wait_for(|stopped| *stopped).await;
        };
        match &self.whole {
            None => heard(&self.own).await,
            Some(whole) => tokio::select! {
                () = heard(&self.own) => {}
                () = heard(whole) => {}
            },
        }
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
/// How long a throttled call counts.
const THROTTLED_MS: u64 = 1_000;
/// The longest.
const BACKOFF_LAST_MS: u64 = 10_000;

impl Backoff {
    /// The next delay.
    pub fn next(&mut self) -> Duration {
        let whole = BACKOFF_FIRST_MS.saturating_mul(1 << self.attempts.min(16)).min(BACKOFF_LAST_MS);
        self.attempts += 1;
        Duration::from_millis(fastrand::u64(whole / 2..=whole))
    }

    /// The next delay after being told to be slower: what was too much counts for a second.
    pub fn next_slower(&mut self) -> Duration {
        self.next().max(Duration::from_millis(fastrand::u64(THROTTLED_MS / 2..=THROTTLED_MS)))
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
    async fn a_part_ends_alone_or_with_the_whole() {
        let (stopper, whole) = pair();
        let (first_stopper, first) = whole.part();
        let (_second_stopper, second) = whole.part();
        first_stopper.stop();
        first.stopped().await;
        assert!(first.is_stopped() && !second.is_stopped() && !whole.is_stopped());
        stopper.stop();
        second.stopped().await;
        assert!(second.is_stopped());
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

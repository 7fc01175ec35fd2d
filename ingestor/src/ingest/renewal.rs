//! Keeps this process's leases alive and learns which are lost. Never: claims.

use super::Context;
use super::link::Link;
use crate::error::{Error, Result};
use crate::lease::Lease;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The leases this process has.
#[derive(Default)]
pub struct Leases {
    alive: Mutex<Vec<Weak<Lease>>>,
    /// The highest epoch this process claimed each shard with, by table, stream and shard: what is not above it was
    /// taken by nobody else.
    claimed: Mutex<HashMap<(String, String, String), i64>>,
}

impl Leases {
    /// Takes one in; it leaves when nobody uses it any more.
    pub fn add(&self, lease: &Arc<Lease>) {
        self.claimed(lease, lease.epoch());
        lock(&self.alive).push(Arc::downgrade(lease));
    }

    /// This process claimed the shard of a lease.
    pub fn claimed(&self, lease: &Lease, epoch: i64) {
        let mut claimed = lock(&self.claimed);
        let highest = claimed.entry(key(lease)).or_default();
        *highest = epoch.max(*highest);
    }

    /// Whether this process did not claim a shard with an epoch as high as this.
    fn is_foreign(&self, lease: &Lease, epoch: i64) -> bool {
        lock(&self.claimed).get(&key(lease)).is_none_or(|ours| epoch > *ours)
    }

    /// Those alive, with the epochs they have now.
    fn alive(&self) -> Vec<(Arc<Lease>, i64)> {
        let mut leases = lock(&self.alive);
        leases.retain(|lease| lease.strong_count() > 0);
        let alive = leases.iter().filter_map(Weak::upgrade).filter(|lease| !lease.is_lost());
        alive.map(|lease| (Arc::clone(&lease), lease.epoch())).collect()
    }
}

fn key(lease: &Lease) -> (String, String, String) {
    (lease.relation.clone(), lease.stream.clone(), lease.shard.clone())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Renews for ever, three times in the life of a lease.
pub async fn run(context: Arc<Context>) -> Result<()> {
    let link = Link::new(context.database.clone());
    let lease_ms = context.config.lease.duration_ms;
    let mut interval = tokio::time::interval(context.config.lease_duration() / 3);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        // A claim under way replaces epochs; a renewal between would take the old one for lost.
        let _epochs = context.epochs.lock().await;
        let leases = context.leases.alive();
        if leases.is_empty() {
            continue;
        }
        let renewed = match link.session().await {
            Ok(session) => session.renew_leases(&context.worker, lease_ms, &leases).await,
            Err(error) => Err(error),
        };
        match renewed {
            Ok(lost) => {
                for (stream, shard) in lost {
                    lose(&context, &link, &leases, &stream, &shard).await?;
                }
            }
            // Nothing is lost yet: an expired lease that nobody took is renewed the next time.
            Err(error) => tracing::warn!(error = %error, "leases were not renewed"),
        }
    }
}

async fn lose(
    context: &Context,
    link: &Link,
    leases: &[(Arc<Lease>, i64)],
    stream: &str,
    shard: &str,
) -> Result<()> {
    for (lease, _) in leases.iter().filter(|(l, _)| l.stream == stream && l.shard == shard) {
        lease.lose();
        let known = match link.session().await {
            Ok(session) => session.known_shards(&lease.relation, stream).await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        // A database that lost commits in a crash knows an older epoch of ours, or this process has claimed the shard
        // anew since; only an epoch above all of ours was taken from us.
        let now = known.into_iter().find(|k| k.shard == shard);
        let newer = now.as_ref().is_some_and(|k| context.leases.is_foreign(lease, k.epoch));
        let holder = now.and_then(|k| k.worker);
        if newer && holder.as_deref() == Some(context.worker.as_str()) {
            return Err(Error::end(format!(
                "another process took shard {shard} under the worker name \"{}\"; give each process a name of its own",
                context.worker
            )));
        }
        context.metrics.leases.add(&["lost"], 1);
        tracing::warn!(stream, shard, holder, "lost a lease");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::Checkpoint;

    #[test]
    fn what_this_process_claimed_anew_was_taken_by_nobody() {
        let lease = |epoch| Arc::new(Lease::new("t", "s", "0", epoch, Checkpoint::default()));
        let (leases, old) = (Leases::default(), lease(4));
        leases.add(&old);
        assert!(leases.is_foreign(&old, 5));
        leases.add(&lease(6));
        leases.claimed(&old, 7);
        leases.add(&lease(2));
        assert!(!leases.is_foreign(&old, 5) && !leases.is_foreign(&old, 7));
        assert!(leases.is_foreign(&old, 8), "somebody else");
    }
}

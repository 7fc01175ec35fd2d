//! Keeps this process's leases alive and learns which are lost. Never: claims.

use super::Context;
use super::link::Link;
use crate::error::{Error, Result};
use crate::lease::Lease;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The leases this process has.
#[derive(Default)]
pub struct Leases(Mutex<Vec<Weak<Lease>>>);

impl Leases {
    /// Takes one in; it leaves when nobody uses it any more.
    pub fn add(&self, lease: &Arc<Lease>) {
        self.lock().push(Arc::downgrade(lease));
    }

    /// Those alive, with the epochs they have now.
    fn alive(&self) -> Vec<(Arc<Lease>, i64)> {
        let mut leases = self.lock();
        leases.retain(|lease| lease.strong_count() > 0);
        let alive = leases.iter().filter_map(Weak::upgrade).filter(|lease| !lease.is_lost());
        alive.map(|lease| (Arc::clone(&lease), lease.epoch())).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Lease>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    for (lease, epoch) in leases.iter().filter(|(l, _)| l.stream == stream && l.shard == shard) {
        lease.lose();
        let known = match link.session().await {
            Ok(session) => session.known_shards(&lease.relation, stream).await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        // A database that lost commits in a crash knows an older epoch of ours; only a newer one was taken from us.
        let now = known.into_iter().find(|k| k.shard == shard);
        let newer = now.as_ref().is_some_and(|k| k.epoch > *epoch);
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

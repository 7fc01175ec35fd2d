//! What the end-to-end tests share: a throw-away PostgreSQL, the endpoint, the sidecar, events, and the promises
//! written as queries. Everything is started as a user would start it: the built programs, HTTP, SQL.
//! Never: internals of the parts under test, sleeps that a result depends on.

pub mod cluster;
pub mod disk;
pub mod endpoint;
pub mod events;
pub mod http;
pub mod process;
pub mod promises;
pub mod proxy;
pub mod sidecar;

pub use cluster::Cluster;
pub use disk::Disk;
pub use endpoint::{Acknowledged, Endpoint};
pub use events::Event;
pub use sidecar::Sidecar;

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long anything here may take before it counts as never; generous, since machines are shared.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// The tree's root.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A program of the release build.
///
/// # Errors
/// When it has not been built.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    // The test itself lies in <target>/release/deps.
    let test = std::env::current_exe()?;
    let built = test.parent().and_then(|deps| deps.parent()).map(|release| release.join(name));
    built.filter(|path| path.exists()).ok_or_else(|| anyhow::anyhow!("{name} is not built: make build"))
}

/// Looks until there is a value, or gives up after `PATIENCE` saying what never came.
///
/// # Errors
/// When looking fails or takes too long.
pub async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(value) = look().await? {
            return Ok(value);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    anyhow::bail!("waited {} s in vain for {what}", PATIENCE.as_secs())
}

/// A random generator whose seed is printed; `STRATA_TEST_SEED` repeats a run.
#[must_use]
pub fn random(test: &str) -> fastrand::Rng {
    let given = std::env::var("STRATA_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("{test}: STRATA_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

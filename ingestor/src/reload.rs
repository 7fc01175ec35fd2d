//! SIGHUP: the configuration is read again, and what may change in a running process is handed on. What may not is named.
//! A configuration that is not valid changes nothing. Never: what a part does with its new settings.

use crate::config::{Config, Overrides, load};
use crate::error::{Error, Result};
use crate::logs;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// Where a configuration comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Its file.
    pub file: Option<PathBuf>,
    /// What the command line says.
    pub overrides: Overrides,
}

/// Reads again at every SIGHUP, for ever.
pub async fn run(origin: Origin, configs: watch::Sender<Arc<Config>>) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |e| Error::end(format!("signals cannot be received: {e}"));
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    while hangup.recv().await.is_some() {
        let read = load(origin.file.as_deref(), std::env::vars(), &origin.overrides);
        match read.and_then(|new| logs::set_level(&new.log).map(|()| new)) {
            Ok(new) => {
                let fixed = fixed(&configs.borrow(), &new);
                tracing::info!("the configuration was read again");
                if !fixed.is_empty() {
                    tracing::warn!(sections = fixed.join(", "), "these settings take a restart to change");
                }
                configs.send_replace(Arc::new(new));
            }
            Err(error) => {
                tracing::error!(error = %error, "the configuration was not read again; the old one holds");
            }
        }
    }
    Ok(())
}

/// Sections that differ and cannot change: all but the level of logs and the settings of feeds that are there.
fn fixed(old: &Config, new: &Config) -> Vec<&'static str> {
    let mut fixed = Vec::new();
    let mut compare = |name, old: String, new: String| {
        if old != new {
            fixed.push(name);
        }
    };
    compare("worker", old.worker.clone(), new.worker.clone());
    compare("postgres", format!("{:?}", old.postgres), format!("{:?}", new.postgres));
    compare("kinesis", format!("{:?}", old.kinesis), format!("{:?}", new.kinesis));
    compare("lease", format!("{:?}", old.lease), format!("{:?}", new.lease));
    compare("batch", format!("{:?}", old.batch), format!("{:?}", new.batch));
    compare("retry", format!("{:?}", old.retry), format!("{:?}", new.retry));
    compare("refresh", format!("{:?}", old.refresh), format!("{:?}", new.refresh));
    compare("maintain", format!("{:?}", old.maintain), format!("{:?}", new.maintain));
    compare("audit", format!("{:?}", old.audit), format!("{:?}", new.audit));
    compare("http", format!("{:?}", old.http), format!("{:?}", new.http));
    compare("shutdown", format!("{:?}", old.shutdown), format!("{:?}", new.shutdown));
    compare("log.format", old.log.format.clone(), new.log.format.clone());
    let feeds = |config: &Config| {
        let mut names: Vec<_> = config.feeds.iter().map(|f| (f.stream.clone(), f.relation.clone())).collect();
        names.sort();
        format!("{names:?}")
    };
    compare("which feeds there are", feeds(old), feeds(new));
    fixed
}

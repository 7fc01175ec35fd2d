//! `strata ingest` and `strata run`: the parts of the pipeline started, watched and brought to their end.
//!
//! shard readers → chunks → batcher → batch and its partitions → writer, with bounds between all of them: when the
//! database is slow or away, reading stops. Never: SQL, calls to AWS, parsing.

mod aside;
mod batcher;
mod family;
mod halt;
mod link;
mod reader;
mod renewal;
mod replan;
mod setup;
mod shards;
mod table;
mod upkeep;
mod writer;

use setup::setup;
pub use setup::{FeedSetup, TableSetup, setup_tables};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::http;
use crate::metrics::{self, Metrics};
use crate::postgres::Database;
use crate::replay::Replay;
use crate::source::Sources;
use crate::stop::{Stop, Stopper};
use crate::witness::Witness;
use link::Link;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use table::Table;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

/// What a run is to do besides carrying.
#[derive(Debug, Clone)]
pub struct Options {
    /// End when every shard was read to its tip and all of it is committed.
    pub until_caught_up: bool,
    /// Make partitions ahead.
    pub maintain: bool,
    /// Carry these records again, and no other.
    pub replay: Option<Arc<Replay>>,
}

/// What all parts share.
pub(crate) struct Context {
    config: Config,
    options: Options,
    worker: String,
    sources: Sources,
    database: Database,
    /// Session for claims and shard lists.
    control: Link,
    leases: renewal::Leases,
    /// Held while leases are renewed or claimed anew, so that a renewal never sees an epoch that is being replaced.
    epochs: Mutex<()>,
    /// When each shard may be polled next, whichever tables it feeds: the bound is the shard's.
    polls: std::sync::Mutex<HashMap<(String, String), tokio::time::Instant>>,
    /// When the next record may be read, where there is a bound on their rate.
    paced_until: Mutex<tokio::time::Instant>,
    metrics: Arc<Metrics>,
    stop: Stop,
}

/// Carries until stopped, or until caught up.
///
/// What `configs` brings is taken over as far as it may change while the process runs.
pub async fn ingest(
    config: Config,
    mut options: Options,
    configs: watch::Receiver<Arc<Config>>,
    stopper: Stopper,
    stop: Stop,
) -> Result<()> {
    let started = Instant::now();
    let metrics = Arc::new(Metrics::default());
    let _server = http::start(&config.http, &metrics, Database::new(&config)?, &stop).await?;
    let witness = if options.maintain { Box::pin(Witness::configured(&config)).await? } else { None };
    let setup = setup(&config, options.replay.as_deref(), &stop).await?;
    let Some(setup) = setup else { return Ok(()) };
    // What is finite ends.
    options.until_caught_up |= setup.sources.all_end();
    let files = setup.sources.files.clone();
    metrics.follow(move || files.progress());
    metrics.started(setup.tables.len());
    let context = Arc::new(Context {
        worker: config.worker(),
        sources: setup.sources,
        control: Link::new(setup.database.clone()),
        database: setup.database,
        leases: renewal::Leases::default(),
        epochs: Mutex::new(()),
        polls: std::sync::Mutex::default(),
        paced_until: Mutex::new(tokio::time::Instant::now()),
        metrics: Arc::clone(&metrics),
        stop: stop.clone(),
        options,
        config,
    });
    tracing::info!(worker = context.worker, tables = setup.tables.len(), "started");

    let mut tables: JoinSet<(String, Result<()>)> = JoinSet::new();
    let mut helpers: JoinSet<Result<()>> = JoinSet::new();
    for setup in setup.tables {
        let (context, configs) = (Arc::clone(&context), configs.clone());
        tables.spawn(async move {
            let relation = setup.plan.relation.clone();
            (relation, replan::run(context, setup, configs).await)
        });
    }
    helpers.spawn(renewal::run(Arc::clone(&context)));
    if let Some(witness) = witness {
        let context = Arc::clone(&context);
        helpers.spawn(async move {
            let settings = context.config.audit.clone();
            witness.run(&context.database, settings, &context.metrics, &context.stop).await;
            Ok(())
        });
    }
    let reporter = tokio::spawn({
        let context = Arc::clone(&context);
        let interval = Duration::from_millis(context.config.log.progress_interval_ms);
        async move { metrics::report(&context.metrics, interval).await }
    });

    let outcome = oversee(&context, &stopper, &mut tables, &mut helpers).await;
    tables.shutdown().await;
    helpers.shutdown().await;
    reporter.abort();
    finish(&context).await;
    metrics::summary(&context.metrics, started.elapsed());
    outcome
}

/// Waits until all tables have ended. One that fails ends alone; what fails for all ends all, which still drain.
/// Draining is bounded.
async fn oversee(
    context: &Context,
    stopper: &Stopper,
    tables: &mut JoinSet<(String, Result<()>)>,
    helpers: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let mut outcome = Ok(());
    let deadline = async {
        context.stop.stopped().await;
        tracing::info!("stopping: committing what was read");
        tokio::time::sleep(Duration::from_millis(context.config.shutdown.timeout_ms)).await;
    };
    tokio::pin!(deadline);
    let broken = |e: tokio::task::JoinError| Error::end(format!("a part of the pipeline broke off: {e}"));
    loop {
        let error = tokio::select! {
            ended = tables.join_next() => match ended {
                None => return outcome,
                Some(Ok((_, Ok(())))) => continue,
                Some(Ok((relation, Err(error)))) => {
                    // One that rested when the end was asked for has told why already.
                    if !context.metrics.is_stopped(&relation) {
                        tracing::error!(error = %error, code = error.code, relation, "stopped by an error; the other tables go on");
                        context.metrics.table_stopped(&relation, None);
                    }
                    error
                }
                Some(Err(e)) => {
                    stopper.stop();
                    broken(e)
                }
            },
            Some(ended) = helpers.join_next() => match ended.unwrap_or_else(|e| Err(broken(e))) {
                Ok(()) => continue,
                Err(error) => {
                    tracing::error!(error = %error, code = error.code, "stopped by an error");
                    stopper.stop();
                    error
                }
            },
            () = &mut deadline => {
                let message = "what was read could not be committed in time; it is read again at the next start";
                return outcome.and_then(|()| Err(Error::end(message)));
            }
        };
        if outcome.is_ok() {
            outcome = Err(error);
        }
    }
}

/// Leases given back. A failure here loses nothing.
async fn finish(context: &Context) {
    let timeout = Duration::from_millis(context.config.shutdown.timeout_ms);
    let work = async { context.control.session().await?.release_leases(&context.worker, None).await };
    match tokio::time::timeout(timeout, work).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = %error, "leases were not released and will expire"),
        Err(_) => tracing::warn!("leases were not released and will expire"),
    }
}

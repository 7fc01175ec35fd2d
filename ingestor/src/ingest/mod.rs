//! `strata ingest` and `strata run`: the parts of the pipeline started, watched and brought to their end.
//!
//! shard readers → chunks → batcher → batch and its partitions → writer, with bounds between all of them: when the
//! database is slow or away, reading stops. Never: SQL, calls to AWS, parsing.

mod batcher;
mod link;
mod reader;
mod renewal;
mod setup;
mod shards;
mod upkeep;
mod writer;

use setup::setup;
pub use setup::{TableSetup, setup_tables};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::http;
use crate::kinesis::Kinesis;
use crate::metrics::{self, Metrics};
use crate::postgres::Database;
use crate::stop::{Stop, Stopper};
use link::Link;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// What a run is to do besides carrying.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// End when every shard was read to its tip and all of it is committed.
    pub until_caught_up: bool,
    /// Make partitions ahead.
    pub maintain: bool,
}

/// What all parts share.
pub(crate) struct Context {
    config: Config,
    options: Options,
    worker: String,
    kinesis: Kinesis,
    database: Database,
    /// Session for claims and shard lists.
    control: Link,
    leases: renewal::Leases,
    /// Held while leases are renewed or claimed anew, so that a renewal never sees an epoch that is being replaced.
    epochs: Mutex<()>,
    fetches: Semaphore,
    metrics: Arc<Metrics>,
    stop: Stop,
}

/// What the parts of one table share.
pub(crate) struct Table {
    plan: Arc<crate::decode::plan::TablePlan>,
    /// Rows committed since the rollups were refreshed.
    unrefreshed: std::sync::atomic::AtomicU64,
    /// Enough rows for a refresh.
    refresh_due: Notify,
    /// Counts shards whose end is committed.
    shard_ended: watch::Sender<u64>,
}

/// Carries until stopped, or until caught up.
pub async fn ingest(config: Config, options: Options, stopper: Stopper, stop: Stop) -> Result<()> {
    let started = Instant::now();
    let metrics = Arc::new(Metrics::default());
    let _server = http::start(&config.http, &metrics, Database::new(&config)?, &stop).await?;
    let setup = setup(&config, &stop).await?;
    let Some(setup) = setup else { return Ok(()) };
    metrics.started();
    let context = Arc::new(Context {
        worker: config.worker(),
        kinesis: setup.kinesis,
        control: Link::new(setup.database.clone()),
        database: setup.database,
        leases: renewal::Leases::default(),
        epochs: Mutex::new(()),
        fetches: Semaphore::new(config.kinesis.fetches),
        metrics: Arc::clone(&metrics),
        stop: stop.clone(),
        options,
        config,
    });
    tracing::info!(worker = context.worker, tables = setup.tables.len(), "started");

    let mut carriers: JoinSet<Result<()>> = JoinSet::new();
    let mut helpers: JoinSet<Result<()>> = JoinSet::new();
    let mut tables = Vec::new();
    for table in setup.tables {
        tables.push(start_table(&context, table, &mut carriers, &mut helpers));
    }
    helpers.spawn(renewal::run(Arc::clone(&context)));
    let reporter = tokio::spawn({
        let context = Arc::clone(&context);
        let interval = Duration::from_millis(context.config.log.progress_interval_ms);
        async move { metrics::report(&context.metrics, interval).await }
    });

    let outcome = oversee(&context, &stopper, &mut carriers, &mut helpers).await;
    carriers.shutdown().await;
    helpers.shutdown().await;
    reporter.abort();
    finish(&context, &tables).await;
    metrics::summary(&context.metrics, started.elapsed());
    outcome
}

fn start_table(
    context: &Arc<Context>,
    setup: TableSetup,
    carriers: &mut JoinSet<Result<()>>,
    helpers: &mut JoinSet<Result<()>>,
) -> Arc<Table> {
    let table = Arc::new(Table {
        plan: Arc::clone(&setup.plan),
        unrefreshed: 0.into(),
        refresh_due: Notify::new(),
        shard_ended: watch::Sender::new(0),
    });
    let (chunks, received) = mpsc::channel(1);
    let (batches, to_write) = mpsc::channel(1);
    context.metrics.watch(&table.plan.relation, "chunks", &chunks);
    context.metrics.watch(&table.plan.relation, "batches", &batches);
    carriers.spawn(batcher::run(Arc::clone(context), Arc::clone(&table), received, batches));
    carriers.spawn(writer::run(Arc::clone(context), Arc::clone(&table), to_write));
    for feed in setup.feeds {
        carriers.spawn(shards::run(Arc::clone(context), Arc::clone(&table), feed, chunks.clone()));
    }
    helpers.spawn(upkeep::refresh(Arc::clone(context), Arc::clone(&table)));
    if context.options.maintain && !table.plan.is_keyed() {
        helpers.spawn(upkeep::maintain(Arc::clone(context), Arc::clone(&table)));
    }
    table
}

/// Waits until all that carries has ended. The first failure stops the rest, which still drains; draining is bounded.
async fn oversee(
    context: &Context,
    stopper: &Stopper,
    carriers: &mut JoinSet<Result<()>>,
    helpers: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let mut outcome = Ok(());
    let timeout = Duration::from_millis(context.config.shutdown.timeout_ms);
    let deadline = async {
        context.stop.stopped().await;
        tracing::info!("stopping: committing what was read");
        tokio::time::sleep(timeout).await;
    };
    tokio::pin!(deadline);
    loop {
        let ended = tokio::select! {
            ended = carriers.join_next() => match ended {
                None => return outcome,
                Some(ended) => ended,
            },
            Some(ended) = helpers.join_next() => ended,
            () = &mut deadline => {
                let message = "what was read could not be committed in time; it is read again at the next start";
                return outcome.and_then(|()| Err(Error::end(message)));
            }
        };
        let ended =
            ended.unwrap_or_else(|e| Err(Error::end(format!("a part of the pipeline broke off: {e}"))));
        if let Err(error) = ended {
            tracing::error!(error = %error, code = error.code, "stopped by an error");
            if outcome.is_ok() {
                outcome = Err(error);
            }
            stopper.stop();
        }
    }
}

/// Rollups a last time, leases given back. Failures here lose nothing.
async fn finish(context: &Context, tables: &[Arc<Table>]) {
    let timeout = Duration::from_millis(context.config.shutdown.timeout_ms);
    let work = async {
        for table in tables {
            if table.unrefreshed.load(Relaxed) > 0 && context.config.refresh.interval_ms > 0 {
                upkeep::refresh_once(context, table, &context.control).await;
            }
        }
        context.control.session().await?.release_leases(&context.worker).await
    };
    match tokio::time::timeout(timeout, work).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = %error, "leases were not released and will expire"),
        Err(_) => tracing::warn!("leases were not released and will expire"),
    }
}

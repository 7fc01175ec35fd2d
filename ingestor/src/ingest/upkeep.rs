//! What keeps a fed table in order while it is fed, on connections of its own: rollups refreshed, partitions made
//! ahead and let go of. A failure here is logged and tried again; carrying goes on. Never: events.

use super::link::Link;
use super::{Context, Table};
use crate::error::Result;
use crate::maintain;
use crate::metrics::Metrics;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Rollups are refreshed at least this often, whoever changed their table.
const REFRESH_AT_LEAST: Duration = Duration::from_mins(1);

/// Refreshes the rollups of one table, by time and by rows.
pub async fn refresh(context: Arc<Context>, table: Arc<Table>) -> Result<()> {
    let interval = context.config.refresh.interval_ms;
    if interval == 0 {
        return Ok(());
    }
    let link = Link::new(context.database.clone());
    let mut last = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(interval)) => {}
            () = table.refresh_due.notified() => {}
        }
        if table.unrefreshed.load(Relaxed) > 0 || last.elapsed() > REFRESH_AT_LEAST {
            refresh_once(&context, &table, &link).await;
            last = Instant::now();
        }
    }
}

/// Refreshes them now.
pub async fn refresh_once(context: &Context, table: &Table, link: &Link) {
    let rows = table.unrefreshed.swap(0, Relaxed);
    let work = async {
        let session = link.session().await?;
        for rollup in session.rollups_of(&table.plan.relation).await? {
            let started = Instant::now();
            let batches = session.refresh_rollup(&rollup).await?;
            Metrics::add(&context.metrics.refreshed, usize::try_from(batches).unwrap_or_default());
            tracing::debug!(rollup, batches, ms = started.elapsed().as_secs_f64() * 1e3, "refreshed");
        }
        Ok::<(), crate::error::Error>(())
    };
    if let Err(error) = work.await {
        table.unrefreshed.fetch_add(rows, Relaxed);
        tracing::warn!(error = %error, relation = table.plan.relation, "rollups were not refreshed");
    }
}

/// Maintains one table, now and on an interval. Another process that is at it does it for us.
pub async fn maintain(context: Arc<Context>, table: Arc<Table>) -> Result<()> {
    let link = Link::new(context.database.clone());
    let relation = table.plan.relation.as_str();
    let settings = &context.config.maintain;
    loop {
        let round = async {
            let session = link.session().await?;
            maintain::maintain(&context.database, &session, relation, settings, false).await
        };
        match round.await {
            Ok(outcome) => outcome.log(),
            Err(error) => tracing::warn!(error = %error, relation, "the table was not maintained"),
        }
        tokio::time::sleep(Duration::from_millis(settings.interval_ms)).await;
    }
}

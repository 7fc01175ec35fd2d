//! A table that is not what it was planned for any more, whose feeds are configured anew, or that was stopped: planned
//! again, and carried on with from its checkpoints. Never: what one run of a table consists of.

use super::halt::Halts;
use super::setup::{FeedSetup, TableSetup, plan_table};
use super::{Context, table};
use crate::config::{Config, Feed};
use crate::decode::plan::{CatalogTable, TablePlan};
use crate::error::{Kind, Result};
use crate::stop::Backoff;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// Carries into one table, planning it anew whenever that is called for, and trying again where it was stopped.
pub(crate) async fn run(
    context: Arc<Context>,
    setup: TableSetup,
    configs: watch::Receiver<Arc<Config>>,
) -> Result<()> {
    let mut configs = configs;
    let (mut feeds, streams) = (setup.configs.clone(), setup.feeds.clone());
    let mut before = Arc::clone(&setup.plan);
    let mut planned = Some(setup);
    let mut halts = Halts::default();
    let mut began = Instant::now();
    loop {
        let outcome = match planned.take() {
            Some(setup) => {
                feeds.clone_from(&setup.configs);
                before = Arc::clone(&setup.plan);
                began = Instant::now();
                let changed = feeds_changed(&mut configs, &feeds);
                table::run(Arc::clone(&context), setup, changed).await
            }
            None => match insist(&context, &before, &feeds, &streams).await {
                Ok(None) => return Ok(()),
                Ok(again) => {
                    planned = again;
                    continue;
                }
                Err(error) => Err(error),
            },
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(error) if error.kind == Kind::Replan => {
                tracing::warn!(
                    relation = before.relation,
                    reason = error.message,
                    "the table is planned anew"
                );
            }
            Err(error) => halts.rest(&context, &before.relation, error, began, &mut configs).await?,
        }
        if context.stop.is_stopped() {
            return Ok(());
        }
        if let Some(new) = configured(&configs.borrow_and_update(), &feeds) {
            feeds = new;
        }
    }
}

/// Plans until it works or cannot; `None`: stopped meanwhile.
async fn insist(
    context: &Context,
    before: &TablePlan,
    feeds: &[Feed],
    streams: &[FeedSetup],
) -> Result<Option<TableSetup>> {
    let mut backoff = Backoff::default();
    loop {
        let planned = async {
            let session = context.control.session().await?;
            let (catalog, accepted) = session.table(&before.relation).await?;
            let feeds = spared(&catalog, before, feeds);
            let streams: Vec<_> = streams.iter().map(|feed| feed.stream.clone()).collect();
            plan_table(catalog, accepted, &feeds.iter().collect::<Vec<_>>(), &streams)
        };
        match planned.await {
            Ok(setup) => return Ok(Some(setup)),
            Err(error) if error.kind == Kind::Retry => {
                if !context.wait(&context.stop, &mut backoff, "planning a table anew", &error).await {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error.while_doing("the table was altered, and cannot be fed any more")),
        }
    }
}

/// Feeds that leave columns alone which came after the plan, refuse NULL and have a default: no event can have a value
/// for them yet. Those that the configuration names are another matter.
fn spared(catalog: &CatalogTable, before: &TablePlan, feeds: &[Feed]) -> Vec<Feed> {
    let known = |name: &str| before.columns.iter().any(|column| column.name == name);
    let new = catalog.columns.iter().filter(|c| c.not_null && c.has_default && !known(&c.name));
    let new: Vec<&String> = new.map(|column| &column.name).collect();
    let spare = |feed: &Feed| {
        let mut feed = feed.clone();
        for name in new.iter().filter(|name| !feed.columns.contains_key(**name)) {
            if !feed.skip_columns.contains(name) {
                tracing::warn!(
                    relation = before.relation,
                    column = name,
                    "a new column is left to its default"
                );
                feed.skip_columns.push((*name).clone());
            }
        }
        // What is gone can be skipped no more.
        feed.skip_columns.retain(|name| catalog.columns.iter().any(|column| column.name == *name));
        feed
    };
    feeds.iter().map(spare).collect()
}

/// The feeds as a new configuration has them; `None`: as they were, or not comparable.
fn configured(config: &Config, feeds: &[Feed]) -> Option<Vec<Feed>> {
    let of =
        |old: &Feed| config.feeds.iter().find(|f| (&f.stream, &f.relation) == (&old.stream, &old.relation));
    let new: Vec<Feed> = feeds.iter().map(of).collect::<Option<Vec<_>>>()?.into_iter().cloned().collect();
    (format!("{new:?}") != format!("{feeds:?}")).then_some(new)
}

/// Waits until a new configuration has other settings for these feeds.
fn feeds_changed(
    configs: &mut watch::Receiver<Arc<Config>>,
    feeds: &[Feed],
) -> impl Future<Output = ()> + use<> {
    let (mut configs, feeds) = (configs.clone(), feeds.to_vec());
    async move {
        while configs.changed().await.is_ok() {
            if configured(&configs.borrow_and_update(), &feeds).is_some() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

//! Everything that can be found wrong before anything starts: connections, streams, tables, columns. Shared by
//! `ingest`, `check` and `try`. Never: starting anything, writing anything.

use crate::config::{Config, Feed, Start};
use crate::decode::mapping::Mapping;
use crate::decode::plan::{CatalogTable, TablePlan, plan};
use crate::error::{Error, Kind, Result};
use crate::postgres::{Database, Session};
use crate::replay::Replay;
use crate::source::Sources;
use crate::stop::{Backoff, Stop};
use crate::stream::Stream;
use std::sync::Arc;

/// A feed whose stream exists.
#[derive(Debug, Clone)]
pub struct FeedSetup {
    /// Its stream; `None` where streams were not asked for.
    pub stream: Option<Stream>,
    /// Its stream as configured, by name or ARN.
    pub configured: String,
    /// The consumer with enhanced fan-out; empty: records are polled.
    pub consumer: String,
    /// Where reading begins at the first start.
    pub start: Start,
    /// Where its columns lie.
    pub mapping: Arc<Mapping>,
}

/// A table and its feeds.
#[derive(Debug)]
pub struct TableSetup {
    /// As the catalog tells it.
    pub catalog: CatalogTable,
    /// What is written.
    pub plan: Arc<TablePlan>,
    /// Accepted event times now.
    pub accepted: (i64, i64),
    /// Its feeds as configured.
    pub configs: Vec<Feed>,
    /// What feeds it.
    pub feeds: Vec<FeedSetup>,
}

/// All that was found.
pub struct Setup {
    /// Where records come from.
    pub sources: Sources,
    /// Database.
    pub database: Database,
    /// Tables.
    pub tables: Vec<TableSetup>,
}

/// Finds streams and tables; waits for endpoints that are not there yet. `None`: stopped meanwhile.
pub async fn setup(config: &Config, replay: Option<&Replay>, stop: &Stop) -> Result<Option<Setup>> {
    let mut backoff = Backoff::default();
    loop {
        let error = match attempt(config, replay).await {
            Ok(setup) => return Ok(Some(setup)),
            Err(error) if error.kind != Kind::Retry => return Err(error),
            Err(error) => error,
        };
        tracing::warn!(error = %error, "cannot start yet, trying again");
        if !stop.sleep(backoff.next()).await {
            return Ok(None);
        }
    }
}

async fn attempt(config: &Config, replay: Option<&Replay>) -> Result<Setup> {
    let database = Database::new(config)?;
    let feeds = config.feeds()?;
    let sources = Sources::new(config).await?;
    let mut streams = Vec::new();
    for feed in feeds {
        let mut stream = sources.of(&feed.stream)?.describe(&feed.stream).await?;
        if let Some(replay) = replay {
            stream.label = format!("{} {}", replay.label, stream.arn);
        }
        streams.push(Some(stream));
    }
    let session = database.connect().await?;
    let tables = setup_tables(&session, feeds, &streams).await?;
    Ok(Setup { sources, database, tables })
}

/// Plans the tables of some feeds, each table once.
pub async fn setup_tables(
    session: &Session,
    feeds: &[Feed],
    streams: &[Option<Stream>],
) -> Result<Vec<TableSetup>> {
    let mut found: Vec<(CatalogTable, (i64, i64), Vec<usize>)> = Vec::new();
    for (i, feed) in feeds.iter().enumerate() {
        let (catalog, accepted) = session.table(&feed.relation).await?;
        match found.iter_mut().find(|(known, ..)| known.relation == catalog.relation) {
            None => found.push((catalog, accepted, vec![i])),
            Some((known, _, members)) => {
                if members.iter().any(|m| streams[*m].is_some() && streams[*m] == streams[i]) {
                    return Err(Error::usage(format!(
                        "stream \"{}\" feeds table {} twice",
                        feed.stream, known.relation
                    )));
                }
                members.push(i);
            }
        }
    }
    let plan = |(catalog, accepted, members): (CatalogTable, (i64, i64), Vec<usize>)| {
        let of_table: Vec<&Feed> = members.iter().map(|m| &feeds[*m]).collect();
        let of_streams: Vec<Option<Stream>> = members.iter().map(|m| streams[*m].clone()).collect();
        plan_table(catalog, accepted, &of_table, &of_streams)
    };
    found.into_iter().map(plan).collect()
}

/// Plans one table for its feeds.
pub fn plan_table(
    catalog: CatalogTable,
    accepted: (i64, i64),
    feeds: &[&Feed],
    streams: &[Option<Stream>],
) -> Result<TableSetup> {
    let (plan, mappings) = plan(&catalog, feeds)?;
    let configs = feeds.iter().map(|feed| (*feed).clone()).collect();
    let mut table = TableSetup { catalog, plan: Arc::new(plan), accepted, configs, feeds: Vec::new() };
    for ((feed, stream), mapping) in feeds.iter().zip(streams).zip(mappings) {
        table.feeds.push(FeedSetup {
            stream: stream.clone(),
            configured: feed.stream.clone(),
            consumer: feed.consumer.clone(),
            start: feed.start()?,
            mapping: Arc::new(mapping),
        });
    }
    Ok(table)
}

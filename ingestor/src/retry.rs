//! `strata dead-letters retry`: what could not become rows is tried again, through the mapping as it is now. What
//! becomes rows leaves the dead letters in the same transaction. Never: streams.

use crate::batch::{Batch, Chunk, EventNumber};
use crate::config::Config;
use crate::decode::{Bounds, Decoder};
use crate::error::{Error, Kind, Result};
use crate::ingest::{FeedSetup, TableSetup, setup_tables};
use crate::lease::{Checkpoint, Lease};
use crate::postgres::retry::{Letter, Retried};
use crate::postgres::write::Writer;
use crate::postgres::{Database, Session};
use crate::print;
use crate::stop::Backoff;
use crate::stream::Record;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Letters of one transaction.
const LETTERS: i64 = 2_000;
/// Attempts of one transaction that waiting may mend.
const ATTEMPTS: u32 = 20;

/// Tries the dead letters of all feeds' tables, or one of them, or some ids.
pub async fn run(config: &Config, ids: &[i64]) -> Result<()> {
    // No stream is needed to try a record again.
    let mut config = config.clone();
    config.feeds.iter_mut().filter(|f| f.stream.is_empty()).for_each(|f| f.stream.push('-'));
    let feeds = config.feeds()?;
    let database = Database::new(&config)?;
    let session = database.connect().await?;
    for table in setup_tables(&session, feeds, &vec![None; feeds.len()]).await? {
        if table.plan.is_keyed() {
            print(&format!(
                "{}: not tried, since later changes of the same keys may be in already; replay the stream instead\n",
                table.plan.relation
            ))?;
            continue;
        }
        let writer =
            Writer::new(database.connect().await?, &table.plan, config.batch.refused_rows_max).await?;
        let retried = table_letters(&config, &session, &writer, &table, ids).await?;
        print(&format!(
            "{}: {} dead letters tried, {} became {} rows\n",
            table.plan.relation, retried.letters, retried.resolved, retried.rows
        ))?;
    }
    Ok(())
}

async fn table_letters(
    config: &Config,
    session: &Session,
    writer: &Writer,
    table: &TableSetup,
    ids: &[i64],
) -> Result<Retried> {
    let relation = table.plan.relation.as_str();
    let last = session.last_dead_letter(relation).await?;
    let mut total = Retried::default();
    // One batch's letters at a time: what comes of them can then be reverted with it.
    for batch_id in session.batches_with_dead_letters(relation, last, ids).await? {
        let mut after = 0;
        loop {
            let letters = session.letters(relation, batch_id, (after, last), ids, LETTERS).await?;
            let Some(end) = letters.last().map(|letter| letter.id) else { break };
            after = end;
            let mut backoff = Backoff::default();
            let retried = loop {
                match attempt(config, session, writer, table, &letters).await {
                    Err(error)
                        if error.kind == Kind::Retry
                            && !error.connection_lost
                            && backoff.attempts() < ATTEMPTS =>
                    {
                        tokio::time::sleep(backoff.next()).await;
                    }
                    other => break other?,
                }
            };
            total.letters += retried.letters;
            total.resolved += retried.resolved;
            total.rows += retried.rows;
        }
    }
    Ok(total)
}

async fn attempt(
    config: &Config,
    session: &Session,
    writer: &Writer,
    table: &TableSetup,
    letters: &[Letter],
) -> Result<Retried> {
    let mut batch = decode(config, table, letters)?;
    let layout = session.prepare_batch(&table.plan.relation, batch.range()).await?;
    writer.retry(&mut batch, &layout, letters).await
}

/// The letters' records, decoded anew, without those of their events that are rows already.
fn decode(config: &Config, table: &TableSetup, letters: &[Letter]) -> Result<Batch> {
    let mut by_shard: BTreeMap<(&str, &str), Vec<&Letter>> = BTreeMap::new();
    for letter in letters {
        by_shard.entry((&letter.stream, &letter.shard)).or_default().push(letter);
    }
    let mut batch = Batch::default();
    for ((stream, shard), letters) in by_shard {
        let feed = feed_of(table, stream)?;
        let name = stream.rsplit('/').next().unwrap_or(stream);
        let mut reader =
            Decoder::new(Arc::clone(&table.plan), Arc::clone(&feed.mapping), Bounds::of(&config.batch))
                .of_shard(name, shard);
        let (mut records, mut wanted) = (Vec::new(), Vec::new());
        let mut places: HashMap<&str, usize> = HashMap::new();
        for letter in letters {
            let at = *places.entry(&letter.sequence_number).or_insert_with(|| {
                let key = letter.partition_key.as_deref().unwrap_or_default();
                records.push(Record::new(&letter.record, &letter.sequence_number, key, letter.arrived_at));
                wanted.push(Some(HashSet::new()));
                records.len() - 1
            });
            // A letter of the whole record wants all its events.
            match (&mut wanted[at], letter.event) {
                (some, EventNumber::WHOLE) => *some = None,
                (Some(events), event) => drop(events.insert(event.number())),
                (None, _) => {}
            }
        }
        let lease = Arc::new(Lease::new(&table.plan.relation, stream, shard, 0, Checkpoint::default()));
        while !records.is_empty() {
            let decoded = reader.decode(&records);
            let rest = records.split_off(decoded.records);
            let rest_wanted = wanted.split_off(decoded.records);
            let is_wanted = |record: u32, event: EventNumber| {
                wanted[record as usize].as_ref().is_none_or(|events| events.contains(&event.number()))
            };
            let mut chunk = Chunk {
                lease: Arc::clone(&lease),
                records,
                bytes: decoded.bytes.into(),
                rows: decoded.rows,
                rejects: decoded.rejects,
                keys: decoded.keys,
                ended: false,
                trace: tracing::Span::none(),
            };
            chunk.rows.retain(|row| is_wanted(row.record, row.event));
            chunk.rejects.retain(|reject| is_wanted(reject.record, reject.event));
            batch.push(chunk);
            (records, wanted) = (rest, rest_wanted);
        }
    }
    Ok(batch)
}

/// The feed that a stream's records came by: the only one, or the one that names it.
fn feed_of<'a>(table: &'a TableSetup, stream: &str) -> Result<&'a FeedSetup> {
    let name = stream.rsplit('/').next().unwrap_or(stream);
    let named = table.feeds.iter().find(|feed| feed.configured == stream || feed.configured == name);
    match (named, table.feeds.as_slice()) {
        (Some(feed), _) => Ok(feed),
        (None, [only]) => Ok(only),
        _ => Err(Error::usage(format!(
            "{} has dead letters of stream \"{name}\", and no feed of that name",
            table.plan.relation
        ))),
    }
}

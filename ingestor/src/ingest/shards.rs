//! Which shards of a stream to read, from where, and when: parents before children, what is new found by listing,
//! what another worker has left alone until its lease ends. Never: records.

use super::reader::{Reader, Why};
use super::setup::FeedSetup;
use super::{Context, Table};
use crate::batch::Chunk;
use crate::config::Start;
use crate::decode::{Bounds, Decoder};
use crate::error::{Error, Result};
use crate::lease::Lease;
use crate::postgres::leases::KnownShard;
use crate::stream::{Listing, Position, Shard, Stream};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use strata_core::time::{format_timestamptz, parse_timestamptz};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What a persisted position begins with when it is a time.
const AT: &str = "AT:";
/// The other persisted position.
const TRIM_HORIZON: &str = "TRIM_HORIZON";
/// Seconds from 1970 to 2000.
const EPOCH_2000: i64 = 946_684_800;

/// Where reading of the whole stream began, or begins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// All shards there are.
    TrimHorizon,
    /// These shards at a time, and what comes of them.
    At(i64, HashSet<String>),
}

/// A shard to claim, and the position it begins at when it is new.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    shard: String,
    position: String,
}

/// Reads one feed until stopped or caught up.
pub async fn run(
    context: Arc<Context>,
    table: Arc<Table>,
    feed: FeedSetup,
    chunks: mpsc::Sender<Chunk>,
) -> Result<()> {
    let Some(stream) = feed.stream.clone() else { return Ok(()) };
    let mut reading = Reading {
        context: Arc::clone(&context),
        table: Arc::clone(&table),
        stream: Arc::new(stream),
        feed,
        chunks,
        origin: None,
        readers: JoinSet::new(),
        active: HashSet::new(),
        ending: HashSet::new(),
        caught_up: HashSet::new(),
        lost: false,
    };
    let interval =
        Duration::from_millis(context.config.kinesis.list_interval_ms).min(context.config.lease_duration());
    let mut shard_ended = table.shard_ended.subscribe();
    let mut look = true;
    while !context.stop.is_stopped() && !reading.chunks.is_closed() {
        if look {
            reading.lost = false;
            let Some(left) = reading.start_wanted().await? else { break };
            if context.options.until_caught_up
                && left == 0
                && reading.active.is_empty()
                && reading.ending.is_empty()
            {
                return Ok(());
            }
        }
        look = tokio::select! {
            () = context.stop.stopped() => break,
            Some(ended) = reading.readers.join_next() => reading.reader_ended(ended)?,
            Ok(()) = shard_ended.changed() => true,
            () = tokio::time::sleep(if reading.lost { interval.min(AFTER_LOSS) } else { interval }) => true,
        };
    }
    while let Some(ended) = reading.readers.join_next().await {
        reading.reader_ended(ended)?;
    }
    Ok(())
}

struct Reading {
    context: Arc<Context>,
    table: Arc<Table>,
    stream: Arc<Stream>,
    feed: FeedSetup,
    chunks: mpsc::Sender<Chunk>,
    origin: Option<Origin>,
    readers: JoinSet<(String, Result<Why>)>,
    /// Being read.
    active: HashSet<String>,
    /// Read to the end, which is not committed yet.
    ending: HashSet<String>,
    /// Read to the tip, which was to be the end.
    caught_up: HashSet<String>,
    /// A shard was lost since the last look.
    lost: bool,
}

/// How soon shards are looked at again after one was lost.
const AFTER_LOSS: Duration = Duration::from_millis(500);

impl Reading {
    /// Whether it is time to look for shards again.
    fn reader_ended(&mut self, ended: Result<(String, Result<Why>), tokio::task::JoinError>) -> Result<bool> {
        let (shard, why) = ended.map_err(|e| Error::end(format!("a reader broke off: {e}")))?;
        self.active.remove(&shard);
        let why = why?;
        tracing::info!(stream = self.stream.name, shard, relation = self.table.plan.relation, why = ?why, "reader ended");
        self.lost |= why == Why::Lost;
        match why {
            Why::Ended => drop(self.ending.insert(shard)),
            Why::CaughtUp => drop(self.caught_up.insert(shard)),
            Why::Lost | Why::Stopped => {}
        }
        // A lost shard is looked at again soon: it may be another's, then the claim is refused, or the database may have
        // lost commits, then it is ours still.
        Ok(why != Why::Lost && self.context.options.until_caught_up)
    }

    /// Starts readers for every shard whose time has come; returns how many must still come. `None`: stopped.
    async fn start_wanted(&mut self) -> Result<Option<usize>> {
        let context = Arc::clone(&self.context);
        let (relation, arn) = (self.table.plan.relation.clone(), self.stream.arn.clone());
        let listed = context
            .insist("listing shards", || context.kinesis.list_shards(&self.stream, Listing::All))
            .await?;
        let known = context
            .insist("reading checkpoints", || async {
                context.control.session().await?.known_shards(&relation, &arn).await
            })
            .await?;
        let (Some(listed), Some(known)) = (listed, known) else { return Ok(None) };
        let mut known: HashMap<String, KnownShard> =
            known.into_iter().map(|k| (k.shard.clone(), k)).collect();
        self.ending.retain(|shard| !known.get(shard).is_some_and(|k| k.ended));

        let mut elsewhere = 0;
        // First those the database knows: they also tell where the stream's reading began.
        let begun: Vec<Wanted> = known
            .values()
            .filter(|k| !k.ended && listed.iter().any(|s| s.id == k.shard))
            .map(|k| Wanted { shard: k.shard.clone(), position: TRIM_HORIZON.to_owned() })
            .collect();
        for wanted in begun {
            let Some(ours) = self.claim(&wanted).await? else { return Ok(None) };
            elsewhere += usize::from(!ours);
        }
        if self.origin.is_none() {
            let Some(origin) = self.find_origin(known.is_empty()).await? else { return Ok(None) };
            self.origin = Some(origin);
        }
        let Some(origin) = self.origin.clone() else { return Ok(None) };
        let (ready, waiting) = plan(&listed, &known, &origin);
        for wanted in ready {
            known.remove(&wanted.shard);
            let Some(ours) = self.claim(&wanted).await? else { return Ok(None) };
            elsewhere += usize::from(!ours);
        }
        tracing::debug!(
            stream = self.stream.name,
            waiting,
            elsewhere,
            active = self.active.len(),
            "looked at shards"
        );
        Ok(Some(waiting))
    }

    /// Where reading began, as persisted, or where it begins now.
    async fn find_origin(&self, first_start: bool) -> Result<Option<Origin>> {
        let context = &self.context;
        let persisted = context.leases.positions(&self.table.plan.relation, &self.stream.arn);
        let persisted =
            persisted.iter().find_map(|position| parse_timestamptz(position.strip_prefix(AT)?).ok());
        let (at, listing) = match (persisted, self.feed.start) {
            (Some(at), _) | (None, Start::At(at)) => {
                (at, if at > now() { Listing::Open } else { Listing::OpenAt(at) })
            }
            (None, Start::TrimHorizon) => return Ok(Some(Origin::TrimHorizon)),
            (None, Start::Latest) if first_start => (now(), Listing::Open),
            // Begun before at a time that all shards read since have left behind: only what came of them.
            (None, Start::Latest) => return Ok(Some(Origin::At(0, HashSet::new()))),
        };
        let open =
            context.insist("listing shards", || context.kinesis.list_shards(&self.stream, listing)).await?;
        Ok(open.map(|open| Origin::At(at, open.into_iter().map(|s| s.id).collect())))
    }

    /// Claims a shard and starts its reader, unless that is done; `false` when another worker has it. `None`: stopped.
    async fn claim(&mut self, wanted: &Wanted) -> Result<Option<bool>> {
        let shard = wanted.shard.as_str();
        if self.active.contains(shard) || self.ending.contains(shard) || self.caught_up.contains(shard) {
            return Ok(Some(true));
        }
        let context = &self.context;
        let (relation, arn) = (self.table.plan.relation.as_str(), self.stream.arn.as_str());
        let claim = context
            .insist("claiming a shard", || async {
                let session = context.control.session().await?;
                let lease_ms = context.config.lease.duration_ms;
                session.claim_shard((relation, arn, shard), &context.worker, lease_ms, &wanted.position).await
            })
            .await?;
        let Some(claim) = claim else { return Ok(None) };
        if !claim.claimed {
            tracing::debug!(
                stream = self.stream.name,
                shard,
                holder = claim.held_by,
                "held by another worker"
            );
            return Ok(Some(false));
        }
        let position = match &claim.checkpoint.sequence_number {
            Some(number) => Position::After(number.clone()),
            None => match claim.checkpoint.initial_position.strip_prefix(AT) {
                None => Position::TrimHorizon,
                Some(at) => Position::At(parse_timestamptz(at).map_err(|e| {
                    Error::end(format!(
                        "the checkpoint of {shard} begins at \"{at}\", which is no time ({e})"
                    ))
                })?),
            },
        };
        let lease = Arc::new(Lease::new(relation, arn, shard, claim.epoch, claim.checkpoint));
        context.leases.add(&lease);
        context.metrics.leases.add(&["claimed"], 1);
        tracing::info!(stream = self.stream.name, shard, relation, from = ?position, "reading");
        let bounds = Bounds::of(&context.config.batch);
        let reader = Reader {
            context: Arc::clone(context),
            stream: Arc::clone(&self.stream),
            lease,
            decoder: Decoder::new(Arc::clone(&self.table.plan), Arc::clone(&self.feed.mapping), bounds)
                .of_shard(&self.stream.name, shard),
            chunks: self.chunks.clone(),
            position,
        };
        self.active.insert(shard.to_owned());
        let shard = shard.to_owned();
        self.readers.spawn(async move { (shard, reader.run().await) });
        Ok(Some(true))
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX) - EPOCH_2000 * 1_000_000
}

/// The shards the database does not know that may be read now, and how many must wait for their parents.
fn plan(listed: &[Shard], known: &HashMap<String, KnownShard>, origin: &Origin) -> (Vec<Wanted>, usize) {
    let ids: HashSet<&str> = listed.iter().map(|s| s.id.as_str()).collect();
    // What is ever to be read: the roots, what is known, and all that came of them.
    let mut to_read: HashSet<&str> = match origin {
        Origin::TrimHorizon => ids.clone(),
        Origin::At(_, roots) => ids.iter().copied().filter(|id| roots.contains(*id)).collect(),
    };
    to_read.extend(known.keys().map(String::as_str));
    loop {
        let before = to_read.len();
        let come = listed.iter().filter(|s| s.parents.iter().any(|p| to_read.contains(p.as_str())));
        to_read.extend(come.map(|s| s.id.as_str()).collect::<Vec<_>>());
        if to_read.len() == before {
            break;
        }
    }
    let mut ready = Vec::new();
    let mut waiting = 0;
    for shard in listed.iter().filter(|s| to_read.contains(s.id.as_str()) && !known.contains_key(&s.id)) {
        let mut parents = shard.parents.iter().filter(|p| to_read.contains(p.as_str()));
        let (has_parents, unfinished) = (
            parents.clone().next().is_some(),
            parents.any(|p| ids.contains(p.as_str()) && !known.get(p).is_some_and(|k| k.ended)),
        );
        if unfinished {
            waiting += 1;
            continue;
        }
        let position = match origin {
            Origin::At(at, _) if !has_parents => format!("{AT}{}", format_timestamptz(*at)),
            _ => TRIM_HORIZON.to_owned(),
        };
        ready.push(Wanted { shard: shard.id.clone(), position });
    }
    (ready, waiting)
}

#[cfg(test)]
#[path = "shards_tests.rs"]
mod tests;

//! Which shards of a stream this process reads for a table: its share of them, as the database deals it out, each from
//! where its checkpoint says. What is new is found by listing, and by what other workers make known. Never: records.

mod gaps;
mod listing;

use super::family::{AT, Origin, Wanted, begun, plan, time_of};
use super::reader::{Reader, Why};
use super::setup::FeedSetup;
use super::table::Lane;
use super::{Context, Table};
use crate::decode::{Bounds, Decoder};
use crate::error::{Error, Kind, Result};
use crate::lease::{Checkpoint, Hold, Lease};
use crate::postgres::Session;
use crate::postgres::leases::{KnownShard, Share};
use crate::stop::Backoff;
use crate::stream::{Position, Shard, Stream, compare_sequence};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How soon a worker looks again that lost a shard, or holds fewer than its share.
const SOON: Duration = Duration::from_millis(500);

/// What every look ends with.
const SHARING: &str = "sharing shards";

/// Reads one feed until stopped or caught up.
pub async fn run(
    context: Arc<Context>,
    table: Arc<Table>,
    feed: FeedSetup,
    lanes: Arc<[Lane]>,
) -> Result<()> {
    let Some(stream) = feed.stream.clone() else { return Ok(()) };
    let consumer = match feed.consumer.as_str() {
        "" => None,
        name => {
            let kinesis = context.sources.kinesis()?;
            let attempt = || kinesis.consumer(&stream, name);
            let Some(arn) = table.insist(&context, "finding the consumer", attempt).await? else {
                return Ok(());
            };
            Some(Arc::from(arn))
        }
    };
    let mut reading = Reading {
        consumer,
        context: Arc::clone(&context),
        table: Arc::clone(&table),
        stream: Arc::new(stream),
        feed,
        lanes,
        listed: None,
        origin: None,
        readers: JoinSet::new(),
        active: HashMap::new(),
        ending: HashMap::new(),
        caught_up: HashMap::new(),
        soon: false,
        backoff: Backoff::default(),
    };
    let interval = Duration::from_millis(context.config.lease.balance_interval_ms)
        .min(context.config.lease_duration() / 3);
    let mut shard_ended = table.shard_ended.subscribe();
    let mut look = true;
    while !table.stop.is_stopped() && !reading.lanes.iter().any(|lane| lane.chunks.is_closed()) {
        if look {
            reading.soon = false;
            let Some(left) = reading.look().await? else { break };
            let idle = reading.active.is_empty() && reading.ending.is_empty();
            if context.options.until_caught_up && left == 0 && idle {
                return Ok(());
            }
        }
        look = tokio::select! {
            () = table.stop.stopped() => break,
            Some(ended) = reading.readers.join_next() => reading.reader_ended(ended)?,
            Ok(()) = shard_ended.changed() => {
                reading.listed = None;
                true
            }
            () = tokio::time::sleep(if reading.soon { interval.min(SOON) } else { interval }) => true,
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
    lanes: Arc<[Lane]>,
    /// ARN of the consumer with enhanced fan-out, where the feed names one.
    consumer: Option<Arc<str>>,
    /// The shards as last listed, and when.
    listed: Option<(Instant, Vec<Shard>)>,
    origin: Option<Origin>,
    readers: JoinSet<(String, Result<Why>)>,
    /// Being read.
    active: HashMap<String, Arc<Lease>>,
    /// Read to the end, which is not committed yet.
    ending: HashMap<String, Arc<Lease>>,
    /// Read to the tip, which was to be the end.
    caught_up: HashMap<String, Arc<Lease>>,
    /// There is reason to look again soon.
    soon: bool,
    /// Of failures to share shards out.
    backoff: Backoff,
}

impl Reading {
    /// Whether it is time to look for shards again.
    fn reader_ended(&mut self, ended: Result<(String, Result<Why>), tokio::task::JoinError>) -> Result<bool> {
        let (shard, why) = ended.map_err(|e| Error::end(format!("a reader broke off: {e}")))?;
        let lease = self.active.remove(&shard);
        let why = why?;
        tracing::info!(stream = self.stream.name, shard, relation = self.table.plan.relation, why = ?why, "reader ended");
        self.soon |= why == Why::Lost;
        match (why, lease) {
            (Why::Ended, Some(lease)) => drop(self.ending.insert(shard, lease)),
            (Why::CaughtUp, Some(lease)) => drop(self.caught_up.insert(shard, lease)),
            _ => {}
        }
        // A lost shard is looked at again soon: it may be another's, then the claim is refused, or the database may have
        // lost commits, then it is ours still.
        Ok(why != Why::Lost && self.context.options.until_caught_up)
    }

    /// Takes this worker's share of the shards whose time has come, gives up what is over it; returns how many shards
    /// must still come. `None`: stopped.
    async fn look(&mut self) -> Result<Option<usize>> {
        let context = Arc::clone(&self.context);
        let (relation, arn) = (self.table.plan.relation.clone(), self.stream.label.clone());
        let asked = Instant::now();
        let believed = self.believed();
        let known = self
            .table
            .insist(&context, "reading checkpoints", || async {
                let session = context.control.session().await?;
                let known = session.known_shards(&relation, &arn).await?;
                Ok((session, known))
            })
            .await?;
        let Some((session, known)) = known else { return Ok(None) };
        let known: HashMap<String, KnownShard> = known.into_iter().map(|k| (k.shard.clone(), k)).collect();
        lose_forgotten(&believed, &known);
        let Some(mut listed) = self.list(&known).await? else { return Ok(None) };
        self.only_replayed(&mut listed)?;
        if !self.mind_the_gone(&known, &listed, asked).await? {
            return Ok(None);
        }
        // What was read of a shard that is lost was dropped: whoever has it next reads it again.
        self.ending.retain(|shard, lease| !lease.is_lost() && !known.get(shard).is_some_and(|k| k.ended));
        self.caught_up.retain(|_, lease| !lease.is_lost());
        let origin = match &self.origin {
            Some(origin) => origin.clone(),
            None => match self.find_origin(&known).await? {
                Some(origin) => origin,
                None => return Ok(None),
            },
        };
        let (mut wanted, mut waiting) = plan(&listed, &known, &origin);
        let (open, held_up) = begun(&listed, &known);
        wanted.extend(open);
        waiting += held_up;
        // Over the session that said what is known: a server that has crashed since, or another one, may know less.
        let share = match self.share(&session, &wanted, known.is_empty()).await {
            Err(error) if error.kind == Kind::Retry => {
                let (table, mut backoff) = (Arc::clone(&self.table), std::mem::take(&mut self.backoff));
                let goes_on = table.wait(&context, &mut backoff, SHARING, &error).await;
                self.backoff = backoff;
                if !goes_on {
                    return Ok(None);
                }
                None
            }
            share => share.map_err(|error| error.while_doing(SHARING))?,
        };
        // That, or somebody else began with this stream just now, perhaps at another time: look again.
        let Some(share) = share else {
            self.soon = true;
            return Ok(Some(1));
        };
        self.backoff.reset();
        context.metrics.unblocked(&relation, Some(SHARING));
        self.origin = Some(origin);
        let unclaimed = share.unclaimed;
        self.take(share).await?;
        tracing::debug!(
            stream = self.stream.name,
            waiting,
            unclaimed,
            active = self.active.len(),
            "looked at shards"
        );
        Ok(Some(waiting + unclaimed))
    }

    /// What this process takes for committed of the shards it holds.
    fn believed(&self) -> Vec<(Arc<Lease>, Checkpoint)> {
        let held = self.active.values().chain(self.ending.values()).chain(self.caught_up.values());
        held.map(|lease| (Arc::clone(lease), lease.committed())).collect()
    }

    /// `None`: somebody else has begun with the stream meanwhile.
    async fn share(&self, session: &Session, wanted: &[Wanted], first_look: bool) -> Result<Option<Share>> {
        let context = &self.context;
        let (relation, arn) = (self.table.plan.relation.as_str(), self.stream.label.as_str());
        let shards: Vec<&str> = wanted.iter().map(|w| w.shard.as_str()).collect();
        let positions: Vec<&str> = wanted.iter().map(|w| w.position.as_str()).collect();
        let held: Vec<&str> = self
            .active
            .keys()
            .chain(self.ending.keys())
            .chain(self.caught_up.keys())
            .map(String::as_str)
            .collect();
        let lease_ms = context.config.lease.duration_ms;
        let wanted = (shards.as_slice(), positions.as_slice());
        session.share_shards((relation, arn), &context.worker, lease_ms, wanted, &held, first_look).await
    }

    /// Begins with what was claimed, and calls in what is too much.
    async fn take(&mut self, share: Share) -> Result<()> {
        for (shard, epoch, checkpoint) in share.claims {
            let past = self.mind_the_gap(&shard, epoch, &checkpoint).await?;
            self.start(shard, epoch, checkpoint, past)?;
        }
        let kept: Vec<&Arc<Lease>> =
            self.active.values().filter(|lease| lease.hold() == Hold::Kept).collect();
        let held = kept.len() + self.ending.len() + self.caught_up.len();
        for lease in kept.iter().take(held.saturating_sub(share.quota)) {
            tracing::info!(
                stream = self.stream.name,
                shard = lease.shard,
                relation = lease.relation,
                "giving a shard to another worker"
            );
            lease.give_up();
        }
        self.soon |= held < share.quota;
        Ok(())
    }

    /// Starts the reader of a shard just claimed.
    fn start(&mut self, shard: String, epoch: i64, checkpoint: Checkpoint, past_gap: bool) -> Result<()> {
        let context = &self.context;
        let (relation, arn) = (self.table.plan.relation.as_str(), self.stream.label.as_str());
        let position = match (&checkpoint.sequence_number, time_of(&checkpoint.initial_position)) {
            (Some(_), _) if past_gap => Position::TrimHorizon,
            (Some(number), _) => Position::After(number.clone()),
            (None, Some(at)) => Position::At(at),
            (None, None) if checkpoint.initial_position.starts_with(AT) => {
                let position = &checkpoint.initial_position;
                return Err(Error::end(format!(
                    "the checkpoint of {shard} begins at \"{position}\", which is no time"
                )));
            }
            (None, None) => match self.replayed(&shard).first() {
                Some((first, _)) => Position::Record(first.clone()),
                None => Position::TrimHorizon,
            },
        };
        let Some(lane) = Lane::choose(&self.lanes) else { return Err(Error::end("a table has no writer")) };
        let lease = Arc::new(Lease::new(relation, arn, &shard, epoch, checkpoint));
        context.leases.add(&lease);
        context.metrics.leases.add(&["claimed"], 1);
        tracing::info!(stream = self.stream.name, shard, relation, from = ?position, "reading");
        let bounds = Bounds::of(&context.config.batch);
        let decoder = Decoder::new(Arc::clone(&self.table.plan), Arc::clone(&self.feed.mapping), bounds)
            .of_shard(&self.stream.name, &shard);
        let reader = Reader {
            context: Arc::clone(context),
            stop: self.table.stop.clone(),
            stream: Arc::clone(&self.stream),
            lease: Arc::clone(&lease),
            decoder: Arc::new(Mutex::new(decoder)),
            consumer: self.consumer.clone(),
            lane,
            position,
            handed_on: None,
        };
        self.active.insert(shard.clone(), lease);
        self.readers.spawn(async move { (shard, reader.run().await) });
        Ok(())
    }
}

/// Loses the leases on shards of which the database knows less than it did: a crash, or a failover, took commits back.
/// A shard with records to come would notice at its next commit; of one that is idle, or has ended, none may come.
fn lose_forgotten(believed: &[(Arc<Lease>, Checkpoint)], known: &HashMap<String, KnownShard>) {
    for (lease, checkpoint) in believed.iter().filter(|(lease, _)| !lease.is_lost()) {
        let behind = match known.get(&lease.shard) {
            None => true,
            Some(k) if checkpoint.ended && !k.ended => true,
            Some(k) => match (&checkpoint.sequence_number, &k.sequence_number) {
                (Some(ours), Some(stored)) => compare_sequence(stored, ours).is_lt(),
                (ours, None) => ours.is_some(),
                (None, Some(_)) => false,
            },
        };
        if behind {
            tracing::warn!(
                stream = lease.stream,
                shard = lease.shard,
                "the database has lost commits of the shard; it is read again"
            );
            lease.lose();
        }
    }
}

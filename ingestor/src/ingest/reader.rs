//! Reads one shard: fetches pages within Kinesis' limits, decodes them, hands chunks on. Holds one page at most.
//! Never: transactions, other shards.

use super::Context;
use super::aside::aside;
use super::table::Lane;
use crate::batch::Chunk;
use crate::decode::Decoder;
use crate::error::{Kind, Result};
use crate::kinesis::Subscription;
use crate::lease::{Hold, Lease};
use crate::metrics::ShardName;
use crate::source::PageBounds;
use crate::stop::{Backoff, Stop};
use crate::stream::{Page, Position, Stream, compare_sequence};
use crate::traces::{self, TARGET};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span, trace_span};

/// Why a reader ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The shard has ended; its last chunk is on its way.
    Ended,
    /// There was nothing more, and that was to be the end.
    CaughtUp,
    /// Another worker has the shard.
    Lost,
    /// The shard was given back, with all that was read of it committed.
    Yielded,
    /// The process is stopping.
    Stopped,
}

/// Records asked for before anything is known of their size, which may be one event or a hundred, packed.
const FIRST_LIMIT: u32 = 10;
/// Records asked for at least.
const LIMIT_MIN: u64 = 10;

/// One shard's reading.
pub struct Reader {
    /// Shared parts.
    pub context: Arc<Context>,
    /// The end of its table.
    pub stop: Stop,
    /// Stream.
    pub stream: Arc<Stream>,
    /// The right to read it.
    pub lease: Arc<Lease>,
    /// Decoder of the feed; only its reader asks for it.
    pub decoder: Arc<Mutex<Decoder>>,
    /// The consumer whose subscriptions are read, where records are not polled.
    pub consumer: Option<Arc<str>>,
    /// Where chunks go.
    pub lane: Lane,
    /// Where reading begins, and goes on.
    pub position: Position,
    /// The last record that was handed on.
    pub handed_on: Option<String>,
}

impl Reader {
    /// Reads until the shard, the lease or the process ends.
    pub async fn run(self) -> Result<Why> {
        let (context, name, lease, stop) =
            (Arc::clone(&self.context), self.name(), Arc::clone(&self.lease), self.stop.clone());
        let mut reader = self;
        let why = reader.read().await;
        context.metrics.shard_left(&name);
        if !matches!(why, Ok(Why::Yielded)) {
            return why;
        }
        // Nothing is read any more; what was read goes its way, and then the lease may go.
        if let Some(last) = &reader.handed_on {
            let settled = tokio::select! {
                settled = lease.settled(last) => settled,
                () = stop.stopped() => return Ok(Why::Stopped),
            };
            if !settled {
                return Ok(Why::Lost);
            }
        }
        context.metrics.leases.add(&["released"], 1);
        let mut backoff = Backoff::default();
        loop {
            let released = match context.control.session().await {
                Ok(session) => session.release_shard(&lease, &context.worker).await,
                Err(error) => Err(error),
            };
            match released {
                Ok(()) => return Ok(Why::Yielded),
                Err(error) if error.kind == Kind::Retry => {
                    if !context.wait(&stop, &mut backoff, "releasing a shard", &error).await {
                        return Ok(Why::Stopped);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn read(&mut self) -> Result<Why> {
        let (context, stop, lease) = (Arc::clone(&self.context), self.stop.clone(), Arc::clone(&self.lease));
        let settings = &context.config.kinesis;
        let paced = context.sources.of(&self.stream.name)?.is_paced() && self.consumer.is_none();
        let room = Arc::clone(&self.lane.room);
        let mut backoff = Backoff::default();
        let mut place = Place::default();
        let mut record_bytes: u64 = 0;
        let mut idle: u32 = 0;
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.stopped() => return Ok(Why::Stopped),
                hold = lease.called_in() => return Ok(if hold == Hold::Lost { Why::Lost } else { Why::Yielded }),
                () = tokio::time::sleep_until(next) => {}
            }
            // Held from the call until the page is handed on: bounds the pages in memory. A subscription waits long
            // for a page, and holds it from then on.
            let mut permit = None;
            if self.consumer.is_none() {
                permit = tokio::select! {
                    () = stop.stopped() => return Ok(Why::Stopped),
                    permit = room.acquire() => Some(permit),
                };
            }
            if paced {
                tokio::select! {
                    () = stop.stopped() => return Ok(Why::Stopped),
                    () = tokio::time::sleep_until(self.turn(settings.poll_interval_ms)) => {}
                }
            }
            let started = Instant::now();
            let limit = match context.config.page_bytes().checked_div(record_bytes) {
                Some(limit) => limit.clamp(LIMIT_MIN, u64::from(settings.page_records)),
                None => u64::from(FIRST_LIMIT.min(settings.page_records)),
            };
            let limit = u32::try_from(limit).unwrap_or(FIRST_LIMIT);
            let (stream, shard) = (self.stream.name.as_str(), self.lease.shard.as_str());
            let trace = trace_span!(target: TARGET, parent: None, "page", stream, shard);
            let span = trace_span!(
                target: TARGET, parent: &trace, "fetch", records = Empty, bytes = Empty, behind_ms = Empty
            );
            let fetched = tokio::select! {
                () = stop.stopped() => return Ok(Why::Stopped),
                _ = lease.called_in() => continue,
                fetched = self.fetch(&mut place, limit).instrument(span.clone()) => fetched,
            };
            if permit.is_none() {
                permit = tokio::select! {
                    () = stop.stopped() => return Ok(Why::Stopped),
                    permit = room.acquire() => Some(permit),
                };
            }
            let page = match fetched {
                Ok(page) => page,
                Err(error) if matches!(error.kind, Kind::Retry | Kind::Iterator) => {
                    drop(permit);
                    place.failed(error.kind);
                    if !context.wait(&stop, &mut backoff, "reading a shard", &error).await {
                        return Ok(Why::Stopped);
                    }
                    continue;
                }
                Err(error) if error.kind == Kind::GiveUpShard => {
                    tracing::warn!(error = %error, shard = self.lease.shard, "gave the shard up");
                    return Ok(Why::Lost);
                }
                Err(error) => return Err(error.while_doing(format!("reading {}", self.lease.shard))),
            };
            backoff.reset();
            let behind_ms = page.behind_ms;
            place.iterator.clone_from(&page.next);
            let count = page.records.len() as u64;
            let bytes: u64 = page.records.iter().map(|r| r.data().len() as u64).sum();
            let ended = page.next.is_none() || self.is_replayed(&page);
            span.record("records", traces::count(page.records.len()));
            span.record("bytes", i64::try_from(bytes).unwrap_or(i64::MAX)).record("behind_ms", behind_ms);
            drop(span);
            let taken = self.hand_on(page, ended, trace).await?;
            drop(permit);
            context.metrics.shard_read(&self.name(), behind_ms);
            if !taken {
                return Ok(Why::Stopped);
            }
            if ended {
                return Ok(Why::Ended);
            }
            let at_tip = count == 0 && behind_ms == 0;
            lease.see_tip(at_tip, self.handed_on.as_deref());
            if at_tip && context.options.until_caught_up {
                return Ok(Why::CaughtUp);
            }
            if let Some(mean) = bytes.checked_div(count) {
                record_bytes =
                    if record_bytes == 0 { mean.max(1) } else { (record_bytes * 3 + mean).div_ceil(4) };
            }
            idle = if at_tip { idle + 1 } else { 0 };
            let rest = if paced { pause(settings, idle, bytes) } else { Duration::ZERO };
            next = (started + rest).max(self.paced(count).await);
        }
    }

    fn name(&self) -> ShardName {
        (self.lease.relation.clone(), self.stream.name.clone(), self.lease.shard.clone())
    }

    async fn fetch(&self, place: &mut Place, limit: u32) -> Result<Page> {
        let Some(consumer) = &self.consumer else {
            let source = self.context.sources.of(&self.stream.name)?;
            let shard = self.lease.shard.as_str();
            let bounds = PageBounds { records: limit, bytes: self.context.config.page_bytes() };
            let token = match &mut place.iterator {
                Some(token) => token,
                None => place.iterator.insert(source.iterator(&self.stream, shard, &self.position).await?),
            };
            return source.records(&self.stream, shard, token, bounds).await;
        };
        let kinesis = self.context.sources.kinesis()?;
        loop {
            let subscription = if let Some(subscription) = &mut place.subscription {
                subscription
            } else {
                let position = place.iterator.clone().map_or_else(|| self.position.clone(), Position::After);
                let opened = kinesis.subscribe(consumer, &self.lease.shard, &position).await?;
                place.subscription.insert(opened)
            };
            // A subscription lasts five minutes; the next one goes on where it was.
            match subscription.next().await? {
                Some(page) => return Ok(page),
                None => place.subscription = None,
            }
        }
    }

    /// Whether a replay has no more to read of this shard.
    fn is_replayed(&self, page: &Page) -> bool {
        let Some(replay) = &self.context.options.replay else { return false };
        let at_tip = page.records.is_empty() && page.behind_ms == 0;
        let shard = (self.stream.arn.as_str(), self.lease.shard.as_str());
        at_tip || page.records.last().is_some_and(|last| replay.window.ends_with(shard, last))
    }

    /// When this shard may be polled, by whichever table's reader asks next.
    fn turn(&self, poll_interval_ms: u64) -> Instant {
        let mut polls = self.context.polls.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let shard = (self.stream.arn.clone(), self.lease.shard.clone());
        let next = polls.entry(shard).or_insert(now);
        let turn = (*next).max(now);
        *next = turn + Duration::from_millis(poll_interval_ms);
        turn
    }

    /// When the next page may be read, where the rate of records is bounded.
    async fn paced(&self, count: u64) -> Instant {
        let now = Instant::now();
        let rate = self.context.options.replay.as_ref().map_or(0, |replay| replay.rate);
        let Some(us) = count.saturating_mul(1_000_000).checked_div(rate) else { return now };
        let mut until = self.context.paced_until.lock().await;
        *until = (*until).max(now) + Duration::from_micros(us);
        *until
    }

    /// Decodes a page and sends it; `false` when nobody takes it.
    async fn hand_on(&mut self, mut page: Page, ended: bool, trace: Span) -> Result<bool> {
        // An endpoint that delivers a record twice must not make it two rows.
        if let Position::After(last) = &self.position {
            page.records.retain(|record| compare_sequence(record.sequence_number(), last).is_gt());
        }
        if let Some(last) = page.records.last() {
            self.position = Position::After(last.sequence_number().to_owned());
        }
        if let Some(replay) = &self.context.options.replay {
            let shard = (self.stream.arn.as_str(), self.lease.shard.as_str());
            page.records.retain(|record| replay.window.holds(shard, record));
        }
        if page.records.is_empty() && !ended {
            return Ok(true);
        }
        if let Some(last) = page.records.last() {
            self.handed_on = Some(last.sequence_number().to_owned());
        }
        let bytes: usize = page.records.iter().map(|r| r.data().len()).sum();
        self.context.metrics.read(&self.name(), page.records.len(), bytes);
        // What decompresses to much goes on in several chunks; no record is split.
        let mut records = page.records;
        loop {
            let relation = self.lease.relation.as_str();
            let span = trace_span!(
                target: TARGET, parent: &trace, "decode", relation, rows = Empty, dead_letters = Empty
            );
            let (shared, within) = (Arc::clone(&self.decoder), span.clone());
            let (decoded, read) = aside(move || {
                let mut decoder = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let rows = within.in_scope(|| decoder.decode(&records));
                (rows, records)
            })
            .await?;
            span.record("rows", traces::count(decoded.rows.len()));
            span.record("dead_letters", traces::count(decoded.rejects.len()));
            drop(span);
            records = read;
            let rest = records.split_off(decoded.records);
            self.context.metrics.skipped(&self.name(), decoded.skipped);
            let chunk = Chunk {
                lease: Arc::clone(&self.lease),
                records,
                bytes: decoded.bytes.into(),
                rows: decoded.rows,
                rejects: decoded.rejects,
                keys: decoded.keys,
                ended: ended && rest.is_empty(),
                trace: trace.clone(),
            };
            if self.lane.chunks.send(chunk).await.is_err() {
                return Ok(false);
            }
            if rest.is_empty() {
                return Ok(true);
            }
            records = rest;
        }
    }
}

/// Where reading goes on: by an iterator, or by a subscription and the place that the next one begins after.
#[derive(Default)]
struct Place {
    iterator: Option<String>,
    subscription: Option<Subscription>,
}

impl Place {
    /// What a failure leaves of it.
    fn failed(&mut self, kind: Kind) {
        self.subscription = None;
        if kind == Kind::Iterator {
            self.iterator = None;
        }
    }
}

/// How long a shard rests after a call: longer the more often it had nothing, up to a bound.
fn pause(settings: &crate::config::Kinesis, idle: u32, bytes: u64) -> Duration {
    let poll = settings.poll_interval_ms;
    let longest = settings.idle_interval_ms.max(poll);
    let interval = poll.max(1).saturating_mul(1 << idle.min(16)).min(longest);
    let interval = if idle == 0 { poll } else { interval };
    let by_bytes = bytes.saturating_mul(1000).checked_div(settings.shard_bytes_per_second).unwrap_or(0);
    Duration::from_millis(interval.max(by_bytes))
}

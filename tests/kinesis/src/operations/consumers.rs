//! Enhanced fan-out: consumers registered with a stream, and subscriptions that push a shard's records to one.
//! A consumer is active when its registration returns. Knows of events and their frames what is in `frames`.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::records::position_of;
use super::{child_json, timestamp};
use crate::clock::Clock;
use crate::error::{Refusal, Result};
use crate::faults::Transport;
use crate::frames;
use crate::limits::{CONSUMERS_MAX, EVENT_BYTES_MAX, EVENT_RECORDS_MAX, RESUBSCRIBE_MS, SUBSCRIPTION_MS};
use crate::log::Page;
use crate::server::{Reply, Server, parse};
use crate::stream::{ACCOUNT, Shard, Stream, lock};

/// How often a subscription without records says so; the service does it every five seconds.
const BEAT: Duration = Duration::from_secs(1);
/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A registered consumer.
#[derive(Debug)]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// When it was registered.
    pub created_ms: u64,
    /// The subscription of a shard: since when, and whether another has taken its place.
    subscriptions: HashMap<u64, (u64, Arc<AtomicBool>)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    consumer_name: Option<String>,
    #[serde(rename = "ConsumerARN")]
    consumer_arn: Option<String>,
}

impl Named {
    /// The stream, and the consumer's name.
    fn find(&self, server: &Server) -> Result<(Arc<Stream>, String)> {
        match (&self.consumer_arn, &self.stream_arn, &self.consumer_name) {
            (Some(arn), ..) => {
                let parts = arn.split_once("/consumer/");
                let (stream, consumer) = parts.ok_or_else(|| unknown(arn))?;
                let name = consumer.split(':').next().unwrap_or(consumer);
                Ok((server.stream_of(None, Some(stream))?, name.to_owned()))
            }
            (None, Some(arn), Some(name)) => Ok((server.stream_of(None, Some(arn))?, name.clone())),
            _ => Err(Refusal::invalid_argument(
                "Either ConsumerARN, or StreamARN and ConsumerName must be given.",
            )),
        }
    }
}

fn unknown(name: &str) -> Refusal {
    Refusal::not_found(format!("Consumer {name} under account {ACCOUNT} not found."))
}

fn shown(consumer: &Consumer) -> Value {
    json!({
        "ConsumerName": consumer.name,
        "ConsumerARN": consumer.arn,
        "ConsumerStatus": "ACTIVE",
        "ConsumerCreationTimestamp": timestamp(consumer.created_ms),
    })
}

/// `RegisterStreamConsumer`.
pub fn register(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: Named = parse(body)?;
    let (stream, name) = input.find(server)?;
    let effect = server.strike("RegisterStreamConsumer", &stream, None)?;
    let mut consumers = lock(&stream.consumers);
    if consumers.contains_key(&name) {
        return Err(Refusal::in_use(format!("Consumer {name} under stream {} already exists.", stream.name)));
    }
    if consumers.len() >= CONSUMERS_MAX {
        return Err(Refusal::limit(format!("Stream {} has {CONSUMERS_MAX} consumers already.", stream.name)));
    }
    let created_ms = server.now_ms();
    let arn = format!("{}/consumer/{name}:{}", stream.arn, created_ms / 1000);
    let consumer = Consumer { name: name.clone(), arn, created_ms, subscriptions: HashMap::new() };
    let out = json!({ "Consumer": shown(&consumer) });
    consumers.insert(name, consumer);
    Ok(Reply::json(&out, effect))
}

/// `DescribeStreamConsumer`.
pub fn describe(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: Named = parse(body)?;
    let (stream, name) = input.find(server)?;
    let effect = server.strike("DescribeStreamConsumer", &stream, None)?;
    let consumers = lock(&stream.consumers);
    let mut description = shown(consumers.get(&name).ok_or_else(|| unknown(&name))?);
    description["StreamARN"] = json!(stream.arn);
    Ok(Reply::json(&json!({ "ConsumerDescription": description }), effect))
}

/// `DeregisterStreamConsumer`.
pub fn deregister(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: Named = parse(body)?;
    let (stream, name) = input.find(server)?;
    let effect = server.strike("DeregisterStreamConsumer", &stream, None)?;
    let gone = lock(&stream.consumers).remove(&name).ok_or_else(|| unknown(&name))?;
    for (_, superseded) in gone.subscriptions.into_values() {
        superseded.store(true, Ordering::Release);
    }
    Ok(Reply::empty(effect))
}

/// `ListStreamConsumers`, all on one page.
pub fn list(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: Named = parse(body)?;
    let stream = server.stream_of(None, input.stream_arn.as_deref())?;
    let effect = server.strike("ListStreamConsumers", &stream, None)?;
    let consumers: Vec<Value> = lock(&stream.consumers).values().map(shown).collect();
    Ok(Reply::json(&json!({ "Consumers": consumers }), effect))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Subscribe {
    #[serde(rename = "ConsumerARN")]
    consumer_arn: String,
    shard_id: String,
    starting_position: StartingPosition,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartingPosition {
    r#type: String,
    sequence_number: Option<String>,
    timestamp: Option<f64>,
}

/// `SubscribeToShard`.
pub fn subscribe(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: Subscribe = parse(body)?;
    let named = Named { stream_arn: None, consumer_name: None, consumer_arn: Some(input.consumer_arn) };
    let (stream, name) = named.find(server)?;
    let now_ms = server.now_ms();
    let shard = stream.shard(&input.shard_id, now_ms)?;
    let start = &input.starting_position;
    let place = (start.r#type.as_str(), start.sequence_number.as_deref(), start.timestamp);
    let position = position_of(place, &stream, &shard, now_ms)?;
    let effect = server.strike("SubscribeToShard", &stream, Some(&shard.id))?;
    let superseded = Arc::new(AtomicBool::new(false));
    {
        let mut consumers = lock(&stream.consumers);
        let consumer = consumers.get_mut(&name).ok_or_else(|| unknown(&name))?;
        if let Some((since_ms, before)) = consumer.subscriptions.get(&shard.index) {
            if now_ms < since_ms + RESUBSCRIBE_MS && Arc::strong_count(before) > 1 {
                return Err(Refusal::in_use(format!(
                    "Another active subscription exists for this consumer {name} and shard {}.",
                    shard.id
                )));
            }
            before.store(true, Ordering::Release);
        }
        consumer.subscriptions.insert(shard.index, (now_ms, Arc::clone(&superseded)));
    }
    let (sender, receiver) = mpsc::channel(1);
    let pushing = Pushing { stream, shard, clock: server.options.clock.clone(), position, superseded };
    tokio::spawn(pushing.run(sender, effect.transport == Transport::Cut));
    Ok(Reply { live: Some(receiver), ..Reply::empty(effect) })
}

struct Pushing {
    stream: Arc<Stream>,
    shard: Arc<Shard>,
    clock: Clock,
    position: u64,
    superseded: Arc<AtomicBool>,
}

impl Pushing {
    /// Pushes until the shard ends, five minutes are over, another subscription takes its place, or nobody listens.
    async fn run(mut self, sender: mpsc::Sender<Bytes>, cut: bool) {
        if sender.send(frames::event("initial-response", b"{}")).await.is_err() {
            return;
        }
        let ends = Instant::now() + Duration::from_millis(SUBSCRIPTION_MS);
        let mut last = Instant::now();
        while Instant::now() < ends && !sender.is_closed() {
            if self.superseded.load(Ordering::Acquire) {
                let text = json!({ "message": "Another subscription has taken the place of this one." });
                let _ = sender
                    .send(frames::exception("ResourceInUseException", text.to_string().as_bytes()))
                    .await;
                return;
            }
            let (page, ended) = {
                let mut state = self.shard.state();
                state.log.trim_before(self.stream.horizon_ms(self.clock.now_ms()));
                let page = state.log.page(self.position, EVENT_RECORDS_MAX, EVENT_BYTES_MAX);
                let ended = state.closed_ms.is_some() && !page.more;
                (page, ended)
            };
            if page.count == 0 && !ended && last.elapsed() < BEAT {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            last = Instant::now();
            self.position = page.next;
            let event = self.event(&page, ended);
            if sender.send(frames::event("SubscribeToShardEvent", event.as_bytes())).await.is_err()
                || ended
                || cut
            {
                return;
            }
        }
    }

    fn event(&self, page: &Page, ended: bool) -> String {
        let behind_ms = match page.last_arrival_ms {
            Some(arrival_ms) if page.more => self.clock.now_ms().saturating_sub(arrival_ms).max(1),
            _ => 0,
        };
        let mut out = format!("{{\"MillisBehindLatest\":{behind_ms},");
        if ended {
            let topology = self.stream.topology();
            let children = topology.children_of(self.shard.index);
            let children: Vec<_> = children.iter().map(|child| child_json(&topology, child)).collect();
            let _ = write!(out, "\"ChildShards\":{},", json!(children));
        } else {
            let number = self.shard.sequence_number(self.position.saturating_sub(1));
            let _ = write!(out, "\"ContinuationSequenceNumber\":\"{number}\",");
        }
        out.push_str("\"Records\":[");
        for (index, piece) in page.pieces.iter().enumerate() {
            // Every record is rendered with a comma before it.
            let piece = if index == 0 { &piece[1..] } else { &piece[..] };
            out.push_str(&String::from_utf8_lossy(piece));
        }
        out.push_str("]}");
        out
    }
}

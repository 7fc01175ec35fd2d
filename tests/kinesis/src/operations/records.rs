//! Operations on records: put, find a position, get.
//! Answers are put together from bytes that are already there.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::put::{self, Entry, Outcome};
use super::{child_json, milliseconds};
use crate::error::{Refusal, Result};
use crate::ids::sequence_counter;
use crate::iterator::Iterator as Position;
use crate::limits::{GET_BYTES_MAX, GET_RECORDS_MAX, PUT_BYTES_MAX, PUT_RECORDS_MAX};
use crate::log::Page;
use crate::server::{Reply, Server, parse};
use crate::stream::{ACCOUNT, Shard, Stream};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecords<'a> {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    #[serde(borrow)]
    records: Vec<Entry<'a>>,
    dry_run: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecord<'a> {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow)]
    partition_key: Cow<'a, str>,
    explicit_hash_key: Option<String>,
    dry_run: Option<bool>,
}

/// `PutRecord`.
pub fn put_record(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: PutRecord<'_> = parse(body)?;
    let stream = server.stream_of(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let entry = Entry {
        data: input.data,
        partition_key: input.partition_key,
        explicit_hash_key: input.explicit_hash_key,
    };
    let prepared = [entry.prepare(&stream)?];
    refuse_dry_run(input.dry_run)?;
    let effect = server.strike("PutRecord", &stream, None)?;
    let outcome = put::store(server, &stream, "PutRecord", &prepared).pop();
    let (shard, counter) = outcome.ok_or_else(Refusal::internal)?;
    let out = json!({ "ShardId": shard.id, "SequenceNumber": shard.sequence_number(counter?), "EncryptionType": "NONE" });
    Ok(Reply::json(&out, effect))
}

/// `PutRecords`.
pub fn put_records(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: PutRecords<'_> = parse(body)?;
    let stream = server.stream_of(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    if input.records.is_empty() || input.records.len() > PUT_RECORDS_MAX {
        return Err(Refusal::validation(format!(
            "Value at 'records' failed to satisfy constraint: Member must have length 1 to {PUT_RECORDS_MAX}"
        )));
    }
    let prepared = input.records.iter().map(|entry| entry.prepare(&stream)).collect::<Result<Vec<_>>>()?;
    if prepared.iter().map(|prepared| prepared.record.size).sum::<u64>() > PUT_BYTES_MAX {
        return Err(Refusal::invalid_argument(format!(
            "Records size exceeds {} MB limit",
            PUT_BYTES_MAX >> 20
        )));
    }
    refuse_dry_run(input.dry_run)?;
    let effect = server.strike("PutRecords", &stream, None)?;
    let outcomes = put::store(server, &stream, "PutRecords", &prepared);
    Ok(Reply { pieces: vec![put_records_json(&outcomes)], transport: effect.transport, live: None })
}

fn put_records_json(outcomes: &[Outcome]) -> Bytes {
    let failed = outcomes.iter().filter(|(_, counter)| counter.is_err()).count();
    let mut out = String::with_capacity(64 + outcomes.len() * 128);
    let _ = write!(out, "{{\"FailedRecordCount\":{failed},\"EncryptionType\":\"NONE\",\"Records\":[");
    for (index, (shard, counter)) in outcomes.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let _ = match counter {
            Ok(counter) => write!(
                out,
                "{{\"SequenceNumber\":\"{}{counter:036}\",\"ShardId\":\"{}\"}}",
                shard.prefix, shard.id
            ),
            Err(refusal) => {
                write!(out, "{}", json!({ "ErrorCode": refusal.code, "ErrorMessage": refusal.message }))
            }
        };
    }
    out.push_str("]}");
    Bytes::from(out)
}

fn refuse_dry_run(asked: Option<bool>) -> Result<()> {
    if asked == Some(true) { Err(Refusal::dry_run()) } else { Ok(()) }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetShardIterator {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_id: String,
    shard_iterator_type: String,
    starting_sequence_number: Option<String>,
    timestamp: Option<f64>,
    dry_run: Option<bool>,
}

/// `GetShardIterator`.
pub fn get_shard_iterator(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: GetShardIterator = parse(body)?;
    let stream = server.stream_of(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
    let now_ms = server.now_ms();
    let shard = stream.shard(&input.shard_id, now_ms)?;
    let place =
        (input.shard_iterator_type.as_str(), input.starting_sequence_number.as_deref(), input.timestamp);
    let position = position_of(place, &stream, &shard, now_ms)?;
    refuse_dry_run(input.dry_run)?;
    let effect = server.strike("GetShardIterator", &stream, Some(&shard.id))?;
    if server.options.enforce_limits && !shard.state().iterators.admit(now_ms) {
        return Err(stream.rate_exceeded(&shard));
    }
    let token = issue(server, &stream, &shard, position, now_ms);
    Ok(Reply::json(&json!({ "ShardIterator": token }), effect))
}

/// The counter that a starting position, its type, sequence number and time, comes to.
pub fn position_of(
    (kind, sequence_number, time): (&str, Option<&str>, Option<f64>),
    stream: &Stream,
    shard: &Shard,
    now_ms: u64,
) -> Result<u64> {
    match (kind, sequence_number) {
        ("TRIM_HORIZON", None) => Ok(0),
        ("LATEST", None) => Ok(shard.state().log.next_counter()),
        ("AT_TIMESTAMP", None) => {
            let wanted = time.map(milliseconds).ok_or_else(|| {
                    Refusal::invalid_argument(
                        "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no \
                         timestamp parameter.",
                    )
                })?;
            if wanted > now_ms {
                return Err(Refusal::invalid_argument(format!(
                    "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. \
                         timestampInMillis: {wanted}, currentTimestampInMillis: {now_ms}"
                )));
            }
            Ok(shard.state().log.counter_at(wanted))
        }
        ("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER", Some(text)) => {
            let counter = sequence_counter(&shard.prefix, text).ok_or_else(|| {
                    Refusal::invalid_argument(format!(
                        "StartingSequenceNumber {text} used in GetShardIterator on shard {} in stream {} under account \
                         {ACCOUNT} is invalid.",
                        shard.id, stream.name
                    ))
                })?;
            Ok(if kind == "AT_SEQUENCE_NUMBER" { counter } else { counter.saturating_add(1) })
        }
        ("TRIM_HORIZON" | "LATEST" | "AT_TIMESTAMP" | "AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER", _) => {
            Err(Refusal::invalid_argument(format!(
                "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) \
                     TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified {kind}."
            )))
        }
        _ => Err(Refusal::validation(format!(
            "Value '{kind}' at 'shardIteratorType' is not an iterator type."
        ))),
    }
}

fn issue(server: &Server, stream: &Stream, shard: &Shard, position: u64, now_ms: u64) -> String {
    server.tokens.iterator(&Position {
        stream: stream.name.clone(),
        incarnation: stream.incarnation,
        shard: shard.index,
        position,
        issued_ms: now_ms,
        serial: server.iterators_issued.fetch_add(1, Ordering::Relaxed),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetRecords<'a> {
    #[serde(borrow)]
    shard_iterator: Cow<'a, str>,
    limit: Option<i64>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    dry_run: Option<bool>,
}

/// `GetRecords`.
pub fn get_records(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: GetRecords<'_> = parse(body)?;
    let now_ms = server.now_ms();
    let limit = input.limit.map_or(Some(GET_RECORDS_MAX), |limit| {
        usize::try_from(limit).ok().filter(|limit| (1..=GET_RECORDS_MAX).contains(limit))
    });
    let limit = limit.ok_or_else(|| {
        Refusal::invalid_argument(format!("Limit must be 1 to {GET_RECORDS_MAX}, not {:?}.", input.limit))
    })?;
    let (position, stream, shard) = resolve(server, &input, now_ms)?;
    refuse_dry_run(input.dry_run)?;
    let effect = server.strike("GetRecords", &stream, Some(&shard.id))?;
    let horizon_ms = stream.horizon_ms(now_ms);

    let mut state = shard.state();
    if server.options.enforce_limits && !state.reads.admit(now_ms) {
        return Err(stream.rate_exceeded(&shard));
    }
    state.log.trim_before(horizon_ms);
    let limit = if effect.empty { 0 } else { limit };
    let page = state.log.page(position.position, limit, GET_BYTES_MAX);
    state.reads.spend(now_ms, page.size);
    // Under the same lock as the page: a shard closed a moment later may have taken more records before.
    let ended = state.closed_ms.is_some() && !page.more && !effect.duplicate;
    drop(state);

    let next = if effect.duplicate { position.position } else { page.next };
    let token = (!ended).then(|| issue(server, &stream, &shard, next, now_ms));
    Ok(Reply {
        pieces: page_json(&stream, &shard, page, token, now_ms),
        transport: effect.transport,
        live: None,
    })
}

fn resolve(
    server: &Server,
    input: &GetRecords<'_>,
    now_ms: u64,
) -> Result<(Position, Arc<Stream>, Arc<Shard>)> {
    let invalid = || Refusal::invalid_argument("Invalid ShardIterator.");
    let position = server.tokens.open_iterator(&input.shard_iterator).ok_or_else(invalid)?;
    let age_ms = now_ms.saturating_sub(position.issued_ms);
    let ttl_ms = server.options.iterator_ttl_ms;
    if age_ms > ttl_ms || position.serial < server.iterators_expired.load(Ordering::Acquire) {
        return Err(Refusal::expired_iterator(format!(
            "Iterator expired. The iterator was created at time {} while right now it is {now_ms} which is further in the \
             future than the tolerated delay of {ttl_ms} milliseconds.",
            position.issued_ms
        )));
    }
    let stream = server.stream(&position.stream)?;
    if stream.incarnation != position.incarnation
        || input.stream_arn.as_ref().is_some_and(|arn| *arn != stream.arn)
    {
        return Err(invalid());
    }
    let shard = stream.shard(&crate::ids::shard_id(position.shard), now_ms)?;
    Ok((position, stream, shard))
}

fn page_json(stream: &Stream, shard: &Shard, page: Page, token: Option<String>, now_ms: u64) -> Vec<Bytes> {
    // Zero says "caught up", so it must not be said while records wait, however young they are.
    let behind_ms = match page.last_arrival_ms {
        Some(arrival_ms) if page.more => now_ms.saturating_sub(arrival_ms).max(1),
        _ => 0,
    };
    let mut tail = String::from("]");
    if token.is_none() {
        let topology = stream.topology();
        let children: Vec<_> =
            topology.children_of(shard.index).iter().map(|child| child_json(&topology, child)).collect();
        let _ = write!(tail, ",\"ChildShards\":{}", json!(children));
    }
    tail.push('}');
    let head = format!(
        "{{\"MillisBehindLatest\":{behind_ms},\"NextShardIterator\":{},\"Records\":[",
        token.map_or("null".to_owned(), |token| format!("\"{token}\""))
    );
    let mut pieces = Vec::with_capacity(page.pieces.len() + 2);
    pieces.push(Bytes::from(head));
    for (index, piece) in page.pieces.into_iter().enumerate() {
        // Every record is rendered with a comma before it.
        pieces.push(if index == 0 { piece.slice(1..) } else { piece });
    }
    pieces.push(Bytes::from(tail));
    pieces
}

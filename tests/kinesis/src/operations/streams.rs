//! Operations on a stream as a whole: make, delete, describe, list, retention, record size.
//! Every change is done when the call returns; a stream is always ACTIVE.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{shard_json, timestamp};
use crate::error::{Refusal, Result};
use crate::faults::{Effect, Target};
use crate::limits::{ACCOUNT_SHARDS_MAX, RECORD_KIB_MAX};
use crate::server::{Reply, Server, parse};
use crate::stream::Stream;

const ON_DEMAND_SHARDS: u64 = 4;
const PAGE_DEFAULT: usize = 100;
const RETENTION_HOURS_MIN: u64 = 24;
const RETENTION_HOURS_MAX: u64 = 8_760;

/// The part of an input that names a stream.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    retention_period_hours: Option<u64>,
    #[serde(rename = "MaxRecordSizeInKiB")]
    max_record_size_in_kib: Option<u64>,
    limit: Option<usize>,
    exclusive_start_shard_id: Option<String>,
}

impl Named {
    fn stream(&self, server: &Server, operation: &str) -> Result<(Arc<Stream>, Effect)> {
        let stream = server.stream_of(self.stream_name.as_deref(), self.stream_arn.as_deref())?;
        let effect = server.strike(operation, &stream, None)?;
        Ok((stream, effect))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    stream_name: String,
    shard_count: Option<i64>,
    stream_mode_details: Option<ModeDetails>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ModeDetails {
    stream_mode: String,
}

/// `CreateStream`.
pub fn create(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: Create = parse(body)?;
    let name = &input.stream_name;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if name.is_empty() || name.len() > 128 || !name.chars().all(allowed) {
        return Err(Refusal::validation(format!(
            "Value '{name}' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern: \
             [a-zA-Z0-9_.-]+"
        )));
    }
    let mode = match input.stream_mode_details.as_ref().map(|details| details.stream_mode.as_str()) {
        None | Some("PROVISIONED") => "PROVISIONED",
        Some("ON_DEMAND") => "ON_DEMAND",
        Some(other) => {
            return Err(Refusal::validation(format!(
                "Value '{other}' at 'streamMode' is not a stream mode."
            )));
        }
    };
    let shards = match (mode, input.shard_count) {
        ("ON_DEMAND", None) => ON_DEMAND_SHARDS,
        ("ON_DEMAND", Some(_)) => {
            return Err(Refusal::validation("ShardCount must not be given for an on-demand stream."));
        }
        (_, Some(count)) if count > 0 => count.unsigned_abs(),
        (_, count) => {
            return Err(Refusal::validation(format!(
                "Value '{}' at 'shardCount' failed to satisfy constraint: Member must have value greater than or equal to 1",
                count.map_or("null".to_owned(), |count| count.to_string())
            )));
        }
    };
    let open: usize = server.streams().iter().map(|stream| stream.topology().open.len()).sum();
    if shards > (ACCOUNT_SHARDS_MAX - open.min(ACCOUNT_SHARDS_MAX)) as u64 {
        return Err(Refusal::limit(format!(
            "This request would exceed the account's limit of {ACCOUNT_SHARDS_MAX} shards."
        )));
    }
    let effect = server.faults.strike(Target { operation: "CreateStream", stream: name, shard: None })?;
    server.create_stream(name, shards, mode)?;
    Ok(Reply::empty(effect))
}

/// `DeleteStream`.
pub fn delete(server: &Server, body: &[u8]) -> Result<Reply> {
    let (stream, effect) = parse::<Named>(body)?.stream(server, "DeleteStream")?;
    server.delete_stream(&stream.name);
    Ok(Reply::empty(effect))
}

fn description(stream: &Stream) -> Value {
    json!({
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "StreamStatus": "ACTIVE",
        "StreamModeDetails": { "StreamMode": stream.mode },
        "RetentionPeriodHours": stream.retention_hours.load(Ordering::Relaxed),
        "StreamCreationTimestamp": timestamp(stream.created_ms),
        "EnhancedMonitoring": [{ "ShardLevelMetrics": [] }],
        "EncryptionType": "NONE",
    })
}

/// `DescribeStream`.
pub fn describe(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: Named = parse(body)?;
    let (stream, effect) = input.stream(server, "DescribeStream")?;
    let limit = input.limit.unwrap_or(PAGE_DEFAULT);
    if limit == 0 || limit > 10_000 {
        return Err(Refusal::validation(format!(
            "Value '{limit}' at 'limit' failed to satisfy constraint: 1 to 10000"
        )));
    }
    let now = server.now_ms();
    let topology = stream.topology();
    let after = input.exclusive_start_shard_id.as_deref();
    let mut shards = topology.shards.iter().filter(|shard| {
        after.is_none_or(|after| shard.id.as_str() > after) && !stream.is_expired(shard, now)
    });
    let page: Vec<_> = shards.by_ref().take(limit).map(|shard| shard_json(&topology, shard)).collect();
    let mut out = description(&stream);
    out["HasMoreShards"] = json!(shards.next().is_some());
    out["Shards"] = json!(page);
    Ok(Reply::json(&json!({ "StreamDescription": out }), effect))
}

/// `DescribeStreamSummary`.
pub fn describe_summary(server: &Server, body: &[u8]) -> Result<Reply> {
    let (stream, effect) = parse::<Named>(body)?.stream(server, "DescribeStreamSummary")?;
    let mut out = description(&stream);
    out["OpenShardCount"] = json!(stream.topology().open.len());
    out["ConsumerCount"] = json!(0);
    out["MaxRecordSizeInKiB"] = json!(stream.record_bytes_max.load(Ordering::Relaxed) >> 10);
    Ok(Reply::json(&json!({ "StreamDescriptionSummary": out }), effect))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    limit: Option<usize>,
    exclusive_start_stream_name: Option<String>,
    next_token: Option<String>,
}

/// `ListStreams`. The page token is the last name, since names are what the pages are ordered by.
pub fn list(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: List = parse(body)?;
    let limit = input.limit.unwrap_or(PAGE_DEFAULT).clamp(1, 10_000);
    let after = input.next_token.or(input.exclusive_start_stream_name);
    let streams = server.streams();
    let mut rest = streams.iter().filter(|stream| after.as_ref().is_none_or(|after| stream.name > *after));
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let mut out = json!({
        "StreamNames": page.iter().map(|stream| &stream.name).collect::<Vec<_>>(),
        "StreamSummaries": page.iter().map(|stream| description(stream)).collect::<Vec<_>>(),
        "HasMoreStreams": rest.next().is_some(),
    });
    if out["HasMoreStreams"] == json!(true) {
        out["NextToken"] = json!(page.last().map(|stream| &stream.name));
    }
    Ok(Reply::json(&out, Effect::default()))
}

/// `DescribeLimits`.
pub fn describe_limits(server: &Server, _body: &[u8]) -> Result<Reply> {
    let streams = server.streams();
    let open: usize = streams.iter().map(|stream| stream.topology().open.len()).sum();
    let on_demand = streams.iter().filter(|stream| stream.mode == "ON_DEMAND").count();
    let out = json!({
        "ShardLimit": ACCOUNT_SHARDS_MAX,
        "OpenShardCount": open,
        "OnDemandStreamCount": on_demand,
        "OnDemandStreamCountLimit": 50,
    });
    Ok(Reply::json(&out, Effect::default()))
}

/// `IncreaseStreamRetentionPeriod`.
pub fn increase_retention(server: &Server, body: &[u8]) -> Result<Reply> {
    set_retention(server, body, "IncreaseStreamRetentionPeriod", |old, new| new >= old)
}

/// `DecreaseStreamRetentionPeriod`.
pub fn decrease_retention(server: &Server, body: &[u8]) -> Result<Reply> {
    set_retention(server, body, "DecreaseStreamRetentionPeriod", |old, new| new <= old)
}

fn set_retention(
    server: &Server,
    body: &[u8],
    operation: &str,
    allowed: fn(u64, u64) -> bool,
) -> Result<Reply> {
    let input: Named = parse(body)?;
    let (stream, effect) = input.stream(server, operation)?;
    let hours = input.retention_period_hours.unwrap_or(0);
    let current = stream.retention_hours.load(Ordering::Relaxed);
    if !(RETENTION_HOURS_MIN..=RETENTION_HOURS_MAX).contains(&hours) || !allowed(current, hours) {
        return Err(Refusal::invalid_argument(format!(
            "Requested retention period ({hours} hours) for stream {} is not allowed by {operation}: it is {current} hours, \
             and may be {RETENTION_HOURS_MIN} to {RETENTION_HOURS_MAX}.",
            stream.name
        )));
    }
    stream.retention_hours.store(hours, Ordering::Relaxed);
    Ok(Reply::empty(effect))
}

/// `UpdateMaxRecordSize`.
pub fn update_max_record_size(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: Named = parse(body)?;
    let (stream, effect) = input.stream(server, "UpdateMaxRecordSize")?;
    let kib = input.max_record_size_in_kib.unwrap_or(0);
    if !(1024..=RECORD_KIB_MAX).contains(&kib) {
        return Err(Refusal::validation(format!(
            "Value '{kib}' at 'maxRecordSizeInKiB' failed to satisfy constraint: 1024 to {RECORD_KIB_MAX}"
        )));
    }
    stream.record_bytes_max.store(kib << 10, Ordering::Relaxed);
    Ok(Reply::empty(effect))
}

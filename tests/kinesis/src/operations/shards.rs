//! Operations on shards: list with filters and pages, split, merge, count.
//! Filters follow the service model's own words for each type.

use serde::Deserialize;
use serde_json::json;

use super::{milliseconds, shard_json};
use crate::error::{Refusal, Result};
use crate::faults::Effect;
use crate::ids::{parse_hash_key, shard_index};
use crate::limits::{LIST_SHARDS_MAX, LIST_TOKEN_TTL_MS};
use crate::server::{Reply, Server, parse};
use crate::stream::{Shard, Stream};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListShards {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    next_token: Option<String>,
    exclusive_start_shard_id: Option<String>,
    stream_creation_timestamp: Option<f64>,
    max_results: Option<i64>,
    shard_filter: Option<ShardFilter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ShardFilter {
    r#type: String,
    shard_id: Option<String>,
    timestamp: Option<f64>,
}

/// Which shards are wanted, with the time already looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    All,
    AtLatest,
    AtTrimHorizon,
    AtTimestamp(u64),
    FromTimestamp(u64),
}

impl Filter {
    fn to_words(self) -> [u64; 2] {
        match self {
            Self::All => [0, 0],
            Self::AtLatest => [1, 0],
            Self::AtTrimHorizon => [2, 0],
            Self::AtTimestamp(ms) => [3, ms],
            Self::FromTimestamp(ms) => [4, ms],
        }
    }

    fn from_words([kind, ms]: [u64; 2]) -> Self {
        match kind {
            1 => Self::AtLatest,
            2 => Self::AtTrimHorizon,
            3 => Self::AtTimestamp(ms),
            4 => Self::FromTimestamp(ms),
            _ => Self::All,
        }
    }

    fn takes(self, stream: &Stream, shard: &Shard, now_ms: u64) -> bool {
        let horizon_ms = stream.horizon_ms(now_ms);
        let closed_ms = shard.state().closed_ms.unwrap_or(u64::MAX);
        let open_at = |ms: u64| shard.created_ms <= ms && closed_ms >= ms;
        match self {
            Self::All => closed_ms >= horizon_ms,
            Self::AtLatest => closed_ms == u64::MAX,
            Self::AtTrimHorizon => open_at(horizon_ms),
            Self::AtTimestamp(ms) => open_at(ms.max(horizon_ms)),
            Self::FromTimestamp(ms) => closed_ms >= ms.max(horizon_ms),
        }
    }
}

impl ListShards {
    /// First index wanted, and the filter.
    fn start(&self) -> Result<(u64, Filter)> {
        let after = |id: &str| {
            shard_index(id)
                .map(|index| index + 1)
                .ok_or_else(|| Refusal::invalid_argument(format!("{id} is not a shard id.")))
        };
        let first = self.exclusive_start_shard_id.as_deref().map_or(Ok(0), after)?;
        let Some(filter) = &self.shard_filter else {
            return Ok((first, Filter::All));
        };
        let timestamp = || {
            filter.timestamp.map(milliseconds).ok_or_else(|| {
                Refusal::invalid_argument(format!("ShardFilter {} needs Timestamp.", filter.r#type))
            })
        };
        match filter.r#type.as_str() {
            "AFTER_SHARD_ID" => {
                let id = filter
                    .shard_id
                    .as_deref()
                    .ok_or_else(|| Refusal::invalid_argument("ShardFilter AFTER_SHARD_ID needs ShardId."))?;
                Ok((first.max(after(id)?), Filter::All))
            }
            "AT_LATEST" => Ok((first, Filter::AtLatest)),
            "AT_TRIM_HORIZON" => Ok((first, Filter::AtTrimHorizon)),
            "FROM_TRIM_HORIZON" => Ok((first, Filter::All)),
            "AT_TIMESTAMP" => Ok((first, Filter::AtTimestamp(timestamp()?))),
            "FROM_TIMESTAMP" => Ok((first, Filter::FromTimestamp(timestamp()?))),
            other => Err(Refusal::validation(format!(
                "Value '{other}' at 'shardFilter.type' is not a filter type."
            ))),
        }
    }
}

/// `ListShards`.
pub fn list(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: ListShards = parse(body)?;
    let now_ms = server.now_ms();
    let (stream, first, filter) = if let Some(token) = &input.next_token {
        let also = [
            input.stream_name.is_some(),
            input.stream_arn.is_some(),
            input.exclusive_start_shard_id.is_some(),
            input.stream_creation_timestamp.is_some(),
        ];
        if also.contains(&true) {
            return Err(Refusal::invalid_argument("NextToken and StreamName cannot be provided together."));
        }
        let opened = server.tokens.open(b'L', token);
        let ([incarnation, first, issued_ms, kind, ms], name) =
            opened.ok_or_else(|| Refusal::invalid_argument("Invalid NextToken."))?;
        if now_ms.saturating_sub(issued_ms) > LIST_TOKEN_TTL_MS {
            return Err(Refusal::expired_token("NextToken is older than 300 seconds."));
        }
        let stream = server.stream(&name)?;
        if stream.incarnation != incarnation {
            return Err(Refusal::invalid_argument("NextToken is for a stream that is gone."));
        }
        (stream, first, Filter::from_words([kind, ms]))
    } else {
        let stream = server.stream_of(input.stream_name.as_deref(), input.stream_arn.as_deref())?;
        let (first, filter) = input.start()?;
        (stream, first, filter)
    };
    let effect = server.strike("ListShards", &stream, None)?;
    let limit = usize::try_from(input.max_results.unwrap_or(i64::MAX)).unwrap_or(0).min(LIST_SHARDS_MAX);
    if limit == 0 {
        return Err(Refusal::validation("Value at 'maxResults' failed to satisfy constraint: 1 to 10000"));
    }
    let topology = stream.topology();
    let mut wanted =
        topology.shards.iter().filter(|shard| shard.index >= first && filter.takes(&stream, shard, now_ms));
    let page: Vec<_> = wanted.by_ref().take(limit).collect();
    let mut out =
        json!({ "Shards": page.iter().map(|shard| shard_json(&topology, shard)).collect::<Vec<_>>() });
    if let (Some(last), Some(_)) = (page.last(), wanted.next()) {
        let [kind, ms] = filter.to_words();
        let words = [stream.incarnation, last.index + 1, now_ms, kind, ms];
        out["NextToken"] = json!(server.tokens.seal(b'L', words, &stream.name));
    }
    Ok(Reply::json(&out, effect))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reshard {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_to_split: Option<String>,
    new_starting_hash_key: Option<String>,
    shard_to_merge: Option<String>,
    adjacent_shard_to_merge: Option<String>,
    target_shard_count: Option<i64>,
    scaling_type: Option<String>,
}

fn required<'a>(value: Option<&'a String>, name: &str) -> Result<&'a str> {
    let missing = || {
        Refusal::validation(format!(
            "Value null at '{name}' failed to satisfy constraint: Member must not be null"
        ))
    };
    value.map(String::as_str).ok_or_else(missing)
}

impl Reshard {
    fn stream(&self, server: &Server, operation: &str) -> Result<(std::sync::Arc<Stream>, Effect)> {
        let stream = server.stream_of(self.stream_name.as_deref(), self.stream_arn.as_deref())?;
        let effect = server.strike(operation, &stream, None)?;
        Ok((stream, effect))
    }
}

/// `SplitShard`.
pub fn split(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: Reshard = parse(body)?;
    let (stream, effect) = input.stream(server, "SplitShard")?;
    let shard = required(input.shard_to_split.as_ref(), "shardToSplit")?;
    let text = required(input.new_starting_hash_key.as_ref(), "newStartingHashKey")?;
    let at = parse_hash_key(text).ok_or_else(|| {
        Refusal::validation(format!("Value '{text}' at 'newStartingHashKey' is not a hash key."))
    })?;
    stream.split(shard, at, server.now_ms())?;
    Ok(Reply::empty(effect))
}

/// `MergeShards`.
pub fn merge(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: Reshard = parse(body)?;
    let (stream, effect) = input.stream(server, "MergeShards")?;
    let shard = required(input.shard_to_merge.as_ref(), "shardToMerge")?;
    let adjacent = required(input.adjacent_shard_to_merge.as_ref(), "adjacentShardToMerge")?;
    stream.merge(shard, adjacent, server.now_ms())?;
    Ok(Reply::empty(effect))
}

/// `UpdateShardCount`.
pub fn update_count(server: &Server, body: &[u8]) -> Result<Reply> {
    let input: Reshard = parse(body)?;
    let (stream, effect) = input.stream(server, "UpdateShardCount")?;
    if input.scaling_type.as_deref() != Some("UNIFORM_SCALING") {
        return Err(Refusal::validation(
            "Value at 'scalingType' failed to satisfy constraint: UNIFORM_SCALING",
        ));
    }
    let target = usize::try_from(input.target_shard_count.unwrap_or(0)).unwrap_or(0);
    let current = stream.update_shard_count(target, server.now_ms())?;
    let out = json!({
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "CurrentShardCount": current,
        "TargetShardCount": target,
    });
    Ok(Reply::json(&out, effect))
}

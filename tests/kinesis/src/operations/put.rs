//! Storing records: what a record must be, and the loop that places them.
//! Payloads stay base64; only their alphabet and length are looked at.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::error::{Refusal, Result};
use crate::faults::Target;
use crate::ids::{hash_of, parse_hash_key};
use crate::limits::PARTITION_KEY_CHARS_MAX;
use crate::log::Incoming;
use crate::server::Server;
use crate::stream::{Shard, Stream};

/// A record of a request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Entry<'a> {
    /// Payload in base64.
    #[serde(borrow)]
    pub data: Cow<'a, str>,
    /// Partition key.
    #[serde(borrow)]
    pub partition_key: Cow<'a, str>,
    /// Hash key to use instead of the partition key's.
    pub explicit_hash_key: Option<String>,
}

/// A record that may be stored.
#[derive(Debug)]
pub struct Prepared<'a> {
    hash: u128,
    /// What is stored.
    pub record: Incoming<'a>,
}

/// What became of a record: the shard, and its sequence number or why not.
pub type Outcome = (Arc<Shard>, Result<u64>);

impl Entry<'_> {
    /// Checks the record against the stream's rules.
    pub fn prepare(&self, stream: &Stream) -> Result<Prepared<'_>> {
        let size = decoded_len(&self.data).ok_or_else(|| Refusal::serialization("Data is not base64."))?
            + self.partition_key.len() as u64;
        let max = stream.record_bytes_max.load(Ordering::Relaxed);
        if size > max {
            return Err(Refusal::validation(format!(
                "Value at 'data' failed to satisfy constraint: payload and partition key must not exceed {max} bytes"
            )));
        }
        let key = &self.partition_key;
        // Characters are counted only where the bytes do not already tell.
        if key.is_empty()
            || (key.len() > PARTITION_KEY_CHARS_MAX && key.chars().count() > PARTITION_KEY_CHARS_MAX)
        {
            return Err(Refusal::validation(format!(
                "Value at 'partitionKey' failed to satisfy constraint: Member must have length 1 to {PARTITION_KEY_CHARS_MAX}"
            )));
        }
        let hash = match &self.explicit_hash_key {
            None => hash_of(key),
            Some(text) => parse_hash_key(text).ok_or_else(|| {
                Refusal::invalid_argument(format!(
                    "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {text}"
                ))
            })?,
        };
        Ok(Prepared { hash, record: Incoming { base64: &self.data, partition_key: key, size } })
    }
}

/// Stores records one after the other; a split that falls due in between is carried out there.
pub fn store(server: &Server, stream: &Stream, operation: &str, records: &[Prepared<'_>]) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(records.len());
    let mut waiting = records.iter();
    loop {
        let due = store_until_split(server, stream, operation, &mut waiting, &mut outcomes);
        let Some(shard) = due else { return outcomes };
        // A plan for a shard that is closed by now has nothing to do.
        let _ = stream.split_evenly(&shard, server.now_ms());
    }
}

fn store_until_split<'a, 'b: 'a>(
    server: &Server,
    stream: &Stream,
    operation: &str,
    waiting: &mut impl Iterator<Item = &'a Prepared<'b>>,
    outcomes: &mut Vec<Outcome>,
) -> Option<String> {
    let topology = stream.topology();
    let now_ms = server.now_ms();
    for prepared in waiting {
        let shard = topology.owner_of(prepared.hash)?;
        let target = Target { operation, stream: &stream.name, shard: Some(&shard.id) };
        if server.faults.strikes_entry(target) {
            outcomes.push((Arc::clone(shard), Err(stream.rate_exceeded(shard))));
            continue;
        }
        let counter = stream.put(shard, prepared.record, now_ms, server.options.enforce_limits);
        let stored = counter.is_ok();
        outcomes.push((Arc::clone(shard), counter));
        if stored && let Some(due) = server.split_due(stream, &shard.id) {
            return Some(due);
        }
    }
    None
}

/// Bytes that base64 text stands for; nothing if it is not base64.
pub fn decoded_len(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let (body, last) = bytes.split_at_checked(bytes.len().saturating_sub(4))?;
    if last.is_empty() {
        return Some(0);
    }
    // No early exit, so that the compiler can compare many bytes at once.
    let clean =
        body.iter().fold(true, |clean, &b| clean & (b.is_ascii_alphanumeric() || (b == b'+') || (b == b'/')));
    if !clean || body.len() % 4 != 0 {
        return None;
    }
    let tail = STANDARD.decode(last).ok()?;
    Some((body.len() / 4 * 3 + tail.len()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_that_of_the_decoded_payload() {
        for payload in ["", "a", "ab", "abc", "abcd", "a longer payload, to be sure"] {
            assert_eq!(decoded_len(&STANDARD.encode(payload)), Some(payload.len() as u64), "{payload:?}");
        }
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for wrong in ["a", "abc", "abcde", "ab=cdefg", "ab-_", "a===", "abcd\n", "YQ==YQ==", "YR==", "äbcd"]
        {
            assert_eq!(decoded_len(wrong), None, "{wrong:?}");
        }
    }
}

//! Puts events into records as some producers do: compressed, and many in one. Never: making events.

use super::clickstream::Event;
use crate::decode::compression::{Format, compress};
use crate::decode::kpl;
use crate::error::{Error, Result};

/// Bytes of an aggregated record at which it is full: Kinesis takes 1 MiB.
const AGGREGATE_BYTES_MAX: usize = 800 * 1024;

/// One record to put.
#[derive(Debug)]
pub struct Entry {
    /// Its partition key.
    pub partition_key: String,
    /// Payload.
    pub data: Vec<u8>,
    /// What is in it; their own payloads are gone.
    pub events: Vec<Event>,
}

/// Packs events into records.
pub struct Packer {
    aggregate: usize,
    format: Option<Format>,
    waiting: Vec<Event>,
    bytes: usize,
}

impl Packer {
    /// By the options of `produce`.
    pub fn new(aggregate: usize, compression: &str) -> Result<Self> {
        let format = match compression {
            "none" => None,
            "gzip" => Some(Format::Gzip),
            "zstd" => Some(Format::Zstd),
            "lz4" => Some(Format::Lz4),
            other => {
                return Err(Error::usage(format!(
                    "--compression \"{other}\" is none of none, gzip, zstd, lz4"
                )));
            }
        };
        Ok(Self { aggregate, format, waiting: Vec::new(), bytes: 0 })
    }

    /// Takes an event in; the record that is full with it, or with the last one.
    pub fn add(&mut self, mut event: Event, last: bool) -> Result<Option<Entry>> {
        if let Some(format) = self.format {
            event.data = compress(format, &event.data)
                .map_err(|e| Error::end(format!("an event cannot be compressed: {e}")))?;
        }
        if self.aggregate == 0 {
            let data = std::mem::take(&mut event.data);
            return Ok(Some(Entry { partition_key: event.partition_key.clone(), data, events: vec![event] }));
        }
        self.bytes += event.data.len() + event.partition_key.len() + 16;
        self.waiting.push(event);
        if !last && self.waiting.len() < self.aggregate && self.bytes < AGGREGATE_BYTES_MAX {
            return Ok(None);
        }
        self.bytes = 0;
        let mut events = std::mem::take(&mut self.waiting);
        let data = kpl::aggregate(events.iter().map(|e| (e.partition_key.as_str(), e.data.as_slice())));
        // A key of the events', since records of one constant key would all go into one shard.
        let partition_key = events.first().map(|e| e.partition_key.clone()).unwrap_or_default();
        for event in &mut events {
            event.data = Vec::new();
        }
        Ok(Some(Entry { partition_key, data, events }))
    }
}

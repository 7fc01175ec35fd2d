//! One shard's records, kept in the very bytes that `GetRecords` answers with.
//! A record is rendered once, when it is put; a page is a few slices of those bytes. Payloads stay base64: nothing here decodes.
//! Knows no stream and no clock.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

use crate::ids::{SEQUENCE_DIGITS, SEQUENCE_PREFIX_DIGITS};

/// Room taken at a time for rendered records.
const BLOCK_BYTES: usize = 1 << 20;
/// A page in more pieces than this is copied together, because each piece costs a write.
const PIECES_MAX: usize = 32;
/// What a rendered record needs beside payload and key.
const FRAME_BYTES: usize = 192;

/// A record as it arrives.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// The payload in base64, already checked.
    pub base64: &'a str,
    /// Partition key.
    pub partition_key: &'a str,
    /// Payload and key in bytes, as the limits count them.
    pub size: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    counter: u64,
    arrival_ms: u64,
    /// Ends of this record in the rendered bytes, and of its size in the running total.
    end: u64,
    size_end: u64,
}

#[derive(Debug)]
struct Block {
    end: u64,
    bytes: Bytes,
}

/// What one `GetRecords` takes from a shard.
#[derive(Debug, Default)]
pub struct Page {
    /// `,{record},{record}…`
    pub pieces: Vec<Bytes>,
    /// Records in the page.
    pub count: usize,
    /// Their size as the limits count it.
    pub size: u64,
    /// Where the next page begins.
    pub next: u64,
    /// Arrival of the last record given, or of the first that waits when none is given.
    pub last_arrival_ms: Option<u64>,
    /// Whether records remain behind the page.
    pub more: bool,
}

/// The records of a shard, oldest first.
#[derive(Debug)]
pub struct Log {
    prefix: String,
    entries: VecDeque<Entry>,
    blocks: VecDeque<Block>,
    open: BytesMut,
    end: u64,
    size_end: u64,
    /// Ends of what has been trimmed.
    trimmed: (u64, u64),
    next_counter: u64,
    last_arrival_ms: u64,
    appended: u64,
}

impl Log {
    /// An empty log whose sequence numbers begin with `prefix`.
    pub fn new(prefix: String) -> Self {
        Self {
            prefix,
            entries: VecDeque::new(),
            blocks: VecDeque::new(),
            open: BytesMut::new(),
            end: 0,
            size_end: 0,
            trimmed: (0, 0),
            next_counter: 1,
            last_arrival_ms: 0,
            appended: 0,
        }
    }

    /// The counter after every record so far.
    pub fn next_counter(&self) -> u64 {
        self.next_counter
    }

    /// Records held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Records ever appended.
    pub fn appended(&self) -> u64 {
        self.appended
    }

    /// Counters of the oldest and newest record held.
    pub fn bounds(&self) -> Option<(u64, u64)> {
        Some((self.entries.front()?.counter, self.entries.back()?.counter))
    }

    /// Stores a record and returns its counter.
    pub fn append(&mut self, record: Incoming<'_>, now_ms: u64) -> u64 {
        let counter = self.next_counter;
        // Real sequence numbers have gaps; a consumer that adds one must fail here too.
        self.next_counter += 1 + (counter * 7) % 13;
        self.last_arrival_ms = self.last_arrival_ms.max(now_ms);
        let room = record.base64.len() + record.partition_key.len() * 6 + FRAME_BYTES;
        if self.open.capacity() - self.open.len() < room {
            self.seal();
            self.open = BytesMut::with_capacity(BLOCK_BYTES.max(room));
        }
        let before = self.open.len();
        self.render(record, counter);
        self.end += (self.open.len() - before) as u64;
        self.size_end += record.size;
        self.appended += 1;
        self.entries.push_back(Entry {
            counter,
            arrival_ms: self.last_arrival_ms,
            end: self.end,
            size_end: self.size_end,
        });
        counter
    }

    fn render(&mut self, record: Incoming<'_>, counter: u64) {
        let out = &mut self.open;
        out.put_slice(b",{\"SequenceNumber\":\"");
        out.put_slice(self.prefix.as_bytes());
        put_padded(out, counter, SEQUENCE_DIGITS - SEQUENCE_PREFIX_DIGITS);
        out.put_slice(b"\",\"ApproximateArrivalTimestamp\":");
        put_padded(out, self.last_arrival_ms / 1000, 1);
        out.put_u8(b'.');
        put_padded(out, self.last_arrival_ms % 1000, 3);
        out.put_slice(b",\"Data\":\"");
        out.put_slice(record.base64.as_bytes());
        out.put_slice(b"\",\"PartitionKey\":");
        put_json_string(out, record.partition_key);
        out.put_u8(b'}');
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            self.blocks.push_back(Block { end: self.end, bytes: self.open.split().freeze() });
        }
    }

    /// The counter of the first record that arrived at or after `ms`, or the tip.
    pub fn counter_at(&self, ms: u64) -> u64 {
        let index = self.entries.partition_point(|entry| entry.arrival_ms < ms);
        self.entries.get(index).map_or(self.next_counter, |entry| entry.counter)
    }

    /// Forgets records that arrived before `ms`.
    pub fn trim_before(&mut self, ms: u64) {
        if self.entries.front().is_some_and(|entry| entry.arrival_ms < ms) {
            self.trim_count(self.entries.partition_point(|entry| entry.arrival_ms < ms));
        }
    }

    /// Forgets the oldest `count` records.
    pub fn trim_count(&mut self, count: usize) {
        if let Some(last) = self.entries.drain(..count.min(self.entries.len())).next_back() {
            self.trimmed = (last.end, last.size_end);
        }
        while self.blocks.front().is_some_and(|block| block.end <= self.trimmed.0) {
            self.blocks.pop_front();
        }
    }

    /// At most `limit` records of at most `size_max` in all from counter `from` on; one record is given however large.
    pub fn page(&mut self, from: u64, limit: usize, size_max: u64) -> Page {
        let first = self.entries.partition_point(|entry| entry.counter < from);
        let (start, size_start) = self.ends_before(first);
        let fits = self.entries.partition_point(|entry| entry.size_end <= size_start + size_max);
        let last = fits.max(first + 1).min(first + limit).min(self.entries.len());
        let Some(tail) =
            last.checked_sub(1).filter(|_| last > first).and_then(|index| self.entries.get(index))
        else {
            let waiting = self.entries.get(first);
            return Page {
                next: from,
                last_arrival_ms: waiting.map(|entry| entry.arrival_ms),
                more: waiting.is_some(),
                ..Page::default()
            };
        };
        let (tail, more) = (*tail, last < self.entries.len());
        self.seal();
        Page {
            pieces: self.slices(start, tail.end),
            count: last - first,
            size: tail.size_end - size_start,
            next: tail.counter + 1,
            last_arrival_ms: Some(tail.arrival_ms),
            more,
        }
    }

    fn ends_before(&self, index: usize) -> (u64, u64) {
        index
            .checked_sub(1)
            .and_then(|before| self.entries.get(before))
            .map_or(self.trimmed, |entry| (entry.end, entry.size_end))
    }

    fn slices(&self, start: u64, end: u64) -> Vec<Bytes> {
        let first = self.blocks.partition_point(|block| block.end <= start);
        let mut pieces = Vec::new();
        for block in self.blocks.iter().skip(first) {
            let block_start = block.end - block.bytes.len() as u64;
            if block_start >= end {
                break;
            }
            let from = usize::try_from(start.saturating_sub(block_start)).unwrap_or(0);
            let to = usize::try_from(end.min(block.end) - block_start).unwrap_or(block.bytes.len());
            pieces.push(block.bytes.slice(from..to));
        }
        if pieces.len() > PIECES_MAX {
            return vec![Bytes::from(pieces.concat())];
        }
        pieces
    }
}

fn put_padded(out: &mut BytesMut, mut value: u64, width: usize) {
    let mut digits = [b'0'; 40];
    let mut at = digits.len();
    while value > 0 {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
    out.put_slice(&digits[at.min(digits.len() - width)..]);
}

fn put_json_string(out: &mut BytesMut, text: &str) {
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.put_u8(b'"');
        out.put_slice(text.as_bytes());
        out.put_u8(b'"');
    } else {
        let escaped = serde_json::to_vec(text).unwrap_or_default();
        out.put_slice(&escaped);
    }
}

#[cfg(test)]
mod tests;

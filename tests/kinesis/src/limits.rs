//! The bounds of the service, all in one place, and the meters that enforce the per-shard rates when asked to.
//! A meter is told the time; it never asks for it.

use std::collections::VecDeque;

/// Records in one `PutRecords`.
pub const PUT_RECORDS_MAX: usize = 500;
/// Payloads and keys of one `PutRecords`.
pub const PUT_BYTES_MAX: u64 = 10 << 20;
/// A record, unless the stream's setting says more.
pub const RECORD_BYTES_DEFAULT: u64 = 1 << 20;
/// The most that setting may say.
pub const RECORD_KIB_MAX: u64 = 10_240;
/// Characters of a partition key.
pub const PARTITION_KEY_CHARS_MAX: usize = 256;
/// Records in one `GetRecords`.
pub const GET_RECORDS_MAX: usize = 10_000;
/// Payloads and keys of one `GetRecords`.
pub const GET_BYTES_MAX: u64 = 10 << 20;
/// Consumers of a stream.
pub const CONSUMERS_MAX: usize = 20;
/// Life of a subscription.
pub const SUBSCRIPTION_MS: u64 = 300_000;
/// How long a subscription keeps another one of the same consumer and shard away.
pub const RESUBSCRIBE_MS: u64 = 5_000;
/// Records and bytes of one event.
pub const EVENT_RECORDS_MAX: usize = 1_000;
/// See [`EVENT_RECORDS_MAX`].
pub const EVENT_BYTES_MAX: u64 = 1 << 20;
/// Shards on one page.
pub const LIST_SHARDS_MAX: usize = 1_000;
/// Life of a `ListShards` token.
pub const LIST_TOKEN_TTL_MS: u64 = 300_000;
/// Life of a shard iterator.
pub const ITERATOR_TTL_MS: u64 = 300_000;
/// Shards of an account.
pub const ACCOUNT_SHARDS_MAX: usize = 20_000;
/// `UpdateShardCount` calls a day.
pub const SHARD_COUNT_UPDATES_PER_DAY: usize = 10;
/// A request's body: the payloads in base64, the keys, and the JSON around them.
pub const BODY_BYTES_MAX: usize = 20 << 20;

const READS_PER_SECOND: usize = 5;
const READ_BYTES_PER_SECOND: u64 = 2 << 20;
const WRITE_RECORDS_PER_SECOND: u64 = 1_000;
const WRITE_BYTES_PER_SECOND: u64 = 1 << 20;

const _: () = assert!(RECORD_BYTES_DEFAULT <= RECORD_KIB_MAX << 10 && RECORD_KIB_MAX << 10 <= PUT_BYTES_MAX);
const _: () = assert!(
    BODY_BYTES_MAX as u64 > PUT_BYTES_MAX / 3 * 4 + (PUT_RECORDS_MAX * 6 * PARTITION_KEY_CHARS_MAX) as u64
);

/// Calls in the last second.
#[derive(Debug, Default)]
pub struct CallMeter {
    calls: VecDeque<u64>,
}

impl CallMeter {
    /// Counts a call, or refuses it: five a second.
    pub fn admit(&mut self, now_ms: u64) -> bool {
        while self.calls.front().is_some_and(|&at| at + 1000 <= now_ms) {
            self.calls.pop_front();
        }
        if self.calls.len() >= READS_PER_SECOND {
            return false;
        }
        self.calls.push_back(now_ms);
        true
    }
}

/// Reads of a shard: calls and bytes.
#[derive(Debug, Default)]
pub struct ReadMeter {
    calls: CallMeter,
    window_ms: u64,
    window_bytes: u64,
    blocked_until_ms: u64,
}

impl ReadMeter {
    /// Whether a read may go on.
    pub fn admit(&mut self, now_ms: u64) -> bool {
        now_ms >= self.blocked_until_ms && self.calls.admit(now_ms)
    }

    /// Accounts for what was read. A read is never cut short: what is too much is paid for afterwards.
    pub fn spend(&mut self, now_ms: u64, bytes: u64) {
        if now_ms >= self.window_ms + 1000 {
            (self.window_ms, self.window_bytes) = (now_ms, 0);
        }
        self.window_bytes += bytes;
        if self.window_bytes > READ_BYTES_PER_SECOND {
            self.blocked_until_ms = now_ms + self.window_bytes * 1000 / READ_BYTES_PER_SECOND;
        }
    }
}

/// Writes to a shard: records and bytes, each a bucket that holds one second's worth.
#[derive(Debug)]
pub struct WriteMeter {
    filled_ms: u64,
    records: u64,
    bytes: u64,
}

impl WriteMeter {
    /// Full at first.
    pub fn new() -> Self {
        Self { filled_ms: 0, records: WRITE_RECORDS_PER_SECOND, bytes: WRITE_BYTES_PER_SECOND }
    }

    /// Takes a record of `size` out of the buckets, or refuses it.
    pub fn admit(&mut self, now_ms: u64, size: u64) -> bool {
        let elapsed = now_ms.saturating_sub(self.filled_ms).min(1000);
        self.filled_ms = self.filled_ms.max(now_ms);
        self.records =
            (self.records + elapsed * WRITE_RECORDS_PER_SECOND / 1000).min(WRITE_RECORDS_PER_SECOND);
        self.bytes = (self.bytes + elapsed * WRITE_BYTES_PER_SECOND / 1000).min(WRITE_BYTES_PER_SECOND);
        // A record larger than a second's worth would else never get in.
        let cost = size.min(WRITE_BYTES_PER_SECOND);
        if self.records == 0 || self.bytes < cost {
            return false;
        }
        self.records -= 1;
        self.bytes -= cost;
        true
    }
}

impl Default for WriteMeter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_reads_a_second() {
        let mut meter = ReadMeter::default();
        assert!((0..5).all(|i| meter.admit(10_000 + i)));
        assert!(!meter.admit(10_999));
        assert!(meter.admit(11_000));
        assert!(!meter.admit(11_000));
    }

    #[test]
    fn ten_mebibytes_cost_five_seconds() {
        let mut meter = ReadMeter::default();
        assert!(meter.admit(10_000));
        meter.spend(10_000, 10 << 20);
        assert!(!meter.admit(14_999));
        assert!(meter.admit(15_000));
    }

    #[test]
    fn a_little_too_much_costs_one_second() {
        let mut meter = ReadMeter::default();
        meter.spend(10_000, 2 << 20);
        assert!(meter.admit(10_001));
        meter.spend(10_001, 1);
        assert!(!meter.admit(11_000));
        assert!(meter.admit(11_001));
    }

    #[test]
    fn a_thousand_records_and_a_mebibyte_a_second() {
        let mut meter = WriteMeter::new();
        assert!((0..1000).all(|_| meter.admit(10_000, 1)));
        assert!(!meter.admit(10_000, 1));
        assert!((0..10).all(|_| meter.admit(10_010, 1)));
        assert!(!meter.admit(10_010, 1));
        let mut meter = WriteMeter::new();
        assert!(meter.admit(10_000, 1 << 20));
        assert!(!meter.admit(10_500, 1 << 20));
        assert!(meter.admit(11_500, 1 << 20));
    }
}

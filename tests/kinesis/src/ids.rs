//! The names and numbers of the service: hash keys, shard ids, sequence numbers.
//! Spelling and parsing only; nothing here knows a stream.

use md5::{Digest, Md5};

/// Digits of a sequence number; real ones have 56 and do not fit 128 bits.
pub const SEQUENCE_DIGITS: usize = 56;
/// Digits that name the shard; the rest counts.
pub const SEQUENCE_PREFIX_DIGITS: usize = 20;
const SHARD_INDEX_MODULUS: u64 = 100_000;

/// Where a partition key falls.
pub fn hash_of(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into())
}

/// A decimal number as the service writes it: no sign, no leading zero.
pub fn is_decimal(text: &str) -> bool {
    text == "0" || (!text.is_empty() && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()))
}

/// A hash key, 0 to 2^128-1.
pub fn parse_hash_key(text: &str) -> Option<u128> {
    if is_decimal(text) { text.parse().ok() } else { None }
}

/// `shardId-000000000042`.
pub fn shard_id(index: u64) -> String {
    format!("shardId-{index:012}")
}

/// The index in a well-formed shard id.
pub fn shard_index(id: &str) -> Option<u64> {
    let digits = id.strip_prefix("shardId-")?;
    if digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// The digits all sequence numbers of one shard begin with. A child, made later, sorts after its parents.
pub fn sequence_prefix(created_ms: u64, shard_index: u64) -> String {
    format!("49{:013}{:05}", created_ms % 10_000_000_000_000, shard_index % SHARD_INDEX_MODULUS)
}

/// The whole sequence number.
pub fn sequence_number(prefix: &str, counter: u64) -> String {
    format!("{prefix}{counter:0width$}", width = SEQUENCE_DIGITS - SEQUENCE_PREFIX_DIGITS)
}

/// The counter of a sequence number, if it belongs to the shard with this prefix.
pub fn sequence_counter(prefix: &str, text: &str) -> Option<u64> {
    if text.len() != SEQUENCE_DIGITS || !is_decimal(text) {
        return None;
    }
    text.strip_prefix(prefix)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_key_falls_where_md5_says() {
        assert_eq!(hash_of("a"), 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
        assert_eq!(hash_of(""), 0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e);
    }

    #[test]
    fn hash_keys_are_plain_decimals_of_128_bits() {
        assert_eq!(parse_hash_key("340282366920938463463374607431768211455"), Some(u128::MAX));
        assert_eq!(parse_hash_key("340282366920938463463374607431768211456"), None);
        for wrong in ["", "+1", "-1", "01", "1 ", "0x1"] {
            assert_eq!(parse_hash_key(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn sequence_numbers_have_56_digits_and_come_back() {
        let prefix = sequence_prefix(1_790_866_917_741, 7);
        let text = sequence_number(&prefix, u64::MAX);
        assert_eq!(text.len(), SEQUENCE_DIGITS);
        assert_eq!(sequence_counter(&prefix, &text), Some(u64::MAX));
        assert_eq!(sequence_counter(&sequence_prefix(1_790_866_917_741, 8), &text), None);
        assert!(sequence_prefix(1_790_866_917_742, 0) > prefix);
    }

    #[test]
    fn shard_ids_are_strict() {
        assert_eq!(shard_index(&shard_id(42)), Some(42));
        for wrong in ["shardId-42", "42", "shardId-0000000000042", "shard-000000000042"] {
            assert_eq!(shard_index(wrong), None, "{wrong:?}");
        }
    }
}

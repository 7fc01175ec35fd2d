//! The frame in which the Kinesis Producer Library puts many user records into one: magic, a protobuf message, its
//! MD5. What is not such a frame in every byte is an ordinary record, as the KCL treats it. Never: payloads.

use md5::{Digest, Md5};

/// What an aggregated record begins with.
const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
/// Length of the digest it ends with.
const DIGEST: usize = 16;

/// One record as its producer knew it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserRecord<'a> {
    /// Its own partition key; the outer record's says nothing.
    pub partition_key: &'a [u8],
    /// Payload.
    pub data: &'a [u8],
}

/// The user records of an aggregated record, the first `max` of them; `None`: it is an ordinary one.
///
/// Explicit hash keys are read over. The KCL drops what lies outside the shard's hash range by them, with all that
/// comes before it: after a split that loses records the producer was told are stored.
pub fn split(record: &[u8], max: usize) -> Option<Vec<UserRecord<'_>>> {
    let framed = record.strip_prefix(&MAGIC)?;
    let message = framed.get(..framed.len().checked_sub(DIGEST)?).filter(|m| !m.is_empty())?;
    if Md5::digest(message).as_slice() != &framed[message.len()..] {
        return None;
    }
    let mut keys: Vec<&[u8]> = Vec::new();
    let mut found: Vec<(u64, &[u8])> = Vec::new();
    let mut fields = Fields(message);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(key)) => keys.push(key),
            (3, Value::Bytes(user)) if found.len() < max => found.push(user_record(user)?),
            (1..=3, Value::Number(_) | Value::Fixed) => return None,
            _ => {}
        }
    }
    let whole = |(key, data): (u64, _)| {
        Some(UserRecord { partition_key: keys.get(usize::try_from(key).ok()?)?, data })
    };
    found.into_iter().map(whole).collect()
}

/// Index of the partition key, and payload.
fn user_record(message: &[u8]) -> Option<(u64, &[u8])> {
    let (mut key, mut data) = (None, None);
    let mut fields = Fields(message);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Number(index)) => key = Some(index),
            (3, Value::Bytes(bytes)) => data = Some(bytes),
            (1 | 3, _) => return None,
            _ => {}
        }
    }
    key.zip(data)
}

/// The value of a field, as far as anybody here wants it.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// What is left of a protobuf message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The next field: `None` where the message is broken, `Some(None)` at its end.
    #[allow(clippy::option_option)]
    fn next(&mut self) -> Option<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.bytes(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.bytes(usize::try_from(length).ok()?)?)
            }
            5 => self.bytes(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        (tag >> 3 > 0).then_some(Some((tag >> 3, value)))
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes(1)?.first()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

/// Puts user records, each with its partition key, into one aggregated record; for `strata produce`.
pub fn aggregate<'a>(records: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut keys: Vec<&str> = Vec::new();
    let mut users = Vec::new();
    for (key, data) in records {
        let index = keys.iter().position(|k| *k == key).unwrap_or_else(|| {
            keys.push(key);
            keys.len() - 1
        });
        let mut user = vec![0x08];
        put_varint(&mut user, index);
        put_bytes(&mut user, 3, data);
        put_bytes(&mut users, 3, &user);
    }
    let mut record = MAGIC.to_vec();
    for key in keys {
        put_bytes(&mut record, 1, key.as_bytes());
    }
    record.extend_from_slice(&users);
    let digest = Md5::digest(&record[MAGIC.len()..]);
    record.extend_from_slice(&digest);
    record
}

fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_varint(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        out.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or_default());
}

#[cfg(test)]
#[path = "kpl_tests.rs"]
mod tests;

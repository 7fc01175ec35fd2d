//! The answer to `GetRecords`, which is nearly all that is read: its JSON is taken apart here, payloads decoded from
//! base64 straight into the memory that the records of the page share. The SDK would make three strings of each.
//! Never: calls.

use crate::clock::EPOCH_2000;
use crate::stream::{Page, Records};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Reads the body of an answer.
pub(super) fn read(body: &[u8]) -> Result<Page, serde_json::Error> {
    // (once for all strings)
    let body = std::str::from_utf8(body).map_err(serde_json::Error::custom)?;
    // Three quarters of base64 are payload; what else there is is half syntax.
    let mut records = Records::with_capacity(body.len() / 4 * 3);
    let mut deserializer = serde_json::Deserializer::from_str(body);
    let (next, behind_ms) = deserializer.deserialize_map(Answer(&mut records))?;
    deserializer.end()?;
    Ok(Page { records: records.finish(), next, behind_ms })
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Member {
    Records,
    NextShardIterator,
    MillisBehindLatest,
    #[serde(other)]
    Other,
}

struct Answer<'r>(&'r mut Records);

impl<'de> Visitor<'de> for Answer<'_> {
    type Value = (Option<String>, i64);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer to GetRecords")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut next, mut behind_ms) = (None, None);
        while let Some(member) = map.next_key()? {
            match member {
                Member::Records => map.next_value_seed(All(&mut *self.0))?,
                Member::NextShardIterator => next = map.next_value()?,
                Member::MillisBehindLatest => behind_ms = map.next_value()?,
                Member::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok((next, behind_ms.unwrap_or_default()))
    }
}

struct All<'r>(&'r mut Records);

impl<'de> DeserializeSeed<'de> for All<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for All<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(One(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Field {
    Data,
    SequenceNumber,
    PartitionKey,
    ApproximateArrivalTimestamp,
    #[serde(other)]
    Other,
}

struct One<'r>(&'r mut Records);

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut number: Option<Text<'de>> = None;
        let mut key: Option<Text<'de>> = None;
        let mut arrived: Option<f64> = None;
        while let Some(field) = map.next_key()? {
            match field {
                Field::Data => map.next_value_seed(Payload(self.0.payload()))?,
                Field::SequenceNumber => number = map.next_value()?,
                Field::PartitionKey => key = map.next_value()?,
                Field::ApproximateArrivalTimestamp => arrived = map.next_value()?,
                Field::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let number = number.ok_or_else(|| A::Error::missing_field("SequenceNumber"))?;
        let key = key.map_or(Cow::Borrowed(""), |key| key.0);
        self.0.end(&number.0, &key, arrived.and_then(micros));
        Ok(())
    }
}

/// A string that is copied where it holds escapes alone.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Payload<'o>(&'o mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Payload<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Payload<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        base64_simd::STANDARD.decode_append(text, self.0).map_err(|_| E::custom("a payload is not base64"))
    }
}

/// Microseconds since 2000 of seconds since 1970, which have no more than three digits behind their point.
fn micros(seconds: f64) -> Option<i64> {
    let whole = seconds.floor();
    let fraction = ((seconds - whole) * 1e6).round();
    if !(-1e15..1e15).contains(&whole) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "both were just seen to fit")]
    let (whole, fraction) = (whole as i64, fraction as i64);
    (whole - EPOCH_2000).checked_mul(1_000_000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use base64::Engine;
    use proptest::prelude::*;

    #[test]
    fn an_answer_is_read() {
        let body = r#"{"MillisBehindLatest":1500,"NextShardIterator":"AA\/B","ChildShards":[{"ShardId":"x"}],"Records":[
            {"ApproximateArrivalTimestamp":9.46684801123E8,"Data":"aGk=","PartitionKey":"a\u00e9\"","SequenceNumber":"17","EncryptionType":"KMS"},
            {"Data":"","PartitionKey":"b","SequenceNumber":"18"},
            {"SequenceNumber":"19","ApproximateArrivalTimestamp":1600000000,"Data":"\/\/8="}]}"#;
        let page = read(body.as_bytes()).unwrap();
        assert_eq!((page.next.as_deref(), page.behind_ms), (Some("AA/B"), 1500));
        let told: Vec<_> = page
            .records
            .iter()
            .map(|r| (r.data(), r.sequence_number(), r.partition_key(), r.arrived_at))
            .collect();
        let expected: [(&[u8], &str, &str, Option<i64>); 3] = [
            (b"hi", "17", "aé\"", Some(1_123_000)),
            (b"", "18", "b", None),
            (b"\xff\xff", "19", "", Some((1_600_000_000 - EPOCH_2000) * 1_000_000)),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn the_end_of_a_shard_has_no_next_page() {
        for body in [r#"{"Records":[],"NextShardIterator":null}"#, r#"{"Records":[]}"#] {
            let page = read(body.as_bytes()).unwrap();
            assert!(page.next.is_none() && page.records.is_empty());
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let broken: [&[u8]; 8] = [
            b"",
            b"[]",
            b"{\"Records\":[",
            b"{\"Records\":[]} x",
            b"{\"Records\":[{\"Data\":\"\"}]}",
            b"{\"Records\":[{\"Data\":\"a\",\"SequenceNumber\":\"1\"}]}",
            b"{\"Records\":[{\"Data\":1,\"SequenceNumber\":\"1\"}]}",
            b"{\"Records\":[],\"X\":\"\xff\"}",
        ];
        for body in broken {
            assert!(read(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }

    proptest! {
        #[test]
        fn every_record_comes_back(records in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..80), any::<u64>(), ".{0,9}", 0_i64..4_000_000_000_000), 0..6)) {
            let encode = |data: &Vec<u8>| base64::engine::general_purpose::STANDARD.encode(data);
            let written: Vec<_> = records.iter().map(|(data, number, key, ms)| serde_json::json!({
                "Data": encode(data), "SequenceNumber": number.to_string(), "PartitionKey": key,
                "ApproximateArrivalTimestamp": f64::from(u32::try_from(ms / 1000).unwrap()) + f64::from(u32::try_from(ms % 1000).unwrap()) / 1000.0,
            })).collect();
            let page = read(serde_json::json!({ "Records": written }).to_string().as_bytes()).unwrap();
            prop_assert_eq!(page.records.len(), records.len());
            for (found, (data, number, key, ms)) in page.records.iter().zip(&records) {
                prop_assert_eq!(found.data(), &data[..]);
                prop_assert_eq!(found.sequence_number(), number.to_string());
                prop_assert_eq!(found.partition_key(), key);
                prop_assert_eq!(found.arrived_at, Some((ms - EPOCH_2000 * 1000) * 1000));
            }
        }

        #[test]
        fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = read(&noise);
        }
    }
}

//! From a record to its events: the frame of the KPL, compression, several events in one payload. What is wrong
//! with one user record is that record's dead letter alone; what is wrong with the whole is one dead letter for all.
//! Never: values, columns.

use super::compression::Trouble;
use super::{Decoded, Decoder, Fault, kpl};
use crate::batch::EventNumber;
use crate::config::Events;
use crate::decode::mapping::Mapping;
use crate::decode::source::Origin;
use crate::stream::Record;
use serde::Deserializer as _;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use strata_core::copy::CopyBuffer;

/// Memory for decompressed payloads that is kept from one to the next.
const KEPT_BYTES: usize = 256 * 1024;

/// A fault and the column it lies in.
pub(super) type Wrong = (Fault, Option<usize>);

/// The partition key of a user record, which lies in the bytes of the record around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InnerKey {
    /// Index of the record in its chunk.
    pub record: u32,
    /// First event that has the key.
    pub event: u32,
    /// Where it begins in the record.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
}

/// What one record may still become.
struct Unpacking<'a> {
    record: u32,
    /// Where its events come from.
    origin: Origin<'a>,
    /// Number of the next event.
    event: u32,
    /// Bytes it may still decompress to.
    bytes: usize,
    /// Whether its events are numbered.
    numbered: bool,
}

/// Why unpacking stopped.
enum Stop {
    /// This payload is no good; those beside it may be.
    Payload(Fault),
    /// The whole record is no good.
    Record(Fault),
}

impl Mapping {
    /// Whether a record may be more or other than one event as it stands. JSON begins with none of these bytes.
    pub(super) fn is_packed(&self, data: &[u8]) -> bool {
        use super::compression::Setting::{Auto, None};
        let magic = matches!(data.first(), Some(0x04 | 0x1f | 0x28 | 0xf3));
        magic || self.events != Events::One || !matches!(self.compression, Auto | None)
    }
}

impl Decoder {
    /// Decodes one record that may hold several events, or none.
    pub(super) fn unpack(
        &mut self,
        index: u32,
        record: &Record,
        copy: &mut CopyBuffer,
        decoded: &mut Decoded,
    ) {
        let (mark, before) = (copy.mark(), decoded.mark());
        let mut unpacking = Unpacking {
            record: index,
            origin: Origin { record, key: None },
            event: 0,
            bytes: self.bounds.decompressed_bytes,
            numbered: self.mapping.events != Events::One,
        };
        let max = self.bounds.record_events as usize + 1;
        let outcome = match kpl::split(record.data(), max) {
            None => self.payload(record.data(), &mut unpacking, copy, decoded),
            Some(users) => {
                unpacking.numbered = true;
                let base = record.data().as_ptr() as usize;
                let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
                users.into_iter().try_for_each(|user| {
                    let start = user.partition_key.as_ptr() as usize - base;
                    let end = place(start + user.partition_key.len());
                    let key = InnerKey { record: index, event: unpacking.event, start: place(start), end };
                    decoded.keys.push(key);
                    unpacking.origin.key = Some(user.partition_key);
                    self.user_record(user.data, &mut unpacking, copy, decoded)
                })
            }
        };
        if let Err(Stop::Payload(fault) | Stop::Record(fault)) = outcome {
            copy.rollback(mark);
            decoded.rollback(&before);
            self.reject(index, EventNumber::WHOLE, (fault, None), decoded);
        }
    }

    /// The payload of one user record: what is wrong with it leaves the others alone.
    fn user_record(
        &mut self,
        data: &[u8],
        unpacking: &mut Unpacking,
        copy: &mut CopyBuffer,
        decoded: &mut Decoded,
    ) -> Result<(), Stop> {
        let (mark, before, event) = (copy.mark(), decoded.mark(), unpacking.event);
        match self.payload(data, unpacking, copy, decoded) {
            Err(Stop::Payload(fault)) => {
                copy.rollback(mark);
                decoded.rollback(&before);
                unpacking.event = event;
                let number = self.number(unpacking)?;
                self.reject(unpacking.record, number, (fault, None), decoded);
                Ok(())
            }
            other => other,
        }
    }

    /// A payload, decompressed where it is compressed.
    fn payload(
        &mut self,
        data: &[u8],
        unpacking: &mut Unpacking,
        copy: &mut CopyBuffer,
        decoded: &mut Decoded,
    ) -> Result<(), Stop> {
        let Some(format) = self.mapping.compression.format(data) else {
            return self.plain(data, unpacking, copy, decoded);
        };
        let mut whole = std::mem::take(&mut self.whole);
        whole.clear();
        let outcome = match format.decompress(data, unpacking.bytes, &mut self.inflater, &mut whole) {
            Ok(()) => {
                unpacking.bytes -= whole.len();
                self.plain(&whole, unpacking, copy, decoded)
            }
            Err(Trouble::TooLarge) => Err(Stop::Record(self.too_large())),
            Err(Trouble::Broken(why)) => {
                let reason = format!("payload cannot be decompressed as {}: {why}", format.name());
                Err(Stop::Payload(Fault::new("22P03", reason)))
            }
        };
        // What most payloads need is kept, what a few need is not.
        if whole.capacity() <= KEPT_BYTES {
            self.whole = whole;
        }
        outcome
    }

    /// A payload as its producer had it, cut into events.
    fn plain(
        &mut self,
        data: &[u8],
        unpacking: &mut Unpacking,
        copy: &mut CopyBuffer,
        decoded: &mut Decoded,
    ) -> Result<(), Stop> {
        let first = || data.iter().find(|b| !b.is_ascii_whitespace());
        match self.mapping.events {
            Events::Lines => {
                let mut lines = data.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty());
                lines.try_for_each(|line| self.event(line, unpacking, copy, decoded))
            }
            Events::Array if first() == Some(&b'[') => self.array(data, unpacking, copy, decoded),
            Events::One | Events::Array => self.event(data, unpacking, copy, decoded),
        }
    }

    fn too_large(&self) -> Fault {
        let max = self.bounds.decompressed_bytes;
        Fault::new("54000", format!("record decompresses to more than the limit of {max} bytes"))
    }

    /// The elements of a JSON array. One that is broken is not taken in part.
    fn array(
        &mut self,
        data: &[u8],
        unpacking: &mut Unpacking,
        copy: &mut CopyBuffer,
        decoded: &mut Decoded,
    ) -> Result<(), Stop> {
        let text = utf8(data).map_err(Stop::Payload)?;
        let mut stop = None;
        let each = |element: &str| match self.event(element.as_bytes(), unpacking, copy, decoded) {
            Ok(()) => true,
            Err(why) => {
                stop = Some(why);
                false
            }
        };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = deserializer.deserialize_seq(Elements(each)).and_then(|()| deserializer.end());
        match (stop, read) {
            (Some(stop), _) => Err(stop),
            (None, Ok(())) => Ok(()),
            (None, Err(e)) => Err(Stop::Payload(Fault::new("22P02", format!("record is not JSON: {e}")))),
        }
    }

    /// One event: a row or a reject.
    fn event(
        &mut self,
        data: &[u8],
        unpacking: &mut Unpacking,
        copy: &mut CopyBuffer,
        decoded: &mut Decoded,
    ) -> Result<(), Stop> {
        let number = self.number(unpacking)?;
        self.place((unpacking.record, number), unpacking.origin, data, copy, decoded);
        Ok(())
    }

    /// The number of the next event, unless there are too many.
    fn number(&self, unpacking: &mut Unpacking) -> Result<EventNumber, Stop> {
        let event = unpacking.event;
        if event >= self.bounds.record_events {
            let reason = format!("record holds more than the limit of {event} events");
            return Err(Stop::Record(Fault::new("54000", reason)));
        }
        unpacking.event += 1;
        Ok(if unpacking.numbered { EventNumber::new(event) } else { EventNumber::WHOLE })
    }
}

/// A payload as text.
pub(super) fn utf8(data: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(data)
        .map_err(|e| Fault::new("22021", format!("record is not valid UTF-8 after byte {}", e.valid_up_to())))
}

/// Hands on the text of each element until one is refused.
struct Elements<F>(F);

impl<'de, F: FnMut(&str) -> bool> Visitor<'de> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element::<&'de RawValue>()? {
            if !(self.0)(element.get()) {
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;

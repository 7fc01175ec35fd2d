//! Where a column's value comes from: the event, what came with it, the configuration. Never: types, COPY.

use super::path::{self, Step};
use crate::error::{Error, Result};
use crate::stream::Record;

/// Where a column's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: it is NULL.
    Absent,
    /// A slot among the paths from the event's root.
    Event(usize),
    /// A slot among the paths from the object in the envelope.
    Image(usize),
    /// Always this JSON.
    Constant(String),
    /// What came with the record.
    Beside(Beside),
    /// The members that no other column takes whole.
    Rest,
}

/// What comes with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Name of the stream.
    Stream,
    /// Id of the shard.
    Shard,
    /// Place in the shard.
    SequenceNumber,
    /// Partition key of the user record.
    PartitionKey,
    /// When the stream took it.
    ArrivedAt,
    /// What the envelope says has happened.
    Operation,
}

/// What a path begins at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The event as it is in the record: `$`.
    Event,
    /// The object in its envelope: `@`. Without an envelope that is the event.
    Image,
}

/// How a source is written in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// A path.
    Path(Scope, Vec<Step>),
    /// What came with the record.
    Beside(Beside),
    /// `$rest`.
    Rest,
}

/// The names that are no paths.
const NAMES: [(&str, Beside); 6] = [
    ("$stream", Beside::Stream),
    ("$shard", Beside::Shard),
    ("$sequence_number", Beside::SequenceNumber),
    ("$partition_key", Beside::PartitionKey),
    ("$arrived_at", Beside::ArrivedAt),
    ("$operation", Beside::Operation),
];
/// The members that no other column takes.
const REST: &str = "$rest";

/// Reads a source as it is written.
pub fn parse(text: &str) -> Result<Written> {
    if text == REST {
        return Ok(Written::Rest);
    }
    if let Some((_, beside)) = NAMES.iter().find(|(name, _)| *name == text) {
        return Ok(Written::Beside(*beside));
    }
    let misspelt =
        text.strip_prefix('$').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
    if misspelt {
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).chain([REST]).collect();
        return Err(Error::usage(format!(
            "\"{text}\" is neither a JSON path, as in $.{}, nor one of {}",
            &text[1..],
            names.join(", ")
        )));
    }
    match text.strip_prefix('@') {
        Some(rest) => path::parse(&format!("${rest}")).map(|path| Written::Path(Scope::Image, path)),
        None => path::parse(text).map(|path| Written::Path(Scope::Event, path)),
    }
}

/// What an event comes with.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The record it is in.
    pub record: &'a Record,
    /// Its own partition key, where it has one.
    pub key: Option<&'a [u8]>,
}

impl<'a> Origin<'a> {
    /// The partition key it was put with.
    pub fn partition_key(&self) -> std::borrow::Cow<'a, str> {
        match self.key {
            Some(key) => String::from_utf8_lossy(key),
            None => std::borrow::Cow::Borrowed(self.record.partition_key()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_and_paths_are_told_apart() {
        assert_eq!(parse("$shard").unwrap(), Written::Beside(Beside::Shard));
        assert_eq!(parse("$rest").unwrap(), Written::Rest);
        let path = vec![Step::Key("shard".to_owned())];
        assert_eq!(parse("$.shard").unwrap(), Written::Path(Scope::Event, path.clone()));
        assert_eq!(parse("@.shard").unwrap(), Written::Path(Scope::Image, path));
        assert!(parse("@shard").is_err());
        let error = parse("$shrad").unwrap_err().to_string();
        assert!(error.contains("$.shrad") && error.contains("$shard") && error.contains("$rest"), "{error}");
        assert!(parse("shard").is_err());
    }
}

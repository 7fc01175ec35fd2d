//! What some producers put around an event, and what it says of it: CloudEvents 1.0, AWS DMS, Debezium. An envelope is
//! opened into a change: the object that columns are relative to, and what happened to it. What is no change of a row
//! is passed over, or refused where a person must decide. Never: columns, types, COPY.

mod cloudevents;
pub mod debezium;
mod dms;
pub mod logical;

use super::Fault;
use super::json::{self, Span};
use super::path::{Node, Step};
use super::scalar::{self, Json};
use serde::Deserialize;

/// What is around an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Nothing: the record is the event.
    None,
    /// CloudEvents 1.0, structured, as JSON.
    CloudEvents,
    /// Messages of the AWS Database Migration Service.
    Dms,
    /// Messages of Debezium as JSON, with their schema or without.
    Debezium,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The row was there when its table was first read.
    Load,
    /// The row is new.
    Insert,
    /// The row changed.
    Update,
    /// The row is gone.
    Delete,
}

impl Operation {
    /// Its name, as `$operation` gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// A change of one row, or an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// What happened.
    pub operation: Operation,
    /// The object that names of columns are relative to: the row after the change, or what was deleted.
    pub image: Option<&'a str>,
    /// What the producer says of the row before.
    pub before: Option<&'a str>,
    /// Debezium's schema of the message.
    pub schema: Option<&'a str>,
}

/// What is in an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened<'a> {
    /// A change.
    Change(Change<'a>),
    /// Nothing that concerns a row.
    Nothing,
}

/// Opens envelopes of one kind; keeps its scratch memory.
pub struct Opener {
    kind: Kind,
    /// Paths that an envelope of this kind is known by, as often as one must look.
    looks: Vec<Look>,
    /// What was base64.
    decoded: String,
}

/// Some paths and where their values lie in the text looked at last.
struct Look {
    root: Node,
    slots: Vec<usize>,
    spans: Vec<Span>,
}

impl Look {
    fn new(paths: &[&[&str]]) -> Self {
        let steps = |path: &&[&str]| path.iter().map(|key| Step::Key((*key).to_owned())).collect();
        let paths: Vec<Vec<Step>> = paths.iter().map(steps).collect();
        let (root, slots) = Node::build(&paths);
        Self { spans: vec![Span::MISSING; root.last], root, slots }
    }

    fn at(&mut self, text: &str) -> Result<(), Fault> {
        json::find(text, &self.root, &mut self.spans).map_err(|e| json::fault(&e))
    }

    /// The value of a path, `None` where it is missing or null.
    fn value<'a>(&self, text: &'a str, path: usize) -> Option<&'a str> {
        self.spans[self.slots[path]].text(text).filter(|value| *value != "null")
    }

    /// The characters of a value that is a string; envelopes have no escapes where this is asked.
    fn word<'a>(&self, text: &'a str, path: usize) -> Option<&'a str> {
        match Json::of(self.value(text, path)?) {
            Json::String(inner) => Some(inner),
            _ => None,
        }
    }
}

impl Opener {
    /// For one kind.
    pub fn new(kind: Kind) -> Self {
        let looks = match kind {
            Kind::None => Vec::new(),
            Kind::CloudEvents => vec![Look::new(cloudevents::PATHS)],
            Kind::Dms => vec![Look::new(dms::PATHS)],
            Kind::Debezium => vec![Look::new(debezium::OUTER), Look::new(debezium::INNER)],
        };
        Self { kind, looks, decoded: String::new() }
    }

    /// Whether a record has nothing in it by convention.
    pub fn is_tombstone(&self, data: &[u8]) -> bool {
        self.kind == Kind::Debezium && debezium::is_tombstone(data)
    }

    /// Opens one envelope.
    pub fn open<'a>(&'a mut self, text: &'a str) -> Result<Opened<'a>, Fault> {
        match (self.kind, self.looks.as_mut_slice()) {
            (Kind::CloudEvents, [look]) => cloudevents::open(look, &mut self.decoded, text),
            (Kind::Dms, [look]) => dms::open(look, text),
            (Kind::Debezium, [outer, inner]) => debezium::open(outer, inner, text),
            _ => Ok(Opened::Change(Change {
                operation: Operation::Insert,
                image: Some(text),
                before: None,
                schema: None,
            })),
        }
    }
}

/// An object, or nothing.
fn object(text: Option<&str>) -> Option<&str> {
    text.filter(|text| text.starts_with('{'))
}

/// Something that only a person can carry over to the table.
fn set_aside(what: &str) -> Fault {
    Fault::new("0A000", format!("{what} is not applied: see to the table, then purge this dead letter"))
}

/// What a record of another kind is told.
fn stranger(kind: &str, lacks: &str) -> Fault {
    Fault::new("22P02", format!("record is no message of {kind}: it has no {lacks}"))
}

/// The characters of a JSON string.
fn unescaped(text: &str, scratch: &mut String) -> Result<bool, Fault> {
    let Json::String(inner) = Json::of(text) else { return Ok(false) };
    let mut unescaped = String::new();
    let plain = scalar::unescape(inner, &mut unescaped)?;
    scratch.clear();
    scratch.push_str(plain);
    Ok(true)
}

#[cfg(test)]
#[path = "../envelope_tests.rs"]
mod tests;

//! The value of a column: where it lies, and how its envelope means it. Never: encoding, judging.

use super::Fault;
use super::encode::Value;
use super::envelope::logical::Schema;
use super::envelope::{self, Change, Operation, debezium};
use super::json::{self, Span};
use super::mapping::{Field, Mapping};
use super::plan::{Column, TablePlan, Target};
use super::scalar::{self, Json};
use super::source::{Beside, Origin, Source};
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::sync::Arc;
use strata_core::encoding::Tag;
use strata_core::time::format_timestamptz;

/// An event and all that is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// What it comes with.
    pub origin: Origin<'a>,
    /// Its text.
    pub text: &'a str,
    /// What its envelope says.
    pub change: Change<'a>,
}

/// Finds the values of one feed's events.
pub struct Reading {
    /// What is written.
    pub plan: Arc<TablePlan>,
    /// Where it is found.
    pub mapping: Arc<Mapping>,
    spans: Vec<Span>,
    image_spans: Vec<Span>,
    schema: Schema,
    stream: String,
    shard: String,
    arrived: String,
    rest: String,
}

/// A column's value, or none because the row that is there keeps its own.
pub enum Found<'a> {
    /// This.
    Value(Value<'a>),
    /// Its own.
    Kept,
}

impl Reading {
    /// Of one feed of a table.
    pub fn new(plan: Arc<TablePlan>, mapping: Arc<Mapping>) -> Self {
        Self {
            spans: vec![Span::MISSING; mapping.root.last],
            image_spans: vec![Span::MISSING; mapping.image.last],
            schema: Schema::default(),
            stream: String::new(),
            shard: String::new(),
            arrived: String::new(),
            rest: String::new(),
            plan,
            mapping,
        }
    }

    /// Says where records come from.
    pub fn of_shard(&mut self, stream: &str, shard: &str) {
        stream.clone_into(&mut self.stream);
        shard.clone_into(&mut self.shard);
    }

    /// Finds the values of an event that are named from its root. `false`: it does not concern this table.
    pub fn find(&mut self, text: &str) -> Result<bool, Fault> {
        json::find(text, &self.mapping.root, &mut self.spans).map_err(|e| json::fault(&e))?;
        let concerns = |(slot, wanted): &(usize, Vec<String>)| {
            let Some(value) = self.spans[*slot].text(text) else { return false };
            // Some write characters as escapes that need none.
            let plain = serde_json::from_str(value).map(|value: serde_json::Value| value.to_string());
            wanted
                .iter()
                .any(|one| one == value || (value.contains('\\') && plain.as_ref().is_ok_and(|v| v == one)))
        };
        Ok(self.mapping.only.iter().all(concerns))
    }

    /// The image that a changed key was in, where an update says so.
    pub fn former_key<'a>(&mut self, change: &Change<'a>) -> Result<Option<&'a str>, Fault> {
        let Target::Keyed { key } = &self.plan.target else { return Ok(None) };
        let (Operation::Update, Some(before), Some(image)) = (change.operation, change.before, change.image)
        else {
            return Ok(None);
        };
        let mut keys: [Vec<Option<&str>>; 2] = [Vec::new(), Vec::new()];
        for (text, found) in [before, image].into_iter().zip(&mut keys) {
            json::find(text, &self.mapping.image, &mut self.image_spans).map_err(|e| json::fault(&e))?;
            for at in key {
                let Source::Image(slot) = self.mapping.fields[*at].source else { return Ok(None) };
                found.push(self.image_spans[slot].text(text));
            }
        }
        let [old, new] = keys;
        Ok((old.iter().all(Option::is_some) && old != new).then_some(before))
    }

    /// What all columns of an event share.
    pub fn prepare(&mut self, event: &Event) -> Result<(), Fault> {
        let broken = |e: serde_json::Error| json::fault(&e);
        if self.mapping.envelope != envelope::Kind::None {
            self.image_spans.fill(Span::MISSING);
            if let Some(image) = event.change.image.filter(|image| image.trim_ascii_start().starts_with('{'))
            {
                json::find(image, &self.mapping.image, &mut self.image_spans).map_err(broken)?;
            }
        }
        if self.mapping.envelope == envelope::Kind::Debezium {
            self.schema.read(event.change.schema)?;
        }
        if let Some(taken) = &self.mapping.taken {
            json::rest(event.change.image.unwrap_or_default(), taken, &mut self.rest).map_err(broken)?;
        }
        if self.mapping.wants_arrival {
            self.arrived = event.origin.record.arrived_at.map(format_timestamptz).unwrap_or_default();
        }
        Ok(())
    }

    /// The value of one column.
    pub fn value<'a>(
        &'a self,
        event: &Event<'a>,
        key: Option<&'a Cow<'_, str>>,
        column: &Column,
        field: &'a Field,
        scratch: &'a mut String,
    ) -> Result<Found<'a>, Fault> {
        let json = match &field.source {
            Source::Event(slot) => self.spans[*slot].text(event.text),
            Source::Image(slot) => event.change.image.and_then(|image| self.image_spans[*slot].text(image)),
            Source::Absent => return Ok(Found::Value(Value::Missing)),
            Source::Constant(json) => return Ok(Found::Value(Value::Json(json))),
            Source::Rest => return Ok(Found::Value(Value::Json(&self.rest))),
            Source::Beside(beside) => {
                let plain = match beside {
                    Beside::Stream => &self.stream,
                    Beside::Shard => &self.shard,
                    Beside::SequenceNumber => event.origin.record.sequence_number(),
                    Beside::PartitionKey => key.map(AsRef::as_ref).unwrap_or_default(),
                    Beside::ArrivedAt if self.arrived.is_empty() => {
                        return Ok(Found::Value(Value::Missing));
                    }
                    Beside::ArrivedAt => &self.arrived,
                    Beside::Operation => event.change.operation.name(),
                };
                return Ok(Found::Value(Value::Plain(plain)));
            }
        };
        let Some(json) = json else {
            let kept = self.plan.is_keyed() && self.mapping.keeps_missing;
            return Ok(if kept { Found::Kept } else { Found::Value(Value::Missing) });
        };
        match self.mapping.envelope {
            envelope::Kind::None | envelope::Kind::CloudEvents => Ok(Found::Value(Value::Json(json))),
            envelope::Kind::Debezium if debezium::UNAVAILABLE.contains(&json) => {
                Ok(if self.plan.is_keyed() { Found::Kept } else { Found::Value(Value::Missing) })
            }
            _ => self.captured(json, column, field, scratch).map(Found::Value),
        }
    }

    /// A value as change data capture has it: in another form than the column's type is usually written in.
    fn captured<'a>(
        &self,
        json: &'a str,
        column: &Column,
        field: &Field,
        scratch: &'a mut String,
    ) -> Result<Value<'a>, Fault> {
        if json == "null" {
            return Ok(Value::Json(json));
        }
        let logical = field.member.as_deref().and_then(|member| self.schema.field(member));
        if let Some(logical) = logical {
            logical.text(json, scratch)?;
            if column.tag == Tag::Timestamp {
                scratch.truncate(scratch.trim_end_matches('Z').len());
            }
            return Ok(Value::Plain(scratch));
        }
        let Json::String(inner) = Json::of(json) else { return Ok(Value::Json(json)) };
        match column.tag {
            // Documents come as strings that hold them.
            Tag::Json | Tag::Jsonb => {
                let mut unescaped = String::new();
                let document = scalar::unescape(inner, &mut unescaped)?;
                serde_json::from_str::<IgnoredAny>(document)
                    .map_err(|e| Fault::new("22P02", format!("the string is not JSON: {e}")))?;
                scratch.clear();
                scratch.push_str(document.trim());
                Ok(Value::Json(scratch))
            }
            // Wall clocks come as if they were UTC.
            Tag::Timestamp if inner.ends_with('Z') => Ok(Value::Plain(&inner[..inner.len() - 1])),
            _ => Ok(Value::Json(json)),
        }
    }
}

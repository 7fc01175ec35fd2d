//! Descriptions of audited tables (docs/formats.md): what their leaves are made of, as the log has it signed and as the
//! catalog has it now, and what it means where the two differ. Never: reading either.

use crate::error::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use strata_core::encoding::{Tag, tag_of_name};
use strata_core::wire::{Wire, WireColumn, WireTable};

/// What a table's leaves are made of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Description {
    /// The table's name, qualified and quoted.
    pub relation: String,
    /// Ids of the columns of its key.
    pub key: Vec<u32>,
    /// Columns that are not logged.
    pub excluded: BTreeMap<u32, String>,
    /// Ids of columns whose values stand in leaves as commitments.
    pub erasable: Vec<u32>,
    /// Columns that are, by their ids.
    pub columns: BTreeMap<u32, Column>,
}

/// A logged column.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Type,
    /// The bytes of its absent value in hexadecimal, where that is not NULL.
    pub absent: Option<String>,
}

/// A type, domains resolved.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Type {
    /// A built-in type, by its name.
    Named(String),
    /// Labels by their ids.
    Enum {
        #[serde(rename = "enum")]
        name: String,
        // (serde reads numbers as keys of the outermost map alone)
        #[serde(default)]
        labels: BTreeMap<String, String>,
    },
    /// Of these elements.
    Array { array: Box<Self> },
    /// With these bounds.
    Range { range: Box<Self> },
    /// Whose ranges have these bounds.
    Multirange { multirange: Box<Self> },
    /// Attributes in the order they are sent.
    Composite {
        composite: String,
        #[serde(default)]
        attributes: Vec<Attribute>,
    },
}

/// An attribute of a composite type.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Attribute {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Type,
}

impl Type {
    fn wire(&self) -> Result<Wire> {
        let boxed = |inner: &Self| inner.wire().map(Box::new);
        Ok(match self {
            Self::Named(name) => Wire::Plain(
                tag_of_name(name).ok_or_else(|| Error::end(format!("type {name} has no row encoding")))?,
            ),
            Self::Enum { labels, .. } => {
                let label = |(id, label): (&String, &String)| match id.parse() {
                    Ok(id) => Ok((label.clone(), id)),
                    Err(_) => Err(Error::end(format!("label {label} has an id that is no number"))),
                };
                Wire::Enum(labels.iter().map(label).collect::<Result<_>>()?)
            }
            Self::Array { array } => Wire::Array(boxed(array)?),
            Self::Range { range } => Wire::Range(boxed(range)?),
            Self::Multirange { multirange } => Wire::Multirange(boxed(multirange)?),
            Self::Composite { attributes, .. } => Wire::Composite(
                attributes
                    .iter()
                    .map(|attribute| Ok((attribute.id, attribute.kind.wire()?)))
                    .collect::<Result<_>>()?,
            ),
        })
    }

    /// Tags from the outside in: what must stay for leaves to stay.
    fn shape(&self) -> Vec<Option<Tag>> {
        let of = |tag, inner: &Self| [vec![Some(tag)], inner.shape()].concat();
        match self {
            Self::Named(name) => vec![tag_of_name(name)],
            Self::Enum { .. } => vec![Some(Tag::Enum)],
            Self::Array { array } => of(Tag::Array, array),
            Self::Range { range } => of(Tag::Range, range),
            Self::Multirange { multirange } => of(Tag::Multirange, multirange),
            Self::Composite { .. } => vec![Some(Tag::Composite)],
        }
    }

    /// In which words the two differ, where they are of one kind; a rename of what has an id changes no leaf.
    fn renames(&self, now: &Self, whose: &str, notes: &mut Vec<String>) {
        let renamed = |what: &str, before: &str, after: Option<&str>, notes: &mut Vec<String>| match after {
            Some(after) if after != before => {
                notes.push(format!("{what} {before} of {whose} is called {after} now"));
            }
            _ => {}
        };
        match (self, now) {
            (Self::Enum { labels: before, .. }, Self::Enum { labels: after, .. }) => {
                for (id, label) in before {
                    renamed("label", label, after.get(id).map(String::as_str), notes);
                }
            }
            (
                Self::Composite { attributes: before, composite },
                Self::Composite { attributes: after, .. },
            ) => {
                for attribute in before {
                    let now = after.iter().find(|other| other.id == attribute.id);
                    renamed("attribute", &attribute.name, now.map(|other| other.name.as_str()), notes);
                    if let Some(now) = now {
                        attribute.kind.renames(&now.kind, composite, notes);
                    }
                }
            }
            (Self::Array { array: before }, Self::Array { array: after })
            | (Self::Range { range: before }, Self::Range { range: after })
            | (Self::Multirange { multirange: before }, Self::Multirange { multirange: after }) => {
                before.renames(after, whose, notes);
            }
            _ => {}
        }
    }
}

impl Description {
    /// Reads one.
    pub fn from_text(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|e| Error::end(format!("a description of an audited table cannot be read: {e}")))
    }

    /// How rows of the table become leaves.
    pub fn table(&self) -> Result<WireTable> {
        let columns = self.columns.iter().map(|(id, column)| {
            let absent = column.absent.as_deref().map(unhex).transpose()?;
            Ok(WireColumn {
                id: *id,
                wire: column.kind.wire().map_err(|e| e.while_doing(format!("column {}", column.name)))?,
                absent,
                in_key: self.key.contains(id),
                is_erasable: self.erasable.contains(id),
            })
        });
        Ok(WireTable::new(columns.collect::<Result<_>>()?))
    }

    /// Names of the columns of the key, in the order of the key.
    pub fn key_names(&self) -> Vec<&str> {
        self.key.iter().filter_map(|id| self.columns.get(id)).map(|column| column.name.as_str()).collect()
    }

    /// What a later description says that no change of a table makes true without a new baseline.
    pub fn contradictions(&self, later: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.key != later.key {
            found.push("the columns of the key are others".to_owned());
        }
        if self.erasable != later.erasable {
            found.push("the columns that may be erased are others".to_owned());
        }
        for (id, name) in &self.excluded {
            if let Some(column) = later.columns.get(id) {
                found.push(format!("column {name} was excluded and is logged as {} now", column.name));
            }
        }
        for (id, column) in &self.columns {
            match later.columns.get(id) {
                Some(now) if now.absent != column.absent => found.push(format!(
                    "the absent value of column {} has changed, which never happens by itself",
                    now.name
                )),
                None if later.excluded.contains_key(id) => {
                    found.push(format!("column {} was logged and is excluded now", column.name));
                }
                _ => {}
            }
        }
        found
    }

    /// Columns whose change makes other leaves of the same rows: dropped, or of another type.
    pub fn schema_changes(&self, now: &Self) -> Vec<(String, &'static str)> {
        self.columns
            .iter()
            .filter_map(|(id, column)| match now.columns.get(id) {
                None if !now.excluded.contains_key(id) => {
                    Some((column.name.clone(), "the column was dropped"))
                }
                Some(other) if other.kind.shape() != column.kind.shape() => {
                    Some((other.name.clone(), "the column is of another type now"))
                }
                _ => None,
            })
            .collect()
    }

    /// What was renamed, as sentences.
    pub fn renames(&self, now: &Self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.relation != now.relation {
            notes.push(format!("table {} is called {} now", self.relation, now.relation));
        }
        for (id, column) in &self.columns {
            let Some(other) = now.columns.get(id) else { continue };
            if other.name != column.name {
                notes
                    .push(format!("column {} of {} is called {} now", column.name, now.relation, other.name));
            }
            column.kind.renames(&other.kind, &format!("{}.{}", now.relation, other.name), &mut notes);
        }
        notes
    }
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let wrong =
        || Error::end("a description of an audited table has an absent value that is not hexadecimal");
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(wrong());
    }
    pairs.iter().map(|pair| digits(pair).ok_or_else(wrong)).collect()
}

/// A name as SQL has it, always quoted.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

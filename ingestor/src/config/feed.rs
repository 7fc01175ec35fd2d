//! A feed: which stream goes into which table, and how its records are read.

use super::column::{self, ColumnSetting};
use crate::decode::{compression, envelope};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

/// One stream into one table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// Name or ARN.
    pub stream: String,
    /// Event table.
    pub relation: String,
    /// Consumer with enhanced fan-out.
    pub consumer: String,
    /// Where a stream not read before begins.
    pub start: String,
    /// Unit of numbers in time columns.
    pub epoch_unit: EpochUnit,
    /// How payloads are compressed.
    pub compression: compression::Setting,
    /// What a payload holds.
    pub events: Events,
    /// What is around an event.
    pub envelope: envelope::Kind,
    /// What becomes of a column that a change lacks.
    pub missing: Missing,
    /// Column of the event's id, by which an event that is in the table already is passed over; empty: none is.
    pub dedupe: String,
    /// How far apart the times of an event and its repetition may be.
    pub dedupe_window_ms: u64,
    /// Paths and the values one of which must be there; other events do not concern the table.
    pub only: BTreeMap<String, Vec<toml::Value>>,
    /// Columns left to their defaults.
    pub skip_columns: Vec<String>,
    /// Where columns come from and what they must be like.
    pub columns: BTreeMap<String, ColumnSetting>,
}

/// Unit of a number that stands for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EpochUnit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
}

/// What a payload holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Events {
    /// One JSON object.
    One,
    /// An array of objects, or one object.
    Array,
    /// An object a line.
    Lines,
}

/// What becomes of a column that a change lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// It is NULL.
    Null,
    /// It stays as it is.
    Keep,
}

/// Where a stream not read before begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record kept.
    TrimHorizon,
    /// With what arrives from now on.
    Latest,
    /// With what arrived at or after a time (microseconds since 2000-01-01 UTC).
    At(i64),
}

impl Feed {
    /// The values of each path of `only`, as JSON.
    pub fn only(&self) -> Result<Vec<Vec<String>>> {
        let wrong = |e| Error::usage(format!("feeds.only: {e}"));
        let values = |values: &Vec<toml::Value>| values.iter().map(column::json).collect::<Result<_, _>>();
        self.only.values().map(values).collect::<Result<_, String>>().map_err(wrong)
    }

    /// The parsed start.
    pub fn start(&self) -> Result<Start> {
        match self.start.as_str() {
            "TRIM_HORIZON" => Ok(Start::TrimHorizon),
            "LATEST" => Ok(Start::Latest),
            other => strata_core::time::parse_timestamptz(other).map(Start::At).map_err(|e| {
                Error::usage(format!(
                    "feeds.start \"{other}\" is neither TRIM_HORIZON nor LATEST nor an RFC 3339 time with offset ({e})"
                ))
            }),
        }
    }
}

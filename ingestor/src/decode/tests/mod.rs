//! Decoders of made-up tables, for the tests here and elsewhere.
#![allow(clippy::unwrap_used)]

mod changes;
mod plans;
mod records;
mod values;

use super::plan::{CatalogColumn, CatalogTable, CatalogTarget, Shape, plan};
use super::*;
use crate::config::{ColumnSetting, EpochUnit, Events, Feed, Missing};
use std::collections::BTreeMap;

/// Name, type's OID and name, type modifier, NOT NULL.
pub(crate) type Spec = (&'static str, u32, &'static str, i32, bool);

pub(crate) const TS: Spec = ("ts", 1184, "timestamp with time zone", -1, true);

/// Of the types the tests have: an enum, and arrays.
fn shape(oid: u32) -> Shape {
    let array = |oid, typmod| Shape::Array { oid, base: oid, labels: false, typmod };
    match oid {
        ENUM => Shape::Enum,
        1007 => array(23, -1),
        1009 => array(25, -1),
        1015 => array(1043, 3 + 4),
        1185 => array(1184, -1),
        3807 => array(3802, -1),
        LABELS => Shape::Array { oid: ENUM, base: ENUM, labels: true, typmod: -1 },
        _ => Shape::Plain,
    }
}

const ENUM: u32 = 70_000;
const LABELS: u32 = 70_001;

fn catalog(specs: &[Spec]) -> CatalogTable {
    let column = |(i, spec): (usize, &Spec)| CatalogColumn {
        id: i32::try_from(i + 1).unwrap(),
        name: spec.0.to_owned(),
        type_oid: spec.1,
        type_name: spec.2.to_owned(),
        typmod: spec.3,
        not_null: spec.4,
        is_generated: false,
        has_default: false,
        shape: shape(spec.1),
    };
    CatalogTable {
        relation: "public.t".to_owned(),
        target: CatalogTarget::Events { table: [7; 16], time_column: "ts".to_owned() },
        fingerprint: 0,
        columns: specs.iter().enumerate().map(column).collect(),
    }
}

pub(crate) fn feed(columns: &[(&str, &str)]) -> Feed {
    Feed {
        stream: "s".to_owned(),
        relation: "t".to_owned(),
        consumer: String::new(),
        start: "TRIM_HORIZON".to_owned(),
        epoch_unit: EpochUnit::Ms,
        compression: compression::Setting::Auto,
        events: Events::One,
        envelope: envelope::Kind::None,
        missing: Missing::Null,
        dedupe: String::new(),
        dedupe_window_ms: 0,
        only: BTreeMap::new(),
        skip_columns: Vec::new(),
        columns: columns
            .iter()
            .map(|(c, p)| ((*c).to_owned(), ColumnSetting::from(*p)))
            .collect::<BTreeMap<_, _>>(),
    }
}

/// A decoder of columns with settings.
pub(crate) fn decoder_with(
    specs: &[Spec],
    columns: &[(&str, ColumnSetting)],
) -> crate::error::Result<Decoder> {
    let mut feed = feed(&[]);
    feed.columns = columns.iter().map(|(name, setting)| ((*name).to_owned(), setting.clone())).collect();
    let (plan, mut mappings) = plan(&catalog(specs), &[&feed])?;
    Ok(Decoder::new(Arc::new(plan), Arc::new(mappings.remove(0)), BOUNDS))
}

impl Decoder {
    /// What is written.
    pub(crate) fn plan(&self) -> &TablePlan {
        self.maker.plan()
    }
}

pub(crate) const BOUNDS: Bounds =
    Bounds { record_bytes: 1 << 20, decompressed_bytes: 1 << 20, record_events: 1_000, chunk_bytes: 1 << 20 };

pub(crate) fn decoder(specs: &[Spec], feed: &Feed) -> Decoder {
    let (plan, mut mappings) = plan(&catalog(specs), &[feed]).unwrap();
    Decoder::new(Arc::new(plan), Arc::new(mappings.remove(0)), BOUNDS)
}

/// Bytes from hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digit = |d: u8| u8::try_from(char::from(d).to_digit(16).unwrap()).unwrap();
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Records that other libraries made.
pub(crate) fn vectors() -> Vec<serde_json::Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/kpl/vectors.json");
    let mut all: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    serde_json::from_value(all["sound"].take()).unwrap()
}

pub(crate) fn record(data: impl AsRef<[u8]>) -> Record {
    Record::new(data.as_ref(), "", "", None)
}

/// The bytes of one column's value beside a valid time, `None` for NULL; or SQLSTATE.
pub(crate) fn one(spec: Spec, json: &str) -> Result<Option<Vec<u8>>, String> {
    let mut subject = decoder(&[TS, spec], &feed(&[]));
    let text = format!("{{\"ts\":\"2026-01-01T00:00:00Z\",\"{}\":{json}}}", spec.0);
    let decoded = subject.decode(&[record(text)]);
    if let Some(reject) = decoded.rejects.first() {
        assert!(decoded.bytes.is_empty() && decoded.rows.is_empty());
        return Err(reject.sqlstate.clone().unwrap());
    }
    // Column count, length and value of the time; then length and value of the column; then the batch id.
    let value = &decoded.bytes[2 + 4 + 8..decoded.bytes.len() - 12];
    assert_eq!(decoded.bytes[..2], [0, 3]);
    let length = i32::from_be_bytes(value[..4].try_into().unwrap());
    assert_eq!(usize::try_from(length.max(0)).unwrap(), value.len() - 4);
    Ok((length >= 0).then(|| value[4..].to_vec()))
}

fn ok(spec: Spec, json: &str) -> Vec<u8> {
    one(spec, json).unwrap().unwrap()
}

const INT4: Spec = ("c", 23, "integer", -1, false);
const INT2: Spec = ("c", 21, "smallint", -1, false);
const INT8: Spec = ("c", 20, "bigint", -1, false);
const TEXT: Spec = ("c", 25, "text", -1, false);
const FLOAT4: Spec = ("c", 700, "real", -1, false);
const FLOAT8: Spec = ("c", 701, "double precision", -1, false);
const JSONB: Spec = ("c", 3802, "jsonb", -1, false);

/// Fields of a row, `None` for NULL.
fn fields(decoded: &Decoded, row: usize) -> Vec<Option<&[u8]>> {
    let row = &decoded.rows[row];
    crate::changes::split(&decoded.bytes[row.start as usize..row.end as usize])
}

/// A decoder that applies changes to a table by its column `id`.
pub(crate) fn keyed(specs: &[Spec], kind: envelope::Kind, feed: Feed) -> Decoder {
    let key = CatalogTarget::Keyed { key: vec!["id".to_owned()] };
    let catalog = CatalogTable { target: key, ..catalog(specs) };
    let (plan, mut mappings) = plan(&catalog, &[&Feed { envelope: kind, ..feed }]).unwrap();
    Decoder::new(Arc::new(plan), Arc::new(mappings.remove(0)), BOUNDS)
}

pub(crate) const ID: Spec = ("id", 20, "bigint", -1, true);
const NAME: Spec = ("name", 25, "text", -1, false);

//! `strata try`: what would become of records. Reads the table's columns and writes nothing. Never: streams.

use crate::batch::{EventNumber, Reject, Row};
use crate::changes::{numbers, split};
use crate::cli::Try;
use crate::config::Config;
use crate::decode::event_time::TimeType;
use crate::decode::plan::{Column, TablePlan, Target};
use crate::decode::{Bounds, Decoded, Decoder};
use crate::error::{Error, Kind, Result};
use crate::ingest::setup_tables;
use crate::postgres::Database;
use crate::print;
use crate::stream::Record;
use serde_json::{Map, Value, json};
use std::io::Read;
use std::sync::Arc;
use strata_core::encoding::Tag;
use strata_core::time::format_timestamptz;

/// Prints one JSON object for each event of each record and feed; ends with 3 when one would be a dead letter.
pub async fn run(config: &Config, options: &Try) -> Result<()> {
    // No stream is needed to try a record.
    let mut config = config.clone();
    config.feeds.iter_mut().filter(|f| f.stream.is_empty()).for_each(|f| f.stream.push('-'));
    let feeds = config.feeds()?;
    let session = Database::new(&config)?.connect().await?;
    let tables = setup_tables(&session, feeds, &vec![None; feeds.len()]).await?;
    let records = read(options)?;
    let (mut dead, mut tried, mut what) = (0, 0, "records");
    for table in &tables {
        for feed in &table.feeds {
            let bounds = Bounds::of(&config.batch);
            let mut row_decoder = Decoder::new(Arc::clone(&table.plan), Arc::clone(&feed.mapping), bounds);
            for (number, record) in (1..).zip(&records) {
                let decoded = row_decoder.decode(std::slice::from_ref(record));
                for (event, mut answer) in describe(&table.plan, &decoded, table.accepted) {
                    tried += 1;
                    dead += usize::from(answer.contains_key("dead_letter"));
                    answer.insert("relation".to_owned(), json!(table.plan.relation));
                    answer.insert("record".to_owned(), json!(number));
                    if let Some(event) = event.number() {
                        answer.insert("event".to_owned(), json!(event));
                        what = "events";
                    }
                    print(&format!("{}\n", Value::Object(answer)))?;
                }
            }
        }
    }
    if dead > 0 {
        return Err(Error::new(Kind::Check, format!("{dead} of {tried} {what} would be dead letters")));
    }
    Ok(())
}

fn read(options: &Try) -> Result<Vec<Record>> {
    let mut data = Vec::new();
    match options.file.as_deref().filter(|f| f.as_os_str() != "-") {
        Some(file) => {
            let refused = |e| Error::usage(format!("{} cannot be read: {e}", file.display()));
            data = std::fs::read(file).map_err(refused)?;
        }
        None => {
            std::io::stdin()
                .lock()
                .read_to_end(&mut data)
                .map_err(|e| Error::end(format!("cannot read: {e}")))?;
        }
    }
    let record = |data: &[u8]| Record::new(data, "", "", None);
    if options.whole {
        return Ok(vec![record(&data)]);
    }
    Ok(data.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(record).collect())
}

/// What would become of each event, in their order.
fn describe(
    plan: &TablePlan,
    decoded: &Decoded,
    accepted: (i64, i64),
) -> Vec<(EventNumber, Map<String, Value>)> {
    let rejects = decoded.rejects.iter().map(|r| (r.event, rejected(r)));
    let rows = decoded.rows.iter().map(|r| (r.event, row(plan, r, &decoded.bytes, accepted)));
    let mut answers: Vec<_> = rejects
        .chain(rows)
        .map(|(event, (key, value))| (event, Map::from_iter([(key.to_owned(), value)])))
        .collect();
    answers.sort_by_key(|(event, _)| *event);
    answers
}

fn rejected(reject: &Reject) -> (&'static str, Value) {
    let letter = json!({"reason": reject.reason, "sqlstate": reject.sqlstate, "column": reject.column});
    ("dead_letter", letter)
}

fn row(plan: &TablePlan, row: &Row, bytes: &[u8], accepted: (i64, i64)) -> (&'static str, Value) {
    if let (Some(time_type), Some(column)) = (plan.time_type(), plan.time_column())
        && (row.time < accepted.0 || row.time > accepted.1)
    {
        let reason = format!("event time is outside the accepted window: {}", time_type.show(row.time));
        return ("dead_letter", json!({"reason": reason, "sqlstate": "23514", "column": column.name}));
    }
    let bytes = bytes.get(row.start as usize..row.end as usize).unwrap_or_default();
    match &plan.target {
        Target::Events { .. } => ("row", Value::Object(values(plan, bytes))),
        Target::Keyed { key } => change(plan, key, bytes),
    }
}

/// A change: what would be set, or the key of what would be deleted.
fn change(plan: &TablePlan, key: &[usize], bytes: &[u8]) -> (&'static str, Value) {
    let fields = split(bytes);
    let mut values = values(plan, bytes);
    if fields.last().copied().flatten() == Some(&[1]) {
        values.retain(|name, _| key.iter().any(|at| plan.columns[*at].name == *name));
        return ("delete", Value::Object(values));
    }
    let kept =
        fields.len().checked_sub(2).map(|at| numbers(fields[at]).unwrap_or_default()).unwrap_or_default();
    for number in kept {
        let column = usize::try_from(number - 1).ok().and_then(|at| plan.columns.get(at));
        column.and_then(|column| values.remove(&column.name));
    }
    ("upsert", Value::Object(values))
}

/// The columns of an encoded row, as a person reads them.
fn values(plan: &TablePlan, row: &[u8]) -> Map<String, Value> {
    let of_column = |(column, field): (&Column, Option<&[u8]>)| {
        (column.name.clone(), field.map_or(Value::Null, |value| shown(column, value)))
    };
    plan.columns.iter().zip(split(row)).map(of_column).collect()
}

/// A value as a person reads it, or the elements of an array.
fn shown(column: &Column, value: &[u8]) -> Value {
    let Some(element) = &column.element else { return text(column.tag, value) };
    let mut rest = value.get(20..).unwrap_or_default();
    let mut elements = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*head)).ok();
        let (value, after) = after.split_at_checked(length.unwrap_or(0)).unwrap_or_default();
        elements.push(if length.is_some() { text(element.column.tag, value) } else { Value::Null });
        rest = after;
    }
    Value::Array(elements)
}

fn text(tag: Tag, value: &[u8]) -> Value {
    let hex = || {
        value
            .iter()
            .flat_map(|b| [b >> 4, b & 15])
            .filter_map(|d| char::from_digit(u32::from(d), 16))
            .collect::<String>()
    };
    let number = || {
        value
            .iter()
            .fold(if value.first() > Some(&127) { -1_i64 } else { 0 }, |n, b| (n << 8) | i64::from(*b))
    };
    match tag {
        Tag::Bool => json!(value == [1]),
        Tag::Int2 | Tag::Int4 | Tag::Int8 => json!(number()),
        Tag::Float4 => json!(f32::from_bits(u32::try_from(number() & 0xffff_ffff).unwrap_or_default())),
        Tag::Float8 => json!(f64::from_bits(number().cast_unsigned())),
        Tag::Numeric => json!(strata_core::numeric::to_text(value).unwrap_or_else(|_| hex())),
        Tag::Uuid => {
            let hex = hex();
            let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| hex.get(range).unwrap_or_default());
            json!(parts.join("-"))
        }
        Tag::Date => json!(TimeType::Date.axis(value).map_or_else(|_| hex(), |us| TimeType::Date.show(us))),
        Tag::Timestamp => json!(TimeType::Timestamp.show(number())),
        Tag::TimestampTz => json!(format_timestamptz(number())),
        Tag::Time => json!(
            format_timestamptz(number())
                .split_once('T')
                .map(|(_, time)| time.trim_end_matches('Z').to_owned())
        ),
        Tag::Jsonb => {
            serde_json::from_slice(value.get(1..).unwrap_or_default()).unwrap_or_else(|_| json!(hex()))
        }
        Tag::Bytea | Tag::Inet | Tag::Cidr => json!(hex()),
        _ => json!(String::from_utf8_lossy(value)),
    }
}

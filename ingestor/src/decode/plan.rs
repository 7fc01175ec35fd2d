//! What a table's rows consist of, and where in a record each feed finds them: catalog and configuration brought
//! together once, at start. Never: queries, records.

use super::compression;
use super::event_time::TimeType;
use super::path::{self, Node, Step};
use crate::config::{EpochUnit, Events, Feed};
use crate::error::{Error, Result};
use strata_core::encoding::{Tag, tag_of_type};

/// A column as the catalog tells it.
#[derive(Debug, Clone)]
pub struct CatalogColumn {
    /// Id of our own, never reused.
    pub id: i32,
    /// Name.
    pub name: String,
    /// Base type.
    pub type_oid: u32,
    /// Type as people write it.
    pub type_name: String,
    /// Type modifier, -1 for none.
    pub typmod: i32,
    /// Refuses NULL.
    pub not_null: bool,
    /// Computed by the server.
    pub is_generated: bool,
}

/// A table as the catalog tells it.
#[derive(Debug, Clone)]
pub struct CatalogTable {
    /// Qualified and quoted.
    pub relation: String,
    /// Identity, part of every row's hash.
    pub table: [u8; 16],
    /// Name of the partitioning column.
    pub time_column: String,
    /// All columns but the batch id, by ascending id.
    pub columns: Vec<CatalogColumn>,
}

/// A column that is written.
#[derive(Debug, Clone)]
pub struct Column {
    /// Id of our own.
    pub id: u32,
    /// Name.
    pub name: String,
    /// Type as people write it.
    pub type_name: String,
    /// Type.
    pub tag: Tag,
    /// Type modifier, -1 for none.
    pub typmod: i32,
    /// Precision and scale of a numeric.
    pub numeric: Option<(u16, i16)>,
    /// Refuses NULL.
    pub not_null: bool,
}

/// What is written into one table.
#[derive(Debug)]
pub struct TablePlan {
    /// Qualified and quoted.
    pub relation: String,
    /// Identity.
    pub table: [u8; 16],
    /// Columns in the order of their ids, which is the order they are sent in.
    pub columns: Vec<Column>,
    /// Which of them is the event time.
    pub time: usize,
    /// What its bytes say.
    pub time_type: TimeType,
}

/// Where one feed finds the columns of its table.
#[derive(Debug)]
pub struct Mapping {
    /// All paths.
    pub root: Node,
    /// Slot of each column of the plan; `None`: this feed has no such column.
    pub slots: Vec<Option<usize>>,
    /// JSON path of each column, as written.
    pub paths: Vec<Option<String>>,
    /// Unit of numbers in time columns.
    pub epoch_unit: EpochUnit,
    /// How payloads are compressed.
    pub compression: compression::Setting,
    /// What a payload holds.
    pub events: Events,
}

/// The plan of a table and the mapping of each of its feeds.
pub fn plan(catalog: &CatalogTable, feeds: &[&Feed]) -> Result<(TablePlan, Vec<Mapping>)> {
    for feed in feeds {
        check_names(catalog, feed)?;
    }
    let mut columns = Vec::new();
    for column in &catalog.columns {
        let skipped = feeds.iter().all(|feed| feed.skip_columns.contains(&column.name));
        if !skipped && !column.is_generated {
            columns.push(writable(catalog, column)?);
        }
    }
    let time = columns.iter().position(|c| c.name == catalog.time_column).ok_or_else(|| {
        Error::usage(format!(
            "{}: the time column \"{}\" cannot be skipped",
            catalog.relation, catalog.time_column
        ))
    })?;
    let time_type = TimeType::of(columns[time].tag).ok_or_else(|| {
        Error::usage(format!(
            "{}: the time column \"{}\" has type {}, which this version of strata cannot place in partitions",
            catalog.relation, columns[time].name, columns[time].type_name
        ))
    })?;
    let mappings = feeds.iter().map(|feed| mapping(&columns, feed)).collect::<Result<_>>()?;
    let plan =
        TablePlan { relation: catalog.relation.clone(), table: catalog.table, columns, time, time_type };
    Ok((plan, mappings))
}

fn check_names(catalog: &CatalogTable, feed: &Feed) -> Result<()> {
    for name in feed.columns.keys().chain(&feed.skip_columns) {
        match catalog.columns.iter().find(|c| &c.name == name) {
            None => {
                let existing: Vec<&str> = catalog.columns.iter().map(|c| c.name.as_str()).collect();
                return Err(Error::usage(format!(
                    "table {} has no column \"{name}\": it has {}",
                    catalog.relation,
                    existing.join(", ")
                )));
            }
            Some(column) if column.is_generated && feed.columns.contains_key(name) => {
                return Err(Error::usage(format!("{}: column \"{name}\" is generated", catalog.relation)));
            }
            Some(_) => {}
        }
    }
    if let Some(both) = feed.skip_columns.iter().find(|name| feed.columns.contains_key(*name)) {
        return Err(Error::usage(format!("column \"{both}\" is both mapped and skipped")));
    }
    Ok(())
}

fn writable(catalog: &CatalogTable, column: &CatalogColumn) -> Result<Column> {
    let tag =
        tag_of_type(column.type_oid).filter(|tag| !matches!(tag, Tag::Null | Tag::TimeTz | Tag::Interval));
    let tag = tag.ok_or_else(|| {
        Error::usage(format!(
            "{}: column \"{}\" has type {}, which cannot be written from JSON; leave it to its default with skip_columns",
            catalog.relation, column.name, column.type_name
        ))
    })?;
    let numeric = if tag == Tag::Numeric { strata_core::numeric::typmod(column.typmod) } else { None };
    Ok(Column {
        id: u32::try_from(column.id).map_err(|_| Error::end("the catalog has a negative column id"))?,
        name: column.name.clone(),
        type_name: column.type_name.clone(),
        tag,
        typmod: column.typmod,
        numeric,
        not_null: column.not_null,
    })
}

fn mapping(columns: &[Column], feed: &Feed) -> Result<Mapping> {
    let mut wanted = Vec::new();
    let mut texts = Vec::new();
    for column in columns {
        let skipped = feed.skip_columns.contains(&column.name);
        let (text, steps) = match feed.columns.get(&column.name) {
            _ if skipped => (None, None),
            Some(text) => (Some(text.clone()), Some(path::parse(text)?)),
            None => {
                let quoted = column.name.replace('\\', "\\\\").replace('\'', "\\'");
                (Some(format!("$['{quoted}']")), Some(vec![Step::Key(column.name.clone())]))
            }
        };
        texts.push(text);
        wanted.push(steps);
    }
    let paths: Vec<Vec<Step>> = wanted.iter().flatten().cloned().collect();
    let (root, found) = Node::build(&paths);
    let mut found = found.into_iter();
    let slots = wanted.iter().map(|path| path.as_ref().and_then(|_| found.next())).collect();
    let (epoch_unit, compression, events) = (feed.epoch_unit, feed.compression, feed.events);
    Ok(Mapping { root, slots, paths: texts, epoch_unit, compression, events })
}

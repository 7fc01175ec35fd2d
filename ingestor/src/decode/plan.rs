//! What a table's rows consist of: catalog and configuration brought together once, at start, and again when either
//! changes. Never: queries, records.

use super::event_time::TimeType;
use super::mapping::{Mapping, mapping};
use crate::config::Feed;
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
    /// Has a value where none is given.
    pub has_default: bool,
    /// Of what kind the type is.
    pub shape: Shape,
}

/// Of what kind a type is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// One that stands for itself.
    Plain,
    /// Labels.
    Enum,
    /// Elements of a type.
    Array {
        /// Type of the elements.
        oid: u32,
        /// The type beneath, where that is a domain.
        base: u32,
        /// The elements are labels.
        labels: bool,
        /// Type modifier of the elements.
        typmod: i32,
    },
}

/// A table as the catalog tells it.
#[derive(Debug, Clone)]
pub struct CatalogTable {
    /// Qualified and quoted.
    pub relation: String,
    /// What is done with it.
    pub target: CatalogTarget,
    /// What tells that it was altered since.
    pub fingerprint: i64,
    /// All columns but the batch id, by ascending id.
    pub columns: Vec<CatalogColumn>,
}

/// What the catalog says of a table as a target.
#[derive(Debug, Clone)]
pub enum CatalogTarget {
    /// An event table: rows are added.
    Events {
        /// Identity, part of every row's hash.
        table: [u8; 16],
        /// Name of the partitioning column.
        time_column: String,
    },
    /// An ordinary table: changes are applied by key.
    Keyed {
        /// Names of the columns of the primary key.
        key: Vec<String>,
    },
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
    /// What it is an array of.
    pub element: Option<Box<Element>>,
}

/// What an array holds.
#[derive(Debug, Clone)]
pub struct Element {
    /// Type the server expects.
    pub oid: u32,
    /// How one is encoded.
    pub column: Column,
}

impl Column {
    /// Whether the batch checksum covers it. Of enums it covers ids of labels, which are the server's to give.
    pub fn is_hashed(&self) -> bool {
        !matches!(self.tag, Tag::Enum | Tag::Array)
    }
}

/// What is written into one table.
#[derive(Debug)]
pub struct TablePlan {
    /// Qualified and quoted.
    pub relation: String,
    /// Columns in the order of their ids, which is the order they are sent in.
    pub columns: Vec<Column>,
    /// How they are written.
    pub target: Target,
    /// What tells that the table was altered since.
    pub fingerprint: i64,
    /// How repeated events are known.
    pub dedupe: Option<Dedupe>,
}

/// How an event is known that is in the table already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dedupe {
    /// Column of its id.
    pub column: usize,
    /// How far apart the times of both may be.
    pub window_ms: u64,
}

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Added to an event table.
    Events {
        /// Identity.
        table: [u8; 16],
        /// Which column is the event time.
        time: usize,
        /// What its bytes say.
        time_type: TimeType,
    },
    /// Applied to an ordinary table as upserts and deletes.
    Keyed {
        /// Which columns are the primary key.
        key: Vec<usize>,
    },
}

impl TablePlan {
    /// Fields of a row on its way: the columns and the batch id, or the columns, the numbers of those to be kept as
    /// they are, and whether the row is to be deleted.
    pub fn fields(&self) -> i16 {
        let beside = if self.is_keyed() { 2 } else { 1 };
        i16::try_from(self.columns.len() + beside).unwrap_or(i16::MAX)
    }

    /// Whether changes are applied by key.
    pub fn is_keyed(&self) -> bool {
        matches!(self.target, Target::Keyed { .. })
    }

    /// What event times look like, where there are any.
    pub fn time_type(&self) -> Option<TimeType> {
        match self.target {
            Target::Events { time_type, .. } => Some(time_type),
            Target::Keyed { .. } => None,
        }
    }

    /// The column of the event time.
    pub fn time_column(&self) -> Option<&Column> {
        match self.target {
            Target::Events { time, .. } => self.columns.get(time),
            Target::Keyed { .. } => None,
        }
    }
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
    let target = target(catalog, &columns)?;
    let dedupe = dedupe(catalog, &columns, &target, feeds)?;
    let mappings = feeds.iter().map(|feed| mapping(&columns, feed)).collect::<Result<_>>()?;
    let plan = TablePlan {
        relation: catalog.relation.clone(),
        columns,
        target,
        fingerprint: catalog.fingerprint,
        dedupe,
    };
    Ok((plan, mappings))
}

/// What all feeds of a table say of repeated events.
fn dedupe(
    catalog: &CatalogTable,
    columns: &[Column],
    target: &Target,
    feeds: &[&Feed],
) -> Result<Option<Dedupe>> {
    let mut said = feeds.iter().map(|feed| (feed.dedupe.as_str(), feed.dedupe_window_ms));
    let Some((name, window_ms)) = said.next() else { return Ok(None) };
    let refuse = |why: &str| Err(Error::usage(format!("{}: dedupe \"{name}\": {why}", catalog.relation)));
    if said.any(|other| other != (name, window_ms)) {
        return refuse("the feeds of a table must say the same");
    }
    if name.is_empty() {
        return Ok(None);
    }
    if !matches!(target, Target::Events { time_type: TimeType::TimestampTz, .. }) {
        return refuse("it takes an event table whose time column is a timestamptz");
    }
    let Some(column) = columns.iter().position(|column| column.name == name) else {
        return refuse("there is no such column that is written");
    };
    let inexact = [Tag::Float4, Tag::Float8, Tag::Numeric, Tag::Json, Tag::Jsonb, Tag::Array, Tag::Bpchar];
    if inexact.contains(&columns[column].tag) {
        return refuse("values of its type may be equal and differ in bytes");
    }
    Ok(Some(Dedupe { column, window_ms }))
}

fn target(catalog: &CatalogTable, columns: &[Column]) -> Result<Target> {
    let place = |name: &String, what: &str| {
        columns.iter().position(|c| c.name == *name).ok_or_else(|| {
            Error::usage(format!("{}: the {what} \"{name}\" cannot be skipped", catalog.relation))
        })
    };
    match &catalog.target {
        CatalogTarget::Keyed { key } => {
            let key: Vec<usize> = key.iter().map(|name| place(name, "key column")).collect::<Result<_>>()?;
            // What is equal must have equal bytes, or the last change of a key is not to be found.
            let inexact = [Tag::Float4, Tag::Float8, Tag::Json, Tag::Jsonb, Tag::Array];
            if let Some(at) = key.iter().find(|at| inexact.contains(&columns[**at].tag)) {
                return Err(Error::usage(format!(
                    "{}: the key column \"{}\" has type {}, by which this version of strata cannot tell rows apart",
                    catalog.relation, columns[*at].name, columns[*at].type_name
                )));
            }
            Ok(Target::Keyed { key })
        }
        CatalogTarget::Events { table, time_column } => {
            let time = place(time_column, "time column")?;
            let time_type = TimeType::of(columns[time].tag).ok_or_else(|| {
                Error::usage(format!(
                    "{}: the time column \"{}\" has type {}, which this version of strata cannot place in partitions",
                    catalog.relation, columns[time].name, columns[time].type_name
                ))
            })?;
            Ok(Target::Events { table: *table, time, time_type })
        }
    }
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
    let plain = |oid| tag_of_type(oid).filter(|tag| !matches!(tag, Tag::Null | Tag::TimeTz | Tag::Interval));
    let (tag, element) = match column.shape {
        Shape::Plain => (plain(column.type_oid), None),
        Shape::Enum => (Some(Tag::Enum), None),
        Shape::Array { oid, base, labels, typmod } => {
            let of = if labels { Some(Tag::Enum) } else { plain(base) };
            let element = |tag| Element { oid, column: encoding(column, tag, typmod, None) };
            (of.map(|_| Tag::Array), of.map(|tag| Box::new(element(tag))))
        }
    };
    let tag = tag.ok_or_else(|| {
        Error::usage(format!(
            "{}: column \"{}\" has type {}, which cannot be written from JSON; leave it to its default with skip_columns",
            catalog.relation, column.name, column.type_name
        ))
    })?;
    let id = u32::try_from(column.id).map_err(|_| Error::end("the catalog has a negative column id"))?;
    Ok(Column { id, not_null: column.not_null, ..encoding(column, tag, column.typmod, element) })
}

/// How values of a column, or of its elements, are encoded.
fn encoding(column: &CatalogColumn, tag: Tag, typmod: i32, element: Option<Box<Element>>) -> Column {
    Column {
        id: 0,
        name: column.name.clone(),
        type_name: column.type_name.clone(),
        tag,
        typmod,
        numeric: if tag == Tag::Numeric { strata_core::numeric::typmod(typmod) } else { None },
        not_null: false,
        element,
    }
}

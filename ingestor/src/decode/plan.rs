//! What a table's rows consist of, and where in a record each feed finds them: catalog and configuration brought
//! together once, at start. Never: queries, records.

use super::compression;
use super::event_time::TimeType;
use super::path::{Node, Step};
use super::rules::Rules;
use super::source::{self, Beside, Source, Written};
use crate::config::{ColumnSetting, EpochUnit, Events, Feed, RuleSettings};
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
    /// One for each column of the plan.
    pub fields: Vec<Field>,
    /// Members that some column takes whole, where another takes the rest.
    pub taken: Option<Vec<String>>,
    /// Some column holds the time of arrival.
    pub wants_arrival: bool,
    /// Some column holds the partition key.
    pub wants_key: bool,
    /// How payloads are compressed.
    pub compression: compression::Setting,
    /// What a payload holds.
    pub events: Events,
}

/// Where one column comes from.
#[derive(Debug)]
pub struct Field {
    /// Where the value is.
    pub source: Source,
    /// The same, for a person.
    pub shown: String,
    /// Unit of numbers that are times.
    pub epoch_unit: EpochUnit,
    /// What it must be like.
    pub rules: Option<Box<Rules>>,
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

fn mapping(columns: &[Column], feed: &Feed) -> Result<Mapping> {
    let none = ColumnSetting::default();
    let settings: Vec<&ColumnSetting> =
        columns.iter().map(|c| feed.columns.get(&c.name).unwrap_or(&none)).collect();
    // What is written of each column; `None` where nothing is read.
    let mut written = Vec::new();
    for (column, setting) in columns.iter().zip(&settings) {
        let read = !feed.skip_columns.contains(&column.name) && setting.constant.is_none();
        let source = match &setting.from {
            _ if !read => None,
            Some(text) => Some(source::parse(text)?),
            None => Some(Written::Path(vec![Step::Key(column.name.clone())])),
        };
        written.push(source);
    }
    let path = |source: &Option<Written>| match source {
        Some(Written::Path(path)) => Some(path.clone()),
        _ => None,
    };
    let paths: Vec<Vec<Step>> = written.iter().filter_map(path).collect();
    let (root, slots) = Node::build(&paths);
    let mut slots = slots.into_iter();
    let mut fields = Vec::new();
    for ((column, setting), written) in columns.iter().zip(settings).zip(&written) {
        let skipped = feed.skip_columns.contains(&column.name);
        let source = match written {
            None if skipped => Source::Absent,
            None => Source::Constant(setting.constant.clone().unwrap_or_default()),
            Some(Written::Path(_)) => slots.next().map_or(Source::Absent, Source::Slot),
            Some(Written::Beside(beside)) => Source::Beside(*beside),
            Some(Written::Rest) => Source::Rest,
        };
        let epoch_unit = setting.epoch_unit.unwrap_or(feed.epoch_unit);
        let rules = Rules::of(&setting.rules, column, epoch_unit)?.map(Box::new);
        fields.push(Field { shown: shown(column, setting, &source), source, epoch_unit, rules });
    }
    let has = |wanted: &Source| fields.iter().any(|field| field.source == *wanted);
    let whole = paths.iter().filter_map(|path| match path.as_slice() {
        [Step::Key(key)] => Some(key.clone()),
        _ => None,
    });
    Ok(Mapping {
        taken: has(&Source::Rest).then(|| whole.collect()),
        wants_arrival: has(&Source::Beside(Beside::ArrivedAt)),
        wants_key: has(&Source::Beside(Beside::PartitionKey)),
        root,
        fields,
        compression: feed.compression,
        events: feed.events,
    })
}

/// A column's source as a person reads it.
fn shown(column: &Column, setting: &ColumnSetting, source: &Source) -> String {
    let text = match (source, &setting.from) {
        (Source::Absent, _) => "always NULL".to_owned(),
        (Source::Constant(json), _) => format!("always {json}"),
        (_, Some(text)) => text.clone(),
        _ => format!("$['{}']", column.name.replace('\\', "\\\\").replace('\'', "\\'")),
    };
    if setting.rules == RuleSettings::default() { text } else { format!("{text}, checked") }
}

//! Where one feed finds the columns of its table: the configuration's paths and names, brought into the trees that a
//! record is searched with. Never: the catalog, records.

use super::path::{self, Node, Step};
use super::plan::Column;
use super::rules::Rules;
use super::source::{self, Beside, Scope, Source, Written};
use super::{compression, envelope};
use crate::config::{ColumnSetting, EpochUnit, Events, Feed, Missing, RuleSettings};
use crate::error::Result;

/// Where one feed finds the columns of its table.
#[derive(Debug)]
pub struct Mapping {
    /// What is around an event.
    pub envelope: envelope::Kind,
    /// Paths from the event's root.
    pub root: Node,
    /// Paths from the object in the envelope; those of a bare event are in `root`.
    pub image: Node,
    /// Slots of the root, and the values (as JSON) of which one must be there for an event to concern this table.
    pub only: Vec<(usize, Vec<String>)>,
    /// A column the event lacks keeps its value in the row there is.
    pub keeps_missing: bool,
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
    /// The member of the image that it is, if it is one.
    pub member: Option<String>,
}

/// The mapping of one feed to the columns that are written.
pub fn mapping(columns: &[Column], feed: &Feed) -> Result<Mapping> {
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
            None => Some(Written::Path(Scope::Image, vec![Step::Key(column.name.clone())])),
        };
        written.push(source);
    }
    let bare = feed.envelope == envelope::Kind::None;
    let scope = |scope: Scope| if bare { Scope::Event } else { scope };
    let (mut of_event, mut of_image) = (Vec::new(), Vec::new());
    for source in written.iter().flatten() {
        match source {
            Written::Path(from, path) if scope(*from) == Scope::Event => of_event.push(path.clone()),
            Written::Path(_, path) => of_image.push(path.clone()),
            _ => {}
        }
    }
    let paths = feed.only.keys().map(|path| path::parse(path)).collect::<Result<Vec<_>>>()?;
    let columns_end = of_event.len();
    of_event.extend(paths);
    let ((root, slots), (image, image_slots)) = (Node::build(&of_event), Node::build(&of_image));
    let only = slots[columns_end..].iter().copied().zip(feed.only()?).collect();
    let (mut slots, mut image_slots) = (slots.into_iter(), image_slots.into_iter());
    let mut fields = Vec::new();
    for ((column, setting), written) in columns.iter().zip(settings).zip(&written) {
        let skipped = feed.skip_columns.contains(&column.name);
        let mut member = None;
        let source = match written {
            None if skipped => Source::Absent,
            None => Source::Constant(setting.constant.clone().unwrap_or_default()),
            Some(Written::Path(from, path)) => {
                if let (Scope::Image, [Step::Key(key)]) = (from, path.as_slice()) {
                    member = Some(key.clone());
                }
                match scope(*from) {
                    Scope::Event => slots.next().map_or(Source::Absent, Source::Event),
                    Scope::Image => image_slots.next().map_or(Source::Absent, Source::Image),
                }
            }
            Some(Written::Beside(beside)) => Source::Beside(*beside),
            Some(Written::Rest) => Source::Rest,
        };
        let epoch_unit = setting.epoch_unit.unwrap_or(feed.epoch_unit);
        let rules = Rules::of(&setting.rules, column, epoch_unit)?.map(Box::new);
        fields.push(Field { shown: shown(column, setting, &source), source, epoch_unit, rules, member });
    }
    let has = |wanted: &Source| fields.iter().any(|field| field.source == *wanted);
    let whole = if bare { &of_event[..columns_end] } else { &of_image };
    let whole = whole.iter().filter_map(|path| match path.as_slice() {
        [Step::Key(key)] => Some(key.clone()),
        _ => None,
    });
    Ok(Mapping {
        envelope: feed.envelope,
        only,
        keeps_missing: feed.missing == Missing::Keep,
        taken: has(&Source::Rest).then(|| whole.collect()),
        wants_arrival: has(&Source::Beside(Beside::ArrivedAt)),
        wants_key: has(&Source::Beside(Beside::PartitionKey)),
        root,
        image,
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

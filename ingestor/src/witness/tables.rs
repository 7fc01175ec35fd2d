//! Audited tables and their histories, read whole and compared with what the log says of them. Never: by the database's own
//! library, whose word counts for nothing here.

use super::description::{Description, quoted};
use super::differences::{self, Source};
use super::log::{Log, TableLog, hex};
use super::report::{Compared, Fault, Progress, Report};
use super::set::LeafSet;
use super::work::Folding;
use crate::error::{Error, Kind, Result};
use crate::postgres::Session;
use crate::postgres::audit::Audited;
use crate::postgres::copy_rows::RowBatch;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use strata_core::commitment::{Salt, parse_erased};
use strata_core::encoding::RowBytes;
use strata_core::merkle::Hash;
use strata_core::wire::{Beside, WireTable};

/// A relation whose rows become leaves: an audited table, or its history.
pub struct Reading {
    pub uuid: [u8; 16],
    pub name: String,
    pub table: WireTable,
    /// The columns as a query selects them, in the order of their ids.
    pub select: String,
    /// Of a history: the highest column id that a chunk knew, where it is less than all.
    pub schemas: Option<HashMap<u64, u32>>,
    /// The salts of keys, where values may be erased.
    pub salts: Arc<HashMap<Vec<u8>, Salt>>,
    /// What is to be read.
    pub only: String,
}

/// What leaves of values that may be erased take.
struct Kept<'a> {
    salts: &'a HashMap<Vec<u8>, Salt>,
    erased: &'a [(u32, Hash)],
}

impl Beside for Kept<'_> {
    fn salt(&self, key: &[u8]) -> Option<&Salt> {
        self.salts.get(key)
    }

    fn erased(&self, id: u32) -> Option<Hash> {
        self.erased.iter().find(|(of, _)| *of == id).map(|(_, commitment)| *commitment)
    }
}

/// A row as a leaf.
pub struct Leaf {
    pub hash: Hash,
    pub key: u64,
    /// Of a history: the chunk that ended the version.
    pub chunk: Option<u64>,
}

impl Reading {
    /// The leaf of a row. Of a history its chunk and what was erased are the first fields. Fields behind those of columns are
    /// passed over.
    pub fn leaf<'row>(
        &self,
        fields: &mut impl Iterator<Item = Option<&'row [u8]>>,
        row: &mut RowBytes,
    ) -> Result<Leaf> {
        let (mut chunk, mut erased) = (None, Vec::new());
        if self.schemas.is_some() {
            let broken = || Error::end(format!("{} has a row that is no old version", self.name));
            let id = fields.next().flatten().and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
            chunk = Some(id.ok_or_else(broken)?);
            if let Some(kept) = fields.next().flatten() {
                erased = parse_erased(kept).ok_or_else(broken)?;
            }
        }
        let known = chunk.and_then(|id| self.schemas.as_ref()?.get(&id).copied()).unwrap_or(u32::MAX);
        let values: Vec<Option<&[u8]>> = fields.take(self.table.columns().len()).collect();
        let beside = Kept { salts: &self.salts, erased: &erased };
        let (hash, key) = self
            .table
            .leaf(&values, known, &beside, row)
            .map_err(|e| Error::end(format!("a row of {} cannot be read: {e}", self.name)))?;
        Ok(Leaf { hash, key, chunk })
    }

    fn set(&self, batch: &RowBatch) -> Result<LeafSet> {
        let mut set = LeafSet::default();
        let mut row = RowBytes::new(self.uuid);
        for mut fields in batch.rows() {
            let leaf = self.leaf(&mut fields, &mut row)?;
            match leaf.chunk {
                None => set.add(&leaf.hash, &[]),
                Some(chunk) => set.add(&leaf.hash, &chunk.to_be_bytes()),
            }
        }
        Ok(set)
    }
}

/// What is compared beside the log.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Histories, too.
    pub histories: bool,
    /// What was renamed unbeknown to the log is a fault.
    pub strict: bool,
}

/// Compares what the catalog names with the log.
pub async fn compare(
    session: &Session,
    log: &Log,
    scope: Scope,
    report: &mut Report,
    progress: &Progress,
) -> Result<()> {
    let catalog = session.audit_catalog().await?;
    for (relation, partition, trigger) in session.audit_triggers().await? {
        report.fault(Fault::of_table(
            "trigger_disabled",
            &relation,
            json!({ "partition": partition, "trigger": trigger }),
            "the trigger is gone or does not fire always",
        ));
    }
    for (uuid, table) in &log.tables {
        if table.is_audited && !catalog.iter().any(|audited| audited.uuid == *uuid) {
            let name = table.description.as_ref().map(|d| d.relation.clone());
            report.fault(Fault {
                relation: name,
                ..Fault::of_log(
                    "trigger_disabled",
                    json!({ "table": hex(uuid) }),
                    "the catalog has forgotten a table that the log says is audited",
                )
            });
        }
    }
    for audited in &catalog {
        one(session, audited, log, scope, report, progress).await?;
    }
    Ok(())
}

/// Refuses to begin where not every row could be read.
pub async fn check_rights(session: &Session) -> Result<()> {
    let role = session.role().await?;
    for audited in session.audit_catalog().await?.iter().filter(|audited| audited.kind.is_some()) {
        if !audited.may_read {
            return Err(Error::end(format!(
                "role \"{role}\" may not read {}; run GRANT pg_read_all_data TO \"{role}\", or verify with --log-only",
                audited.name
            )));
        } else if audited.row_security {
            return Err(Error::end(format!(
                "row security hides rows of {0} from role \"{role}\"; give it BYPASSRLS, or verify with --log-only",
                audited.name
            )));
        }
    }
    Ok(())
}

async fn one(
    session: &Session,
    audited: &Audited,
    log: &Log,
    scope: Scope,
    report: &mut Report,
    progress: &Progress,
) -> Result<()> {
    let name = &audited.name;
    match audited.kind.as_deref() {
        Some("r" | "p") => {}
        None => {
            report.note(format!("{name} is gone, which the log does not say yet"));
            return Ok(());
        }
        Some(_) => {
            report.fault(Fault::of_table("schema_changed", name, json!({}), "it is no table any more"));
            return Ok(());
        }
    }
    let known = log.tables.get(&audited.uuid);
    let Some((known, described, at_baseline)) = known.and_then(|known| {
        Some((known, known.description.as_ref()?, known.at_baseline.as_ref()?)).filter(|_| known.is_audited)
    }) else {
        report.fault(Fault::of_table(
            "log_missing",
            name,
            json!({}),
            "the log does not say that it is audited",
        ));
        return Ok(());
    };
    let now = Description::from_text(&audited.description)?;
    for detail in described.contradictions(&now) {
        report.fault(Fault::of_table("schema_changed", name, json!({}), detail));
    }
    for note in described.renames(&now) {
        let note = format!("{note}, which the log does not say");
        if scope.strict {
            report.fault(Fault::of_table("schema_changed", name, json!({}), note));
        } else {
            report.note(note);
        }
    }
    let changes = at_baseline.schema_changes(&now);
    let mut reading = reading_of(audited, &now)?;
    if reading.table.has_erasable() {
        reading.salts = Arc::new(session.audit_salts(name).await?);
    }
    let salts = reading.salts.clone();
    let reading = Arc::new(reading);
    let (set, rows) = read(session, reading.clone(), progress).await?;
    let differing = set.differing(&known.rows);
    if !differing.is_empty() {
        for (column, detail) in &changes {
            report.fault(Fault::of_table("schema_changed", name, json!({ "column": column }), *detail));
        }
        if changes.is_empty() {
            let source = Source { reading: &reading, known, key: now.key_names(), parts: &differing, rows };
            differences::tell(session, &source, report).await?;
        }
    }
    let mut compared = Compared { relation: name.clone(), rows, history_rows: None };
    if scope.histories && changes.is_empty() {
        compared.history_rows = history(session, audited, &now, known, salts, report, progress).await?;
    }
    report.tables.push(compared);
    Ok(())
}

fn reading_of(audited: &Audited, now: &Description) -> Result<Reading> {
    let columns: Vec<String> = now.columns.values().map(|column| quoted(&column.name)).collect();
    Ok(Reading {
        uuid: audited.uuid,
        name: audited.name.clone(),
        table: now.table().map_err(|e| e.while_doing(&audited.name))?,
        select: columns.join(", "),
        schemas: None,
        salts: Arc::default(),
        only: format!("WHERE tableoid <> ALL ('{{{}}}'::oid[])", audited.expired.join(",")),
    })
}

/// The old versions since the last baseline, compared with the rows that went since.
async fn history(
    session: &Session,
    audited: &Audited,
    now: &Description,
    known: &TableLog,
    salts: Arc<HashMap<Vec<u8>, Salt>>,
    report: &mut Report,
    progress: &Progress,
) -> Result<Option<u64>> {
    let (Some(history), Some(columns), Some(first)) =
        (&audited.history, &audited.history_columns, known.first)
    else {
        report.fault(Fault::of_table("missing", &audited.name, json!({}), "its history is gone"));
        return Ok(None);
    };
    let columns: BTreeMap<u32, String> = serde_json::from_str(columns)
        .map_err(|e| Error::end(format!("the columns of a history cannot be read: {e}")))?;
    // (a column that no row of history has yet is not there)
    let column = |id: &u32| columns.get(id).map_or_else(|| "NULL".to_owned(), |name| quoted(name));
    let selected: Vec<String> = now.columns.keys().map(column).collect();
    let mut reading = reading_of(audited, now)?;
    reading.name.clone_from(history);
    let erased = if reading.table.has_erasable() { "strata_erased" } else { "NULL::bytea" };
    reading.select = format!("strata_chunk, {erased}, {}", selected.join(", "));
    reading.salts = salts;
    reading.only = format!("WHERE strata_chunk >= {first}");
    reading.schemas = Some(known.schemas.iter().map(|(chunk, schema)| (*chunk, *schema)).collect());
    let reading = Arc::new(reading);
    let (set, rows) = read(session, reading.clone(), progress).await?;
    let differing = set.differing(&known.gone);
    if !differing.is_empty() {
        let source = Source { reading: &reading, known, key: now.key_names(), parts: &differing, rows };
        differences::tell(session, &source, report).await?;
    }
    Ok(Some(rows))
}

async fn read(session: &Session, reading: Arc<Reading>, progress: &Progress) -> Result<(LeafSet, u64)> {
    let query = format!("SELECT {} FROM {} {}", reading.select, reading.name, reading.only);
    let mut rows = session.copy_rows(&query).await.map_err(|e| hidden(e, &reading.name))?;
    let (mut set, mut count) = (LeafSet::default(), 0);
    let mut folding = Folding::new();
    while let Some(batch) = session.next_rows(&mut rows).await.map_err(|e| hidden(e, &reading.name))? {
        count += batch.len() as u64;
        progress.show(&reading.name, count, "rows");
        let reading = reading.clone();
        if let Some(part) = folding.push(move || reading.set(&batch)).await? {
            set.merge(part);
        }
    }
    while let Some(part) = folding.next().await? {
        set.merge(part);
    }
    Ok((set, count))
}

fn hidden(error: Error, name: &str) -> Error {
    // (a cancelled statement or a lost connection is not what another try of ours would mend)
    let kind = if error.kind == Kind::Usage { Kind::Usage } else { Kind::End };
    Error { kind, ..error.while_doing(format!("reading {name}")) }
}

//! The log as the database sends it, read whole, and from its chunks which rows each table has. What is signed pins all of it up to the digest's size.

use super::chunks::{COLUMNS, Chunk, Parsed, parse_all};
use super::description::Description;
use super::records::{Account, Records, Sums};
use super::report::{Fault, Progress, Report};
use super::set::LeafSet;
use super::work::Folding;
use crate::error::Result;
use crate::postgres::Session;
use crate::postgres::audit::TILE;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;
use strata_core::chunk::BASELINE;
use strata_core::digest::Checkpoint;
use strata_core::merkle::{Hash, Tree};

/// Tiles read at a time, and with them the chunks of their leaves.
const TILES: u64 = 100;
/// Places that are told of one by one.
const PLACES_MAX: usize = 1000;
/// A table by its log.
#[derive(Debug, Default)]
pub struct TableLog {
    /// The chunk that begins its last baseline.
    baseline: Option<u64>,
    /// The first chunk whose changes count, behind a baseline's or on top of a state record's rows, and which ones do, as SQL.
    pub first: Option<u64>,
    pub counted: String,
    /// Whether the last event is that it is audited.
    pub is_audited: bool,
    /// The last description, and that of the last baseline.
    pub description: Option<Description>,
    pub at_baseline: Option<Description>,
    /// The rows there are.
    pub rows: LeafSet,
    /// The rows that went since the baseline, with their chunks.
    pub gone: LeafSet,
    /// The highest column id that chunks had through which rows went, where it is not that of the description.
    pub schemas: BTreeMap<u64, u32>,
    last_event: u64,
}

/// The log.
#[derive(Debug, Default)]
pub struct Log {
    pub tables: HashMap<[u8; 16], TableLog>,
    /// What the log was called before it was restored.
    pub restored_from: Vec<String>,
    /// Chunks that the digest vouches for, and chunks since.
    pub signed: u64,
    pub unsigned: u64,
}

/// Reads the log and compares it with a digest.
pub async fn read(
    session: &Session,
    digest: &Checkpoint,
    report: &mut Report,
    progress: &Progress,
) -> Result<Log> {
    let extent = session.audit_extent().await?;
    let size = extent.size.max(digest.size);
    let records = Arc::new(Records::new(extent.baselines, extent.records));
    let mut reading = Reading::new(digest, records);
    let mut first = 0;
    while first < size.div_ceil(TILE) {
        reading.tiles = session.audit_tiles(first, first + TILES).await?;
        let (from, to) = (first * TILE, (first + TILES) * TILE);
        reading.pruned = session.audit_pruned(from, to).await?;
        let query = format!(
            "SELECT {COLUMNS} FROM strata.audit_chunks WHERE log_index >= {from} AND log_index < {to} ORDER BY log_index"
        );
        chunks(session, &query, &mut reading, report, progress).await?;
        reading.pass_over(to.min(size), report);
        first += TILES;
    }
    reading.tiles.clear();
    let query =
        format!("SELECT {COLUMNS} FROM strata.audit_chunks WHERE log_index IS NULL ORDER BY chunk_id");
    chunks(session, &query, &mut reading, report, progress).await?;
    reading.judge(report);
    Ok(reading.log)
}

async fn chunks(
    session: &Session,
    query: &str,
    reading: &mut Reading<'_>,
    report: &mut Report,
    progress: &Progress,
) -> Result<()> {
    let mut rows = session.copy_rows(query).await?;
    let mut folding = Folding::new();
    let mut take = |(chunks, sets, sums): Parsed, reading: &mut Reading<'_>| {
        for chunk in chunks {
            reading.take(&chunk, report);
        }
        for (table, (rows, gone)) in sets {
            let table = reading.log.tables.entry(table).or_default();
            table.rows.merge(rows);
            table.gone.merge(gone);
        }
        Sums::merge(&mut reading.account.sums, sums);
        progress.show("the log", reading.log.signed + reading.log.unsigned, "chunks");
    };
    while let Some(batch) = session.next_rows(&mut rows).await? {
        let records = reading.records.clone();
        if let Some(parsed) = folding.push(move || parse_all(&batch, &records)).await? {
            take(parsed, reading);
        }
    }
    while let Some(parsed) = folding.next().await? {
        take(parsed, reading);
    }
    Ok(())
}

/// A place of the log where chunk and tile are not of one mind.
struct Mismatch {
    log_index: u64,
    chunk_id: Option<u64>,
    leaf: Hash,
}

struct Reading<'a> {
    digest: &'a Checkpoint,
    records: Arc<Records>,
    account: Account,
    tiles: HashMap<u64, Hash>,
    /// Places whose chunk is gone, with its id and table as the database says.
    pruned: HashMap<u64, (u64, [u8; 16])>,
    log: Log,
    /// Of the records (where a chunk is gone, of the tiles), and of the tiles alone, up to the digest's size.
    by_records: Tree,
    by_tiles: Tree,
    next: u64,
    missing: Vec<Mismatch>,
    others: Vec<Mismatch>,
    tile_leaves: HashSet<Hash>,
}

impl<'a> Reading<'a> {
    fn new(digest: &'a Checkpoint, records: Arc<Records>) -> Self {
        Self {
            digest,
            records,
            account: Account::default(),
            tiles: HashMap::new(),
            pruned: HashMap::new(),
            log: Log::default(),
            by_records: Tree::default(),
            by_tiles: Tree::default(),
            next: 0,
            missing: Vec::new(),
            others: Vec::new(),
            tile_leaves: HashSet::new(),
        }
    }

    /// Leaves whose chunk has not come.
    fn pass_over(&mut self, to: u64, report: &mut Report) {
        while self.next < to {
            let index = self.next;
            self.next += 1;
            let Some(leaf) = self.tiles.get(&index).copied() else {
                // (how short the log is, the digest says)
                if index >= self.digest.size {
                    gap(index, report);
                }
                continue;
            };
            if index < self.digest.size {
                self.by_records.push(&leaf);
                self.by_tiles.push(&leaf);
            }
            self.tile_leaves.insert(leaf);
            let is_pruned = self
                .pruned
                .get(&index)
                .is_some_and(|(id, table)| self.account.meet(&self.records, table, *id, &leaf, true));
            if !is_pruned && self.missing.len() < PLACES_MAX {
                self.missing.push(Mismatch { log_index: index, chunk_id: None, leaf });
            }
        }
    }

    fn take(&mut self, chunk: &Chunk, report: &mut Report) {
        if let Some(index) = chunk.log_index {
            self.pass_over(index, report);
            self.next = index + 1;
            let tile = self.tiles.get(&index).copied();
            if chunk.has_rows {
                let leaf = tile.unwrap_or(chunk.leaf);
                self.account.meet(&self.records, &chunk.table, chunk.id, &leaf, false);
            }
            if index < self.digest.size {
                self.by_records.push(&chunk.leaf);
                self.by_tiles.push(&tile.unwrap_or_default());
            }
            if tile != Some(chunk.leaf) && self.others.len() < PLACES_MAX {
                self.tile_leaves.extend(tile);
                self.others.push(Mismatch { log_index: index, chunk_id: Some(chunk.id), leaf: chunk.leaf });
            }
        }
        let is_signed = chunk.log_index.is_some_and(|index| index < self.digest.size);
        if is_signed {
            self.log.signed += 1;
        } else {
            self.log.unsigned += 1;
        }
        if chunk.operation == "state" {
            self.account.see(chunk.id, chunk.detail.clone(), is_signed);
        }
        if !chunk.holds {
            report.fault(Fault::of_log(
                "log_edited",
                json!({ "log_index": chunk.log_index, "chunk_id": chunk.id }),
                "the row leaves of the chunk are not those of its root",
            ));
        }
        self.event(chunk, is_signed, report);
    }

    fn event(&mut self, chunk: &Chunk, is_signed: bool, report: &mut Report) {
        if chunk.operation == "restored" {
            self.restored(chunk, report);
            return;
        }
        let table = self.log.tables.entry(chunk.table).or_default();
        if chunk.went {
            table.schemas.insert(chunk.id, chunk.schema);
        }
        match chunk.operation.as_str() {
            BASELINE => table.baseline = table.baseline.max(Some(chunk.id)),
            "enabled" | "rebaselined" | "columns" => {
                let described = chunk.detail.as_deref().map(Description::from_text);
                let Some(Ok(description)) = described else {
                    report.fault(Fault::of_log(
                        "log_edited",
                        json!({ "chunk_id": chunk.id }),
                        "the chunk has no description of its table",
                    ));
                    return;
                };
                if !is_signed {
                    report.note(format!(
                        "{}: {} (chunk {}{}) after the digest",
                        description.relation, chunk.operation, chunk.id, chunk.by
                    ));
                }
                let is_begun_anew = chunk.operation != "columns";
                if let Some(before) = table.description.as_ref().filter(|_| !is_begun_anew) {
                    for detail in before.contradictions(&description) {
                        report.fault(Fault::of_table(
                            "schema_changed",
                            &description.relation,
                            json!({ "chunk_id": chunk.id }),
                            detail,
                        ));
                    }
                }
                if chunk.id > table.last_event {
                    if is_begun_anew {
                        table.at_baseline = Some(description.clone());
                    } else if let Some(known) = &mut table.at_baseline {
                        // a column that came since has its type from then on
                        for (id, column) in &description.columns {
                            known.columns.entry(*id).or_insert_with(|| column.clone());
                        }
                    }
                    (table.description, table.is_audited) = (Some(description), true);
                    table.last_event = chunk.id;
                }
            }
            "disabled" | "dropped" if chunk.id > table.last_event => {
                (table.is_audited, table.last_event) = (false, chunk.id);
            }
            _ => {}
        }
    }

    /// Somebody has declared a restore.
    fn restored(&mut self, chunk: &Chunk, report: &mut Report) {
        let detail = chunk.detail.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let detail = detail.unwrap_or_default();
        let named = |member: &str| detail[member].as_str().unwrap_or_default().to_owned();
        report.note(format!(
            "the log was restored: {} (chunk {}{}); before that it was {}, of {} leaves",
            named("reason"),
            chunk.id,
            chunk.by,
            named("former_origin"),
            detail["former_size"]
        ));
        self.log.restored_from.extend([named("former_origin"), named("restored_origin")]);
    }

    /// What the two trees say of digest and places.
    fn judge(&mut self, report: &mut Report) {
        let size = self.digest.size;
        let records_hold = self.by_records.size() == size && self.by_records.root() == self.digest.root;
        let tiles_hold = self.by_tiles.size() == size && self.by_tiles.root() == self.digest.root;
        if self.by_records.size() < size {
            report.fault(Fault::of_log(
                "truncated",
                json!({ "size": size }),
                format!("the digest has {size} leaves, the log {}", self.by_records.size()),
            ));
        } else if !records_hold && !tiles_hold {
            report.fault(Fault::of_log(
                "forked",
                json!({ "size": size }),
                format!("the first {size} leaves are not those the digest was signed for"),
            ));
        }
        for place in &self.missing {
            report.fault(Fault::of_log(
                "log_missing",
                json!({ "log_index": place.log_index }),
                "the chunk of this leaf is gone",
            ));
        }
        for place in &self.others {
            let what = if records_hold && place.log_index < size {
                ("log_edited", "the tile has another leaf at this place than the log")
            } else if self.tile_leaves.contains(&place.leaf) {
                ("reordered", "the chunk stands at another's place")
            } else {
                ("log_edited", "the chunk is not the one that was sealed at this place")
            };
            let at = json!({ "log_index": place.log_index, "chunk_id": place.chunk_id });
            report.fault(Fault::of_log(what.0, at, what.1));
        }
        self.account.judge(&self.records, report);
        for (uuid, table) in &mut self.log.tables {
            table.first = self.records.first(uuid);
            table.counted = self.records.condition(uuid);
            if table.baseline != self.records.baseline(uuid) {
                report.fault(Fault::of_log(
                    "log_edited",
                    json!({ "table": hex(uuid) }),
                    "the database named another baseline than the log has",
                ));
            }
        }
    }
}

fn gap(index: u64, report: &mut Report) {
    report.fault(Fault::of_log(
        "log_missing",
        json!({ "log_index": index }),
        "no chunk has this place in the log",
    ));
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

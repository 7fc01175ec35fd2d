//! State records: which rows a table had by its log at a place of it, and which chunks below may be gone (docs/formats.md).
//! Never: reading.

use super::log::hex;
use super::report::{Fault, Report};
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;
use strata_core::chunk::{Entry, State};
use strata_core::merkle::{Hash, Tree};

/// A table, by its UUID.
pub type Table = [u8; 16];

/// What a record says, in the detail of its chunk.
#[derive(Debug, Clone, Deserialize)]
struct Said {
    after: u64,
    through: u64,
    rows_from: u64,
    chunks: u64,
    root: String,
    rows: i64,
    state: String,
}

/// A state record.
#[derive(Debug, Clone)]
struct StateRecord {
    id: u64,
    detail: String,
    said: Said,
    /// The last baseline among the chunks it covers.
    begun: Option<u64>,
}

/// What the database says of baselines and records, which the log must bear out.
#[derive(Debug, Default)]
pub struct Records {
    baselines: HashMap<Table, Vec<u64>>,
    known: HashMap<Table, Vec<StateRecord>>,
    unreadable: Vec<u64>,
}

/// What the rows of a chunk are counted for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// For the rows the table has now.
    pub now: bool,
    /// For what the record of this number has to be, or says it is.
    pub below: Vec<usize>,
    pub own: Option<usize>,
}

/// The states that a record has to have, and has.
#[derive(Debug, Default, Clone)]
pub struct Sums {
    below: State,
    own: State,
}

/// Which table and which of its records sums are of.
pub type SumsOf = HashMap<(Table, usize), Sums>;

impl Records {
    /// From the ids of baselines, and the ids and details of records, both ascending.
    pub fn new(baselines: HashMap<Table, Vec<u64>>, details: HashMap<Table, Vec<(u64, String)>>) -> Self {
        let mut all = Self { baselines, ..Self::default() };
        for (table, details) in details {
            let begun = all.baselines.get(&table).cloned().unwrap_or_default();
            let mut known = Vec::new();
            for (id, detail) in details {
                match serde_json::from_str::<Said>(&detail) {
                    Ok(said) => {
                        let covered = said.after + 1..=said.through;
                        let begun = begun.iter().rev().find(|id| covered.contains(id)).copied();
                        known.push(StateRecord { id, detail, said, begun });
                    }
                    Err(_) => all.unreadable.push(id),
                }
            }
            all.known.insert(table, known);
        }
        all
    }

    /// The last baseline of a table.
    pub fn baseline(&self, table: &Table) -> Option<u64> {
        self.baselines.get(table)?.last().copied()
    }

    /// The newest record of a table, unless a baseline behind it begins anew.
    fn base(&self, table: &Table) -> Option<&StateRecord> {
        let newest = self.known.get(table)?.last()?;
        (self.baseline(table) <= Some(newest.said.through)).then_some(newest)
    }

    /// The first chunk whose changes count on top of what a table begins with.
    pub fn first(&self, table: &Table) -> Option<u64> {
        self.base(table).map(|record| record.said.through + 1).or_else(|| self.baseline(table))
    }

    /// Which chunks' rows count, as a condition of SQL.
    pub fn condition(&self, table: &Table) -> String {
        let changes = "operation NOT IN ('state', 'state_rows')";
        let rest = format!("({changes} AND chunk_id >= {})", self.first(table).unwrap_or_default());
        match self.base(table) {
            Some(base) => format!(
                "({rest} OR operation = 'state_rows' AND chunk_id >= {} AND chunk_id < {})",
                base.said.rows_from, base.id
            ),
            None => rest,
        }
    }

    /// What the rows of a chunk count for.
    pub fn counted(&self, table: &Table, id: u64, operation: &str) -> Counted {
        let mut counted = Counted::default();
        let records = self.known.get(table).map_or(&[][..], Vec::as_slice);
        if operation == "state_rows" {
            counted.own = records.iter().position(|record| (record.said.rows_from..record.id).contains(&id));
            if let Some(own) = counted.own {
                counted.now = self.base(table).is_some_and(|base| base.id == records[own].id);
                counted.below.extend(
                    Some(own + 1)
                        .filter(|next| records.get(*next).is_some_and(|record| record.begun.is_none())),
                );
            }
            return counted;
        }
        counted.now = operation != "state" && self.first(table).is_some_and(|first| id >= first);
        counted.below = self
            .covering(table, id)
            .filter(|number| records[*number].begun.is_none_or(|begun| id >= begun))
            .into_iter()
            .collect();
        counted
    }

    /// The record that covers a chunk, if it has rows.
    pub fn covering(&self, table: &Table, id: u64) -> Option<usize> {
        let records = self.known.get(table)?;
        records.iter().position(|record| record.said.after < id && id <= record.said.through)
    }
}

impl Sums {
    /// Adds the rows of a chunk.
    pub fn take(sums: &mut SumsOf, table: Table, counted: &Counted, added: &[Entry], removed: &[Entry]) {
        for number in &counted.below {
            sums.entry((table, *number)).or_default().below.apply("", added, removed);
        }
        if let Some(number) = counted.own {
            sums.entry((table, number)).or_default().own.apply("", added, removed);
        }
    }

    /// Adds those of another part of the log.
    pub fn merge(into: &mut SumsOf, from: SumsOf) {
        for (of, sums) in from {
            let kept = into.entry(of).or_default();
            kept.below.follow(&sums.below);
            kept.own.follow(&sums.own);
        }
    }
}

/// What was met of a record's chunks.
#[derive(Default)]
struct Met {
    /// Leaves of the covered chunks, there or gone.
    tree: Tree,
    gone: u64,
}

/// The records as the log bears them out.
#[derive(Default)]
pub struct Account {
    met: HashMap<(Table, usize), Met>,
    /// Records whose chunk was read: detail, and whether the digest vouches for it.
    seen: HashMap<u64, (Option<String>, bool)>,
    pub sums: SumsOf,
}

impl Account {
    /// A chunk that is a record.
    pub fn see(&mut self, id: u64, detail: Option<String>, is_signed: bool) {
        self.seen.insert(id, (detail, is_signed));
    }

    /// A chunk with rows, or the place of one that is gone; `false` if no record covers it.
    pub fn meet(&mut self, records: &Records, table: &Table, id: u64, leaf: &Hash, is_gone: bool) -> bool {
        let Some(number) = records.covering(table, id) else { return false };
        let met = self.met.entry((*table, number)).or_default();
        met.tree.push(leaf);
        met.gone += u64::from(is_gone);
        true
    }

    /// In what records are not borne out.
    pub fn judge(&self, records: &Records, report: &mut Report) {
        let mut fault = |class: &str, id: u64, table: Option<&Table>, detail: &str| {
            let place = json!({ "chunk_id": id, "table": table.map(|table| hex(table)) });
            report.fault(Fault::of_log(class, place, detail));
        };
        for id in &records.unreadable {
            fault("log_edited", *id, None, "the state record cannot be read");
        }
        let mut unsigned = Vec::new();
        for (table, known) in &records.known {
            let mut reached = 0;
            for (number, record) in known.iter().enumerate() {
                let said = &record.said;
                let seen = self.seen.get(&record.id);
                if seen.and_then(|(detail, _)| detail.as_ref()) != Some(&record.detail)
                    || said.after != reached
                {
                    let detail = "the state record is not in the log as the database says, or not behind the one before";
                    fault("log_edited", record.id, Some(table), detail);
                }
                reached = said.through;
                let none = Met::default();
                let met = self.met.get(&(*table, number)).unwrap_or(&none);
                if met.tree.size() != said.chunks || hex(&met.tree.root()) != said.root {
                    let detail = "the state record covers other chunks: gone chunks are not accounted for";
                    fault("log_missing", record.id, Some(table), detail);
                }
                if met.gone > 0 && seen.is_some_and(|(_, is_signed)| !is_signed) {
                    unsigned.push(record.id);
                }
                let sums = self.sums.get(&(*table, number)).cloned().unwrap_or_default();
                let holds =
                    |state: &State| state.count == said.rows && hex(&state.leaves.checksum()) == said.state;
                if number + 1 == known.len() && !holds(&sums.own) {
                    let detail = "the rows of the state record are not those it was made with";
                    fault("log_edited", record.id, Some(table), detail);
                }
                if met.gone == 0 && !holds(&sums.below) {
                    let detail = "the state record is not what the chunks it covers make of the one before";
                    fault("log_edited", record.id, Some(table), detail);
                }
            }
        }
        for id in unsigned {
            report.note(format!(
                "chunks were pruned by a state record (chunk {id}) that is younger than the digest: verify with a newer one"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = [7; 16];

    fn records(baselines: &[u64]) -> Records {
        let detail = |after: u64, through: u64, rows_from: u64| {
            json!({ "after": after, "through": through, "rows_from": rows_from, "chunks": 0, "root": "", "rows": 0,
                    "state": "", "until": "2026-01-01" })
            .to_string()
        };
        Records::new(
            HashMap::from([(TABLE, baselines.to_vec())]),
            HashMap::from([(TABLE, vec![(22, detail(0, 10, 20)), (42, detail(10, 30, 40))])]),
        )
    }

    #[test]
    fn what_a_record_says_takes_the_place_of_what_it_covers() {
        let records = records(&[2]);
        let counted = |id, operation| records.counted(&TABLE, id, operation);
        assert_eq!(records.first(&TABLE), Some(31));
        assert_eq!(counted(3, "insert"), Counted { now: false, below: vec![0], own: None });
        assert_eq!(counted(1, "insert"), Counted::default());
        assert_eq!(counted(21, "state_rows"), Counted { now: false, below: vec![1], own: Some(0) });
        assert_eq!(counted(25, "delete"), Counted { now: false, below: vec![1], own: None });
        assert_eq!(counted(41, "state_rows"), Counted { now: true, below: vec![], own: Some(1) });
        assert_eq!(counted(42, "state"), Counted::default());
        assert_eq!(counted(43, "insert"), Counted { now: true, below: vec![], own: None });
    }

    #[test]
    fn a_baseline_begins_anew() {
        // among the chunks that the second record covers
        let among = records(&[2, 15]);
        assert_eq!(among.counted(&TABLE, 21, "state_rows").below, Vec::<usize>::new());
        assert_eq!(among.counted(&TABLE, 12, "insert").below, Vec::<usize>::new());
        assert_eq!(among.counted(&TABLE, 15, "baseline").below, vec![1]);
        assert_eq!(among.first(&TABLE), Some(31));
        // behind both
        let behind = records(&[2, 50]);
        assert_eq!(behind.first(&TABLE), Some(50));
        assert!(!behind.counted(&TABLE, 41, "state_rows").now);
    }
}

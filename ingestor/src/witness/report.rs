//! What a verification found, for people and for programs. Never: how it was found.

use serde::Serialize;
use serde_json::{Value, json};
use std::cell::Cell;
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Faults that are told one by one.
const FAULTS_MAX: usize = 1000;
/// Time between two looks at the terminal.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// A difference between digest, log and tables.
#[derive(Debug, Clone, Serialize)]
pub struct Fault {
    /// Its class, as `strata.verify_audit` calls it.
    #[serde(rename = "fault")]
    pub class: String,
    /// The table concerned.
    pub relation: Option<String>,
    /// Where.
    pub place: Value,
    /// What.
    pub detail: String,
}

impl Fault {
    /// Of the log.
    pub fn of_log(class: &str, place: Value, detail: impl Into<String>) -> Self {
        Self { class: class.to_owned(), relation: None, place, detail: detail.into() }
    }

    /// Of a table.
    pub fn of_table(class: &str, relation: &str, place: Value, detail: impl Into<String>) -> Self {
        Self { relation: Some(relation.to_owned()), ..Self::of_log(class, place, detail) }
    }
}

/// A table that was compared with its log.
#[derive(Debug, Serialize)]
pub struct Compared {
    /// Its name.
    pub relation: String,
    /// Rows read.
    pub rows: u64,
    /// Old versions read; `None`: they were not.
    pub history_rows: Option<u64>,
}

/// All that was found.
#[derive(Debug, Default)]
pub struct Report {
    /// What contradicts digest or log.
    pub faults: Vec<Fault>,
    /// What a person should know, and which is no fault.
    pub notes: Vec<String>,
    /// What was compared.
    pub tables: Vec<Compared>,
    /// Faults beyond those told.
    more: u64,
}

impl Report {
    /// Another fault.
    pub fn fault(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        } else {
            self.more += 1;
        }
    }

    /// Another note.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    /// Lines for people: notes and faults.
    pub fn lines(&self) -> String {
        let mut text = String::new();
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        for fault in &self.faults {
            let relation = fault.relation.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
            let _ = writeln!(text, "{}:{relation} {} {}", fault.class, fault.place, fault.detail);
        }
        if self.more > 0 {
            let _ = writeln!(text, "and {} more", self.more);
        }
        text
    }

    /// One object for programs, with what is known beside the findings.
    pub fn to_json(&self, mut known: Value) -> Value {
        let findings = json!({
            "sound": self.is_sound(), "faults": self.faults, "more_faults": self.more, "notes": self.notes, "tables": self.tables
        });
        if let (Value::Object(known), Value::Object(findings)) = (&mut known, findings) {
            known.extend(findings);
        }
        known
    }
}

/// How far it is, on a terminal.
pub struct Progress {
    last: Cell<Option<Instant>>,
}

impl Progress {
    /// Shown only where somebody sees it.
    pub fn new() -> Self {
        Self { last: Cell::new(std::io::stderr().is_terminal().then(Instant::now)) }
    }

    /// Says what is being read and how much of it has been.
    pub fn show(&self, what: &str, count: u64, unit: &str) {
        if self.last.get().is_some_and(|last| last.elapsed() >= SHOW_EVERY) {
            self.last.set(Some(Instant::now()));
            eprint!("\r\x1b[K{what}: {count} {unit}");
        }
    }

    /// Takes the line away.
    pub fn clear(&self) {
        if self.last.get().is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

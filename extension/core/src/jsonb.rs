//! `jsonb`: JSON text to bytes that are the same for every text the server stores alike.
//!
//! One pass, written by hand instead of through `serde_json`: numbers must keep their text, and reading each value
//! as raw text first would scan a document once per level of nesting. Layout in docs/formats.md.

mod string;

use crate::numeric::{self, NumericError};

/// The first byte of the canonical form.
pub const VERSION: u8 = 1;
/// How deep arrays and objects may nest. The server's own bound is its stack: some 6,000 by default.
pub const DEPTH_MAX: usize = 1000;
/// The longest string jsonb can hold, taken as a bound of the whole text.
pub const TEXT_BYTES_MAX: usize = 0x0fff_ffff;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const NUMBER: u8 = 3;
const STRING: u8 = 4;
const ARRAY: u8 = 5;
const OBJECT: u8 = 6;

/// Why a text is no jsonb value. Offsets are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonbError {
    /// Not JSON (SQLSTATE 22P02).
    #[error("invalid JSON at byte {0}")]
    Syntax(usize),
    /// Half of a surrogate pair (SQLSTATE 22P02).
    #[error("half of a Unicode surrogate pair at byte {0}")]
    Surrogate(usize),
    /// `\u0000`, which text cannot hold (SQLSTATE 22P05).
    #[error("unsupported Unicode escape sequence at byte {0}")]
    Nul(usize),
    /// Arrays and objects nested deeper than [`DEPTH_MAX`] (SQLSTATE 54001).
    #[error("JSON nested too deep at byte {0}")]
    TooDeep(usize),
    /// A number `numeric` cannot hold (SQLSTATE 22003).
    #[error("number out of range at byte {0}")]
    NumberOutOfRange(usize),
    /// Longer than [`TEXT_BYTES_MAX`] (SQLSTATE 54000).
    #[error("JSON text too long")]
    TooLong,
}

/// The version-1 canonical bytes of JSON text.
pub fn canonical(text: &str) -> Result<Vec<u8>, JsonbError> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 2 + 16);
    canonical_into(text, &mut out)?;
    Ok(out)
}

/// [`canonical`], appending to `out`, which is left as it was when that fails.
pub fn canonical_into(text: &str, out: &mut Vec<u8>) -> Result<(), JsonbError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(JsonbError::TooLong);
    }
    let start = out.len();
    out.push(VERSION);
    let mut writer = Writer { text, at: 0, out, entries: Vec::new(), sorted: Vec::new() };
    let written = writer.document();
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// A key and its value as they stand in the output.
#[derive(Clone, Copy)]
struct Entry {
    start: usize,
    key_end: usize,
    end: usize,
}

/// What precedes a key: its length.
const LENGTH: usize = 4;

impl Entry {
    /// The order of jsonb: by length, then bytewise.
    fn key(self, out: &[u8]) -> (usize, &[u8]) {
        (self.key_end - self.start, &out[self.start + LENGTH..self.key_end])
    }
}

struct Writer<'a> {
    text: &'a str,
    at: usize,
    out: &'a mut Vec<u8>,
    /// Entries of the objects being read, the innermost last.
    entries: Vec<Entry>,
    /// Memory for putting entries in order.
    sorted: Vec<u8>,
}

impl Writer<'_> {
    fn document(&mut self) -> Result<(), JsonbError> {
        self.value(0)?;
        if self.next_token().is_some() { Err(self.syntax()) } else { Ok(()) }
    }

    fn syntax(&self) -> JsonbError {
        JsonbError::Syntax(self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The byte after white space, not taken.
    fn next_token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.next_token() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<(), JsonbError> {
        match self.next_token() {
            Some(b'{') => self.object(self.deeper(depth)?),
            Some(b'[') => self.array(self.deeper(depth)?),
            Some(b'"') => {
                self.out.push(STRING);
                self.string()
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", TRUE),
            Some(b'f') => self.literal("false", FALSE),
            Some(b'n') => self.literal("null", NULL),
            _ => Err(self.syntax()),
        }
    }

    fn deeper(&self, depth: usize) -> Result<usize, JsonbError> {
        if depth < DEPTH_MAX { Ok(depth + 1) } else { Err(JsonbError::TooDeep(self.at)) }
    }

    fn literal(&mut self, name: &str, tag: u8) -> Result<(), JsonbError> {
        if !self.text.as_bytes()[self.at..].starts_with(name.as_bytes()) {
            return Err(self.syntax());
        }
        self.at += name.len();
        self.out.push(tag);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonbError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.syntax()) }
    }

    fn number(&mut self) -> Result<(), JsonbError> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        self.out.push(NUMBER);
        let length = self.reserve_length();
        numeric::parse_into(&self.text[start..self.at], None, self.out).map_err(|error| match error {
            NumericError::Syntax => JsonbError::Syntax(start),
            _ => JsonbError::NumberOutOfRange(start),
        })?;
        self.set_length(length, self.out.len() - length - LENGTH);
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonbError> {
        self.at += 1;
        self.out.push(ARRAY);
        let length = self.reserve_length();
        let mut count = 0;
        if !self.take(b']') {
            loop {
                self.value(depth)?;
                count += 1;
                if self.take(b']') {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.syntax());
                }
            }
        }
        self.set_length(length, count);
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), JsonbError> {
        self.at += 1;
        self.out.push(OBJECT);
        let length = self.reserve_length();
        let first = self.entries.len();
        if !self.take(b'}') {
            loop {
                self.entry(depth)?;
                if self.take(b'}') {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.syntax());
                }
            }
        }
        self.sort_entries(first);
        self.set_length(length, self.entries.len() - first);
        self.entries.truncate(first);
        Ok(())
    }

    fn entry(&mut self, depth: usize) -> Result<(), JsonbError> {
        if self.next_token() != Some(b'"') {
            return Err(self.syntax());
        }
        let start = self.out.len();
        self.string()?;
        let key_end = self.out.len();
        if !self.take(b':') {
            return Err(self.syntax());
        }
        self.value(depth)?;
        self.entries.push(Entry { start, key_end, end: self.out.len() });
        Ok(())
    }

    /// Puts the entries of the innermost object in order, of equal keys only the last.
    fn sort_entries(&mut self, first: usize) {
        let out = &*self.out;
        let entries = &mut self.entries[first..];
        if entries.is_sorted_by(|a, b| a.key(out) < b.key(out)) {
            return;
        }
        let body = entries[0].start;
        // Later entries first among equals, so that the one to keep is the first of its run.
        entries.sort_unstable_by(|a, b| a.key(out).cmp(&b.key(out)).then(b.start.cmp(&a.start)));
        self.sorted.clear();
        let mut kept = 0;
        for at in 0..entries.len() {
            let entry = entries[at];
            if kept > 0 && entries[kept - 1].key(out) == entry.key(out) {
                continue;
            }
            self.sorted.extend_from_slice(&out[entry.start..entry.end]);
            entries[kept] = entry;
            kept += 1;
        }
        self.entries.truncate(first + kept);
        self.out.truncate(body);
        self.out.extend_from_slice(&self.sorted);
    }

    fn reserve_length(&mut self) -> usize {
        self.out.extend_from_slice(&[0; LENGTH]);
        self.out.len() - LENGTH
    }

    fn set_length(&mut self, at: usize, length: usize) {
        // Nothing is longer than the text, which is bounded.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.out[at..at + LENGTH].copy_from_slice(&length.to_be_bytes());
    }
}

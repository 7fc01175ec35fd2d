//! Files and standard input as a source: one JSON a line, a shard a file, gzip by its first bytes. The place of a record
//! is where its line ends, counted in bytes of what was decompressed, so that an interrupted run goes on after the last line
//! that was committed. Never: decoding, the database.

use crate::error::{Error, Result};
use crate::stream::{Page, Position, Records, Shard, Stream};
use flate2::read::MultiGzDecoder;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// What a stream of files begins with.
pub const FILE: &str = "file:";
/// What standard input begins with; the rest is the name its progress is kept under.
pub const STDIN: &str = "stdin:";
/// What gzip begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The only shard of standard input.
const STDIN_SHARD: &str = "stdin";

/// Files being read.
#[derive(Default, Clone)]
pub struct Files {
    open: Arc<Mutex<OpenFiles>>,
    /// Bytes of all files, as they lie on disk.
    bytes: Arc<AtomicU64>,
    /// Bytes of them read.
    read: Arc<AtomicU64>,
}

/// By stream and shard.
type OpenFiles = HashMap<(String, String), Arc<Mutex<Reader>>>;

/// A file, and how far it was read.
struct Reader {
    lines: BufReader<Box<dyn Read + Send>>,
    offset: u64,
}

/// Whether a stream's name means files.
pub fn is_files(name: &str) -> bool {
    name.starts_with(FILE) || name.starts_with(STDIN)
}

impl Files {
    /// Bytes read, and how many there are, as they lie on disk; 0 where that is not known.
    pub fn progress(&self) -> (u64, u64) {
        (self.read.load(Relaxed), self.bytes.load(Relaxed))
    }

    /// The files a name means: one, all of a directory, or those that a `*` in the last part of the path stands for.
    fn paths(name: &str) -> Result<Vec<PathBuf>> {
        let path = Path::new(name.strip_prefix(FILE).unwrap_or(name));
        let refuse = |e: io::Error| Error::usage(format!("{} cannot be read: {e}", path.display()));
        let pattern = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let (dir, pattern) = if pattern.contains('*') {
            (path.parent().unwrap_or(Path::new(".")), pattern)
        } else if path.is_dir() {
            (path, "*".to_owned())
        } else {
            File::open(path).map_err(refuse)?;
            return Ok(vec![path.to_owned()]);
        };
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(refuse)? {
            let entry = entry.map_err(refuse)?;
            let name = entry.file_name();
            let plain = entry.path().is_file() && !name.to_string_lossy().starts_with('.');
            if plain && matches(&name.to_string_lossy(), &pattern) {
                found.push(entry.path());
            }
        }
        found.sort();
        if found.is_empty() {
            return Err(Error::usage(format!("{} is no file, and there is none like it", path.display())));
        }
        Ok(found)
    }

    /// The stream a name means.
    pub fn describe(name: &str) -> Result<Stream> {
        let shards = if name.starts_with(STDIN) { 1 } else { Self::paths(name)?.len() };
        Ok(Stream {
            name: name.to_owned(),
            arn: name.to_owned(),
            label: name.to_owned(),
            open_shards: i32::try_from(shards).unwrap_or(i32::MAX),
            // (nothing of a file goes by time)
            retention_hours: 0,
            ignores_keys: false,
        })
    }

    /// Its shards: one a file.
    pub fn list_shards(&self, stream: &Stream) -> Result<Vec<Shard>> {
        let shard = |id: String| Shard { id, parents: Vec::new() };
        if stream.name.starts_with(STDIN) {
            return Ok(vec![shard(STDIN_SHARD.to_owned())]);
        }
        let paths = Self::paths(&stream.name)?;
        let bytes = paths.iter().filter_map(|path| path.metadata().ok()).map(|m| m.len()).sum();
        self.bytes.store(bytes, Relaxed);
        Ok(paths.into_iter().map(|path| shard(path.to_string_lossy().into_owned())).collect())
    }

    /// Where reading goes on after a position.
    pub fn iterator(position: &Position) -> String {
        match position {
            Position::After(offset) => offset.clone(),
            Position::TrimHorizon | Position::At(_) | Position::Record(_) => "0".to_owned(),
        }
    }

    /// The next lines.
    pub fn records(
        &self,
        stream: &Stream,
        shard: &str,
        iterator: &str,
        limit: u32,
        bytes: u64,
    ) -> Result<Page> {
        let from: u64 = iterator.parse().map_err(|_| {
            Error::end(format!("the checkpoint of {shard} is \"{iterator}\", which is no place in a file"))
        })?;
        let reader = self.reader(stream, shard, from)?;
        let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |e: io::Error| Error::end(format!("reading {shard}: {e}"));
        let (mut records, mut count) = (Records::default(), 0);
        let end = from.saturating_add(bytes);
        // (an empty page means that there is nothing more)
        while count == 0 || count < limit && reader.offset < end {
            let data = records.payload();
            let start = data.len();
            let read = reader.lines.read_until(b'\n', data).map_err(failed)?;
            if read == 0 {
                self.forget(stream, shard);
                return Ok(Page { records: records.finish(), ..Page::default() });
            }
            reader.offset += read as u64;
            while data.len() > start && data.last().is_some_and(u8::is_ascii_whitespace) {
                data.pop();
            }
            // An empty line is no record.
            if data.len() > start {
                records.end(&reader.offset.to_string(), "", None);
                count += 1;
            }
            // What has come through a pipe goes its way before more is waited for.
            if count > 0 && shard == STDIN_SHARD && !reader.lines.buffer().contains(&b'\n') {
                break;
            }
        }
        let next = Some(reader.offset.to_string());
        Ok(Page { records: records.finish(), next, ..Page::default() })
    }

    /// The reader of a shard at a place; one that stands elsewhere begins anew.
    fn reader(&self, stream: &Stream, shard: &str, from: u64) -> Result<Arc<Mutex<Reader>>> {
        let name = (stream.name.clone(), shard.to_owned());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = open.get(&name) {
            let at = reader.lock().unwrap_or_else(PoisonError::into_inner).offset;
            if at == from {
                return Ok(Arc::clone(reader));
            }
            if shard == STDIN_SHARD {
                return Err(Error::end(
                    "standard input cannot be read again: start the process anew with the same input",
                ));
            }
        }
        let failed = |e: io::Error| Error::end(format!("opening {shard}: {e}"));
        let raw: Box<dyn Read + Send> = if shard == STDIN_SHARD {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(shard).map_err(failed)?)
        };
        let mut lines = plain(Counted { raw, read: Arc::clone(&self.read) }).map_err(failed)?;
        let skipped = io::copy(&mut lines.by_ref().take(from), &mut io::sink()).map_err(failed)?;
        if skipped < from {
            return Err(Error::end(format!(
                "{shard} is shorter than what was read of it before: it is another file"
            )));
        }
        let reader = Arc::new(Mutex::new(Reader { lines, offset: from }));
        open.insert(name, Arc::clone(&reader));
        Ok(reader)
    }

    fn forget(&self, stream: &Stream, shard: &str) {
        if shard != STDIN_SHARD {
            let name = (stream.name.clone(), shard.to_owned());
            self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        }
    }
}

/// Decompressed, where it is compressed.
fn plain(raw: Counted) -> io::Result<BufReader<Box<dyn Read + Send>>> {
    let raw: Box<dyn Read + Send> = Box::new(raw);
    let mut buffered = BufReader::with_capacity(1 << 16, raw);
    if buffered.fill_buf()?.starts_with(&GZIP) {
        return Ok(BufReader::with_capacity(1 << 16, Box::new(MultiGzDecoder::new(buffered))));
    }
    Ok(buffered)
}

/// Counts what comes from the disk.
struct Counted {
    raw: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.raw.read(buffer)?;
        self.read.fetch_add(read as u64, Relaxed);
        Ok(read)
    }
}

/// Whether a name is what a pattern with `*` stands for.
fn matches(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(before) = last.replace(part) {
            let Some(at) = rest.find(before) else { return false };
            rest = &rest[at + before.len()..];
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn file(name: &str, bytes: &[u8]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("strata-files-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Reads a file in pages of so many records, beginning anew after every page where asked to.
    fn read_all(path: &Path, limit: u32, afresh: bool) -> Vec<(String, String)> {
        let mut files = Files::default();
        let stream = Files::describe(&format!("{FILE}{}", path.display())).unwrap();
        let shard = files.list_shards(&stream).unwrap().remove(0).id;
        let mut position = Position::TrimHorizon;
        let mut found = Vec::new();
        loop {
            let page = files.records(&stream, &shard, &Files::iterator(&position), limit, 1 << 20).unwrap();
            found.extend(
                page.records
                    .iter()
                    .map(|r| (String::from_utf8(r.data().to_vec()).unwrap(), r.sequence_number().to_owned())),
            );
            let Some(next) = page.next else { return found };
            position = Position::After(next);
            if afresh {
                files = Files::default();
            }
        }
    }

    #[test]
    fn lines_have_places_that_can_be_gone_on_from() {
        let text = b"{\"a\":1}\n\n{\"b\":2}\r\nlast";
        let plain = file("plain", text);
        let expected = [("{\"a\":1}", "8"), ("{\"b\":2}", "18"), ("last", "22")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()));
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        let packed = file("packed", &encoder.finish().unwrap());
        for path in [&plain, &packed] {
            for (limit, afresh) in [(100, false), (1, false), (1, true)] {
                assert_eq!(read_all(path, limit, afresh), expected, "{path:?} {limit} {afresh}");
            }
        }
        let files = Files::default();
        let stream = Files::describe(&format!("{FILE}{}", plain.display())).unwrap();
        let shorter = files.records(&stream, &plain.to_string_lossy(), "100", 1, 1).unwrap_err();
        assert!(shorter.message.contains("shorter"), "{shorter}");
        std::fs::remove_file(plain).unwrap();
        std::fs::remove_file(packed).unwrap();
    }

    #[test]
    fn names_stand_for_files() {
        for (name, pattern, like) in [
            ("a.json", "*.json", true),
            ("a.json.gz", "*.json", false),
            ("abc", "a*b*c", true),
            ("ac", "a*b*c", false),
            ("ab", "ab*", true),
            ("a", "a", true),
            ("ab", "a", false),
            ("aa", "a*a*a", false),
        ] {
            assert_eq!(matches(name, pattern), like, "{name} {pattern}");
        }
        let error = Files::describe("file:/nowhere/*.json").unwrap_err();
        assert!(error.message.contains("/nowhere"), "{error}");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_wherever_it_is_cut(lines in proptest::collection::vec("[a-z]{0,6}", 0..20), limit in 1_u32..5) {
            let path = file("cut", lines.join("\n").as_bytes());
            let expected: Vec<_> = lines.iter().filter(|line| !line.is_empty()).cloned().collect();
            let found: Vec<_> = read_all(&path, limit, true).into_iter().map(|(line, _)| line).collect();
            prop_assert_eq!(found, expected);
        }
    }
}

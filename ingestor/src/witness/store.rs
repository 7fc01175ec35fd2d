//! Where digests are published, and the last one is read from: directories and buckets. A digest of one size is written once;
//! `latest` is replaced, as a whole. Never: whether to believe one.

use crate::config;
use crate::error::{Error, Kind, Result};
use crate::s3::{Bucket, Put};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The name of the newest digest.
const LATEST: &str = "latest";
/// Digits that names of digests begin with.
const SIZE_DIGITS: usize = 20;
/// What begins the line that names the origin before a restore.
pub const FORMER_LINE: &str = "strata/restored-from ";

/// A place for digests.
#[derive(Debug, Clone)]
pub enum Store {
    /// A directory.
    Directory(PathBuf),
    /// A bucket, and a prefix in it.
    Bucket(Box<Bucket>),
}

impl Store {
    /// Of `s3://bucket/prefix`, or of a directory.
    pub async fn new(place: &str, settings: &config::Audit) -> Result<Self> {
        if place.starts_with("s3://") {
            return Ok(Self::Bucket(Box::new(Bucket::new(place, settings).await?)));
        }
        Ok(Self::Directory(PathBuf::from(place)))
    }

    /// For people.
    pub fn name(&self) -> String {
        match self {
            Self::Directory(directory) => directory.display().to_string(),
            Self::Bucket(bucket) => bucket.url(""),
        }
    }

    /// The newest note; `None` if there is none.
    pub async fn latest(&self) -> Result<Option<String>> {
        match self {
            Self::Directory(directory) => read_if_there(&directory.join(LATEST)),
            Self::Bucket(bucket) => {
                let latest = bucket.get(LATEST).await?;
                // whoever may put objects could put an old one in its place, but not take away what is locked
                let after = latest.as_deref().map(name_of).unwrap_or_default();
                let suffix = after.get(SIZE_DIGITS..).unwrap_or_default().to_owned();
                match bucket.last_after(&after, |name| is_name(name, &suffix)).await? {
                    Some(name) => bucket.get(&name).await,
                    None => Ok(latest),
                }
            }
        }
    }

    /// Publishes a note: by its size, where none of that size is, and as the newest.
    pub async fn publish(&self, note: &str) -> Result<()> {
        let name = name_of(note);
        match self {
            Self::Directory(directory) => {
                let failed = |e| Error::end(format!("cannot publish into {}: {e}", directory.display()));
                std::fs::create_dir_all(directory).map_err(failed)?;
                if !directory.join(&name).exists() {
                    replace(directory, &name, note).map_err(failed)?;
                }
                replace(directory, LATEST, note).map_err(failed)
            }
            Self::Bucket(bucket) => {
                if bucket.put_new(&name, note).await? == Put::Exists {
                    let there = bucket.get(&name).await?.unwrap_or_default();
                    if three_lines(&there) != three_lines(note) {
                        return Err(Error::new(
                            Kind::Check,
                            format!("another digest is in {}", bucket.url(&name)),
                        ));
                    }
                }
                bucket.put_over(LATEST, note).await
            }
        }
    }

    /// Whether digests could be published: asks, and leaves nothing behind.
    pub async fn check(&self) -> Result<()> {
        match self {
            Self::Directory(directory) => {
                let probe = directory.join(".probe");
                std::fs::create_dir_all(directory)
                    .and_then(|()| std::fs::write(&probe, ""))
                    .and_then(|()| std::fs::remove_file(&probe))
                    .map_err(|e| Error::end(format!("cannot publish into {}: {e}", directory.display())))
            }
            Self::Bucket(_) => self.latest().await.map(drop),
        }
    }
}

/// The name of a digest: sizes in their order. Of a log that was restored its origin is part of the name, for there are digests
/// of these sizes already.
fn name_of(note: &str) -> String {
    let mut lines = note.lines();
    let origin = lines.next().unwrap_or_default();
    let size = lines.next().and_then(|size| size.parse::<u64>().ok()).unwrap_or_default();
    let end = origin.char_indices().rev().nth(7).map_or(origin, |(at, _)| &origin[at..]);
    match former_of(note) {
        None => format!("{size:020}"),
        Some(_) => format!("{size:020}-{end}"),
    }
}

/// What a note says of the origin before a restore: origin, size and root.
pub fn former_of(note: &str) -> Option<&str> {
    note.lines().take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix(FORMER_LINE))
}

fn is_name(name: &str, suffix: &str) -> bool {
    name.split_at_checked(SIZE_DIGITS)
        .is_some_and(|(size, rest)| rest == suffix && size.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Origin, size and root.
fn three_lines(note: &str) -> Vec<&str> {
    note.lines().take(3).collect()
}

fn read_if_there(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::usage(format!("cannot read {}: {e}", path.display()))),
    }
}

/// Puts a file where it is whole or not there, whatever happens.
fn replace(directory: &Path, name: &str, note: &str) -> std::io::Result<()> {
    let part = directory.join(format!(".{name}.part"));
    let mut file = std::fs::File::create(&part)?;
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&part, directory.join(name))?;
    std::fs::File::open(directory)?.sync_all()
}

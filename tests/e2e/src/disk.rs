//! A small disk under a server, which a test can fill and free again: a file system of its own where one may be mounted
//! (as root, or by sudo), otherwise a library in the server that lets nothing grow. `STRATA_TEST_NO_MOUNT=1` takes the
//! latter.

use crate::cluster::{Cluster, pg};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The disk's size, where it is a file system.
const SIZE: &str = "96m";

/// Takes all that is left.
#[derive(Debug)]
pub struct Disk {
    /// Where it is.
    pub path: PathBuf,
    mounted: bool,
}

impl Disk {
    /// Puts one under a server, which is restarted where that takes it.
    ///
    /// # Errors
    /// When neither way works.
    pub fn of(cluster: &Cluster) -> Result<Self> {
        let wanted = std::env::var_os("STRATA_TEST_NO_MOUNT").is_none();
        match wanted.then(|| pg(&["disk", cluster.dir(), SIZE])) {
            Some(Ok(path)) => Ok(Self { path: path.into(), mounted: true }),
            other => {
                if let Some(Err(error)) = other {
                    eprintln!("nothing can be mounted, the server plays a full disk: {error}");
                }
                Self::played(cluster)
            }
        }
    }

    fn played(cluster: &Cluster) -> Result<Self> {
        let path = PathBuf::from(pg(&["disk", cluster.dir()])?);
        // In a directory that the server's user may enter.
        let library = std::env::temp_dir().join(format!("pg_strata-full-disk-{}.so", std::process::id()));
        let source = crate::root().join("tests/e2e/full_disk.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output()?;
        ensure!(compiled.status.success(), "cc: {}", String::from_utf8_lossy(&compiled.stderr));
        pg(&["stop", cluster.dir()])?;
        let started = Command::new(crate::root().join("scripts/pg.sh"))
            .args(["start", cluster.dir()])
            .env("LD_PRELOAD", &library)
            .env("STRATA_FULL_DISK", &path)
            .output()?;
        ensure!(started.status.success(), "pg.sh start: {}", String::from_utf8_lossy(&started.stderr));
        std::fs::remove_file(library)?;
        Ok(Self { path, mounted: false })
    }

    /// Leaves no room on it.
    ///
    /// # Errors
    /// When it cannot be filled.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::create(self.ballast()).context("filling the disk")?;
        if self.mounted {
            for size in [1 << 20, 4096, 1] {
                while file.write_all(&vec![0; size]).is_ok() {}
            }
        }
        Ok(())
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When it was not filled.
    pub fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        if self.mounted { self.path.join("ballast") } else { full(&self.path) }
    }
}

/// The file that tells the library.
fn full(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.full", path.display()))
}

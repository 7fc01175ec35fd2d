//! Child processes that end with the test: their output is kept in a file and shown when something went wrong.

use anyhow::{Context, Result};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A running program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, both its outputs going to one file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(mut command: Command, name: &str) -> Result<Self> {
        let log = std::env::temp_dir().join(format!(
            "pg_strata-{name}-{}-{:x}.log",
            std::process::id(),
            fastrand::u64(..)
        ));
        let out = File::create(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, log })
    }

    /// What it wrote so far.
    #[must_use]
    pub fn output(&self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(&self.log) {
            let _ = file.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The most memory it ever had, in MB.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn peak_mb(&self) -> Result<u64> {
        self.mb_of("VmHWM:")
    }

    /// The memory it has now, in MB.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn memory_mb(&self) -> Result<u64> {
        self.mb_of("VmRSS:")
    }

    fn mb_of(&self, name: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let size = status.lines().find_map(|line| line.strip_prefix(name));
        let size = size.with_context(|| format!("no {name}"))?;
        Ok(size.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system does not know the process.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// SIGKILL, and waits for it to be gone.
    ///
    /// # Errors
    /// When the system does not know the process.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends it a signal by name.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status()?;
        anyhow::ensure!(status.success(), "kill -{name} failed");
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let began = std::time::Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            anyhow::ensure!(
                began.elapsed() < crate::PATIENCE,
                "it does not end; its output:\n{}",
                self.output()
            );
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
        // The test harness shows this where the test failed, and only there.
        let output = self.output();
        let tail: Vec<&str> = output.lines().rev().take(40).collect();
        eprintln!("--- last lines of {}", self.log.display());
        tail.iter().rev().for_each(|line| eprintln!("{line}"));
        let _ = std::fs::remove_file(&self.log);
    }
}

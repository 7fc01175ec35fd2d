//! The built `strata`, configured by environment alone.

use crate::process::Process;
use crate::{Cluster, Endpoint};
use anyhow::Result;
use std::process::{Command, Output};

/// A running `strata ingest`.
#[derive(Debug)]
pub struct Sidecar {
    /// The process.
    pub process: Process,
}

/// A call of the sidecar against this cluster and endpoint; nothing of the caller's environment reaches it.
///
/// # Errors
/// When it is not built.
pub fn command(cluster: &Cluster, endpoint: &Endpoint, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(crate::program("strata")?);
    command
        .args(arguments)
        .env_clear()
        .env("STRATA_POSTGRES_DSN", &cluster.dsn)
        .env("STRATA_KINESIS_ENDPOINT_URL", &endpoint.url)
        .env("STRATA_WORKER", "e2e")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("RUST_BACKTRACE", "1");
    Ok(command)
}

/// Runs a subcommand to its end.
///
/// # Errors
/// When it cannot be started.
pub fn run(cluster: &Cluster, endpoint: &Endpoint, arguments: &[&str]) -> Result<Output> {
    Ok(command(cluster, endpoint, arguments)?.output()?)
}

impl Sidecar {
    /// Starts `strata ingest` of one stream into one table, with settings as in `batch.rows=500`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn ingest(cluster: &Cluster, endpoint: &Endpoint, stream: &str, settings: &[&str]) -> Result<Self> {
        Self::start(cluster, endpoint, "ingest", stream, settings)
    }

    /// Starts a subcommand that runs until it is stopped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        cluster: &Cluster,
        endpoint: &Endpoint,
        subcommand: &str,
        stream: &str,
        settings: &[&str],
    ) -> Result<Self> {
        let mut arguments = vec![subcommand, "--stream", stream, "--relation", "clicks"];
        for setting in settings {
            arguments.extend(["--set", setting]);
        }
        Ok(Self { process: Process::spawn(command(cluster, endpoint, &arguments)?, "strata")? })
    }

    /// Starts `strata ingest` with a configuration file of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn configured(cluster: &Cluster, endpoint: &Endpoint, toml: &str) -> Result<Self> {
        let file = std::env::temp_dir().join(format!(
            "pg_strata-{}-{:x}.toml",
            std::process::id(),
            fastrand::u64(..)
        ));
        std::fs::write(&file, toml)?;
        let file = file.to_string_lossy();
        Ok(Self {
            process: Process::spawn(command(cluster, endpoint, &["ingest", "--config", &file])?, "strata")?,
        })
    }

    /// Waits for its end by itself; gives its exit code.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn end(&mut self) -> Result<Option<i32>> {
        Ok(self.process.wait().await?.code())
    }

    /// SIGSTOP: it stands still, its connections and leases stay.
    ///
    /// # Errors
    /// When it is gone.
    pub fn pause(&self) -> Result<()> {
        self.process.signal("STOP")
    }

    /// SIGCONT: it goes on as if nothing had happened.
    ///
    /// # Errors
    /// When it is gone.
    pub fn resume(&self) -> Result<()> {
        self.process.signal("CONT")
    }

    /// SIGTERM, then its exit code.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(mut self) -> Result<Option<i32>> {
        self.process.signal("TERM")?;
        let status = self.process.wait().await?;
        if !status.success() {
            eprintln!("{}", self.process.output());
        }
        Ok(status.code())
    }
}

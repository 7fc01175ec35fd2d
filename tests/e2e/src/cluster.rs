//! A PostgreSQL of its own for a test, by scripts/pg.sh.

use anyhow::{Context, Result, ensure};
use std::process::Command;
use tokio_postgres::{Client, NoTls};

/// A running server with the extension created in database `events`.
#[derive(Debug)]
pub struct Cluster {
    dir: String,
    /// Connection string of a superuser, over TCP.
    pub dsn: String,
}

fn pg(arguments: &[&str]) -> Result<String> {
    let out = Command::new(crate::root().join("scripts/pg.sh")).args(arguments).output()?;
    ensure!(out.status.success(), "pg.sh {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8(out.stdout)?.trim().to_owned())
}

impl Cluster {
    /// Starts one that forgets quickly: for tests that crash nothing.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start() -> Result<Self> {
        Self::with(&["fsync=off"]).await
    }

    /// Starts one that keeps what it promised.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn durable() -> Result<Self> {
        Self::with(&[]).await
    }

    /// One with these settings.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn with(settings: &[&str]) -> Result<Self> {
        let dir = pg(&[&["create"], settings].concat())?;
        let mut cluster = Self { dsn: String::new(), dir };
        let environment = pg(&["env", &cluster.dir])?;
        let dsn = environment
            .split_once("STRATA_TEST_DSN='")
            .and_then(|(_, rest)| rest.split_once('\''))
            .context("pg.sh env names no STRATA_TEST_DSN")?;
        dsn.0.clone_into(&mut cluster.dsn);
        let client = cluster.connect().await?;
        client.batch_execute("CREATE DATABASE events").await?;
        cluster.dsn = format!("{}/events", cluster.dsn.trim_end_matches("/postgres"));
        let client = cluster.connect().await?;
        client
            .batch_execute("CREATE EXTENSION pg_strata")
            .await
            .context("is the extension installed? make install")?;
        Ok(cluster)
    }

    /// Not a server, but a name for some: what a sidecar connects to.
    #[must_use]
    pub fn named(dsn: &str) -> Self {
        Self { dir: String::new(), dsn: dsn.to_owned() }
    }

    /// A standby of it that streams.
    ///
    /// # Errors
    /// When it does not start.
    pub fn standby(&self) -> Result<Self> {
        let dir = pg(&["standby", &self.dir])?;
        let port =
            |dir: &str| std::fs::read_to_string(format!("{dir}/port")).map(|port| port.trim().to_owned());
        let dsn = self.dsn.replace(&format!(":{}/", port(&self.dir)?), &format!(":{}/", port(&dir)?));
        Ok(Self { dir, dsn })
    }

    /// Makes a standby the primary.
    ///
    /// # Errors
    /// When it is none.
    pub fn promote(&self) -> Result<()> {
        pg(&["promote", &self.dir]).map(drop)
    }

    /// A connection.
    ///
    /// # Errors
    /// When there is none to be had.
    pub async fn connect(&self) -> Result<Client> {
        let (client, connection) = tokio_postgres::connect(&self.dsn, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Takes the server down as a crash would, and brings it back.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn crash_and_restart(&self) -> Result<()> {
        pg(&["restart", &self.dir, "immediate"]).map(drop)
    }

    /// Takes the server down as a crash would.
    ///
    /// # Errors
    /// When it does not go.
    pub fn crash(&self) -> Result<()> {
        pg(&["stop", &self.dir, "immediate"]).map(drop)
    }

    /// Brings it back.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn start_again(&self) -> Result<()> {
        pg(&["start", &self.dir]).map(drop)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.dir.is_empty() {
            return;
        }
        if let Err(error) = pg(&["destroy", &self.dir]) {
            eprintln!("{error}");
        }
    }
}

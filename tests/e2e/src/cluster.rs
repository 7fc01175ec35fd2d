//! A PostgreSQL of its own for a test, by scripts/pg.sh.

use crate::Disk;
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

/// What `scripts/pg.sh` says.
pub(crate) fn pg(arguments: &[&str]) -> Result<String> {
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
        let mut cluster = Self::bare(settings)?;
        cluster.make_database("").await?;
        Ok(cluster)
    }

    /// Without our database.
    fn bare(settings: &[&str]) -> Result<Self> {
        let dir = pg(&[&["create"], settings].concat())?;
        let mut cluster = Self { dsn: String::new(), dir };
        let environment = pg(&["env", &cluster.dir])?;
        let dsn = environment
            .split_once("STRATA_TEST_DSN='")
            .and_then(|(_, rest)| rest.split_once('\''))
            .context("pg.sh env names no STRATA_TEST_DSN")?;
        dsn.0.clone_into(&mut cluster.dsn);
        Ok(cluster)
    }

    /// One whose database lies on a disk of its own.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn cramped() -> Result<(Self, Disk)> {
        let mut cluster = Self::bare(&["fsync=off"])?;
        let disk = Disk::of(&cluster)?;
        let client = cluster.connect().await?;
        let tablespace = format!("CREATE TABLESPACE disk LOCATION '{}'", disk.path.display());
        client.batch_execute(&tablespace).await?;
        cluster.make_database("TABLESPACE disk").await?;
        Ok((cluster, disk))
    }

    /// Its directory.
    pub(crate) fn dir(&self) -> &str {
        &self.dir
    }

    async fn make_database(&mut self, options: &str) -> Result<()> {
        let client = self.connect().await?;
        client.batch_execute(&format!("CREATE DATABASE events {options}")).await?;
        self.dsn = format!("{}/events", self.dsn.trim_end_matches("/postgres"));
        let client = self.connect().await?;
        let created = client.batch_execute("CREATE EXTENSION pg_strata").await;
        created.context("is the extension installed? make install")
    }

    /// Not a server, but a name for some: what a sidecar connects to.
    #[must_use]
    pub fn named(dsn: &str) -> Self {
        Self { dir: String::new(), dsn: dsn.to_owned() }
    }

    /// What connects as a new role that may log in and nothing else.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn role(&self, name: &str) -> Result<Self> {
        let client = self.connect().await?;
        client.batch_execute(&format!("CREATE ROLE {name} LOGIN PASSWORD 'secret'")).await?;
        let (_, place) = self.dsn.split_once('@').context("a connection string without a host")?;
        Ok(Self::named(&format!("postgresql://{name}:secret@{place}")))
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

    /// Ends it in order, whoever is connected (57P01).
    ///
    /// # Errors
    /// When it does not go.
    pub fn shut_down(&self) -> Result<()> {
        pg(&["stop", &self.dir, "fast"]).map(drop)
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

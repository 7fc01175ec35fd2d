//! The only place that names the database driver: sessions here, statements in the modules below.
//! Never: DDL, decisions about what to do after an error (its kind says that).

mod apply;
pub mod audit;
mod binding;
pub mod catalog;
mod complete;
mod copy;
pub mod copy_rows;
pub mod dsn;
mod known;
pub mod leases;
pub mod maintain;
pub mod retry;
mod rights;
mod tls;
pub mod types;
pub mod views;
pub mod write;

use crate::config::{self, Config};
use crate::error::{Error, Kind, Result, kind_of_sqlstate};
use dsn::{SslMode, TlsParameters, take_tls};
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tls::Connector;
use tokio_postgres::Client;

/// How to reach the database. Files it names are read at every connection, so that a secret may be changed under a
/// running process.
#[derive(Debug, Clone)]
pub struct Database {
    settings: Arc<config::Postgres>,
}

/// One session. Dropping it closes the connection.
#[derive(Debug)]
pub struct Session {
    client: Client,
    /// The server is a standby now, or has become read-only: another one may be the right one.
    misplaced: AtomicBool,
}

impl Database {
    /// Reads the configuration; connects to nothing.
    pub fn new(config: &Config) -> Result<Self> {
        let database = Self { settings: Arc::new(config.postgres.clone()) };
        database.read()?;
        Ok(database)
    }

    /// What the driver is told, and how it is to encrypt.
    fn read(&self) -> Result<(tokio_postgres::Config, Connector)> {
        let settings = &self.settings;
        let dsn = settings.dsn()?;
        let (rest, in_dsn) = take_tls(dsn.reveal());
        // The driver's message names a keyword at most; the connection string is never repeated.
        let mut driver: tokio_postgres::Config = rest.parse().map_err(|e: tokio_postgres::Error| {
            Error::usage(format!("the connection string is not valid: {}", cause(&e)))
        })?;
        if let Some(password) = settings.password()? {
            driver.password(password.reveal());
        }
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let tls = TlsParameters {
            mode: given(&settings.sslmode),
            root: given(&settings.sslrootcert),
            certificate: given(&settings.sslcert),
            key: given(&settings.sslkey),
        }
        .or(in_dsn);
        let mode = tls.mode()?;
        driver.ssl_mode(match mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                tokio_postgres::config::SslMode::Require
            }
        });
        if driver.get_application_name().is_none() {
            driver.application_name("strata");
        }
        if driver.get_connect_timeout().is_none() {
            driver.connect_timeout(self.connect_timeout());
        }
        if driver.get_tcp_user_timeout().is_none() {
            driver.tcp_user_timeout(Duration::from_secs(30));
        }
        driver.keepalives_idle(Duration::from_secs(30));
        Ok((driver, Connector::new(mode, &tls)?))
    }

    fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.settings.connect_timeout_ms)
    }

    /// Opens a session.
    pub async fn connect(&self) -> Result<Session> {
        let (driver, tls) = self.read()?;
        let (client, connection) = tokio::time::timeout(self.connect_timeout(), driver.connect(tls))
            .await
            .map_err(|_| Error {
                connection_lost: true,
                ..Error::new(Kind::Retry, "connecting to the database timed out")
            })?
            .map_err(|e| failure(&e).while_doing("connecting to the database"))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = cause(&error), "connection ended");
            }
        });
        let session = Session { client, misplaced: AtomicBool::new(false) };
        let timeout = self.settings.idle_in_transaction_timeout_ms;
        let commit = &self.settings.synchronous_commit;
        session
            .run(&format!(
                "SET idle_in_transaction_session_timeout = {timeout}; SET client_min_messages = warning; \
                 SET synchronous_commit = {commit}"
            ))
            .await?;
        Ok(session)
    }
}

impl Session {
    /// Whether the connection is gone, or leads to a server that takes no writes any more.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed() || self.misplaced.load(Relaxed)
    }

    /// Runs statements without parameters and results.
    pub async fn run(&self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|e| self.failed(&e))
    }

    /// The kind of a failure, knowing whether the connection went with it.
    fn failed(&self, error: &tokio_postgres::Error) -> Error {
        let mut failure = failure(error);
        if failure.code.as_deref() == Some("25006") {
            self.misplaced.store(true, Relaxed);
        }
        failure.connection_lost |= self.is_closed();
        failure
    }
}

/// A failure of the driver as an error of ours: the one place where this happens.
fn failure(error: &tokio_postgres::Error) -> Error {
    let Some(db) = error.as_db_error() else {
        // No SQLSTATE: the network, a connection that is closed, or what the driver refuses to try. The driver tells
        // these apart by the first words of its message alone.
        let text = cause(error);
        let begins = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
        let lost = error.is_closed()
            || begins(&[
                "error connecting to server",
                "error communicating with the server",
                "timeout waiting",
            ]);
        let kind = if lost {
            Kind::Retry
        } else if begins(&["error performing TLS", "authentication error", "invalid co"]) {
            Kind::Usage
        } else {
            Kind::End
        };
        return Error { connection_lost: lost, ..Error::new(kind, text) };
    };
    let code = db.code().code();
    let kind = kind_of_sqlstate(code);
    let mut message = db.message().to_owned();
    // The detail of a refused row quotes the row, which belongs into no log.
    if let Some(detail) = db.detail().filter(|_| kind != Kind::SetAside) {
        message = format!("{message} ({detail})");
    }
    if let Some(hint) = db.hint() {
        message = format!("{message}; {hint}");
    }
    let place = db.where_().and_then(copy_place);
    Error {
        kind,
        message,
        code: Some(code.to_owned()),
        line: place.as_ref().map(|(line, _)| *line),
        unplaced: code == "23514" && db.constraint().is_none(),
        column: db.column().map(str::to_owned).or(place.and_then(|(_, column)| column)),
        connection_lost: matches!(code, "57P01" | "57P02" | "57P03" | "57P05" | "25P03")
            || code.starts_with("08"),
    }
}

/// Line and column of an error's context, `COPY events, line 12, column amount`. The words are translated by the
/// server's locale, the numbers are not.
fn copy_place(context: &str) -> Option<(u64, Option<String>)> {
    let line = context.lines().find_map(|line| line.strip_prefix("COPY "))?;
    let (_, after) = line.split_once(", ")?;
    let at = after.find(|c: char| c.is_ascii_digit())?;
    let digits = &after[at..];
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let column = digits[end..].strip_prefix(", ").and_then(|rest| {
        let name = rest.split_once(' ').map_or(rest, |(_, name)| name);
        let name = name.split(':').next().unwrap_or(name).trim().trim_matches('"');
        (!name.is_empty()).then(|| name.to_owned())
    });
    Some((digits[..end].parse().ok()?, column))
}

/// An error with its causes; the driver's own text leaves them out.
fn cause(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod wire_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_read_from_the_context() {
        assert_eq!(copy_place("COPY bt, line 2, column p"), Some((2, Some("p".to_owned()))));
        assert_eq!(copy_place("COPY u, line 3"), Some((3, None)));
        assert_eq!(copy_place("COPY ev, line 14: \"x, 1\""), Some((14, None)));
        assert_eq!(copy_place("COPY ev, Zeile 7, Spalte p: \"1\""), Some((7, Some("p".to_owned()))));
        assert_eq!(copy_place("SQL statement \"x\"\nCOPY ev, line 5"), Some((5, None)));
        assert_eq!(copy_place("PL/pgSQL function f() line 3 at RAISE"), None);
    }
}

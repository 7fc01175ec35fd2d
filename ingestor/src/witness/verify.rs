//! `strata verify --audit`: a digest's signature by a key that is given, the log against the digest, tables and histories
//! against the log. It trusts the digest, the key, and that what COPY sends is what the tables hold.

use super::report::{Fault, Progress, Report};
use super::store::Store;
use super::tables::{self, Scope};
use super::{log, open, read};
use crate::cli::Verify;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::postgres::{Database, Session};
use crate::print;
use serde_json::json;
use std::fmt::Write;
use std::path::Path;
use strata_core::digest::{Checkpoint, DigestVerifier};

/// Verifies, and prints what was found.
pub async fn verify(config: &Config, options: &Verify) -> Result<()> {
    if !options.audit {
        return Err(Error::usage("say what to verify: --audit"));
    }
    let (Some(key), Some(path)) = (&options.key, &options.digest) else {
        return Err(Error::usage(
            "--audit takes --key, the public key, and --digest, what strata seal published",
        ));
    };
    let key = if Path::new(key).is_file() { read(Path::new(key))? } else { key.clone() };
    let verifier = DigestVerifier::from_text(&key).map_err(Error::usage)?;
    let note = note_of(path, config).await?;
    let digest = open(&verifier, &note)?;
    let session = Database::new(config)?.connect().await?;
    let mut report = Report::default();
    let progress = Progress::new();
    let log = compare(&session, &digest, options, &mut report, &progress).await?;
    if options.server_check {
        progress.show("the database verifies", log.signed, "chunks");
        for fault in session.verify_audit(&note).await? {
            let place = serde_json::from_str(&fault.place).unwrap_or_default();
            report.fault(Fault {
                relation: fault.relation,
                ..Fault::of_log(&fault.class, place, fault.detail)
            });
        }
    }
    progress.clear();
    tell(&digest, &log, options, &report)
}

/// A digest from a file, or the last one of a directory or bucket.
async fn note_of(place: &str, config: &Config) -> Result<String> {
    if Path::new(place).is_file() {
        return read(Path::new(place));
    }
    let store = Store::new(place, &config.audit).await?;
    store.latest().await?.ok_or_else(|| Error::usage(format!("there is no digest in {}", store.name())))
}

async fn compare(
    session: &Session,
    digest: &Checkpoint,
    options: &Verify,
    report: &mut Report,
    progress: &Progress,
) -> Result<log::Log> {
    session.begin_reading().await?;
    if !options.log_only {
        tables::check_rights(session).await?;
    }
    let log = log::read(session, digest, report, progress).await?;
    let origin = session.audit_origin().await?.unwrap_or_default();
    if origin != digest.origin && !log.restored_from.contains(&digest.origin) {
        let detail = format!("the digest is of log {}, this one is {origin}", digest.origin);
        report.fault(Fault::of_log("forked", json!({ "size": digest.size }), detail));
    }
    if !options.log_only {
        let scope = Scope { histories: !options.no_history, strict: options.strict };
        tables::compare(session, &log, scope, report, progress).await?;
    }
    session.run("COMMIT").await?;
    Ok(log)
}

fn tell(digest: &Checkpoint, log: &log::Log, options: &Verify, report: &Report) -> Result<()> {
    let not_sound = || Error::new(Kind::Check, "the audit log is not sound");
    if options.json {
        let known = json!({
            "origin": digest.origin, "size": digest.size,
            "signed_chunks": log.signed, "chunks_since": log.unsigned
        });
        print(&format!("{}\n", report.to_json(known)))?;
        return if report.is_sound() { Ok(()) } else { Err(not_sound()) };
    }
    let (mut rows, mut versions) = (0, 0);
    for table in &report.tables {
        rows += table.rows;
        versions += table.history_rows.unwrap_or_default();
    }
    let mut text = report.lines();
    if report.is_sound() {
        let _ = write!(text, "{} leaves of {}", digest.size, digest.origin);
        if !options.log_only {
            let _ = write!(
                text,
                ", {rows} rows and {versions} old versions of {} audited tables",
                report.tables.len()
            );
        }
        text += ": sound\n";
    }
    if log.unsigned > 0 {
        let _ = writeln!(text, "{} chunks since the digest are not signed yet", log.unsigned);
    }
    print(&text)?;
    if report.is_sound() { Ok(()) } else { Err(not_sound()) }
}

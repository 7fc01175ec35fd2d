//! The witness of the audit log: `strata keygen`, `strata seal`, `strata verify --audit`. It holds the key and the last
//! digest outside the database, and signs the next only if the log has grown from it. Never: the key in the database.

mod description;
mod differences;
mod log;
mod records;
mod report;
mod set;
mod tables;
mod verify;
mod work;

pub use verify::verify;

use crate::cli::{Keygen, Seal};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::postgres::Database;
use crate::print;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;
use strata_core::digest::{Checkpoint, DigestSigner, DigestVerifier};
use strata_core::proof::verify_consistency;

/// The name of the newest digest in the directory.
const LATEST: &str = "latest";

/// Makes a key: the secret into a file that only its owner reads, the public half to standard output.
pub fn keygen(options: &Keygen) -> Result<()> {
    let mut secret = [0; 32];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut secret))
        .map_err(|e| Error::end(format!("no random bytes can be had: {e}")))?;
    let signer = DigestSigner::new(&options.name, &secret).map_err(Error::usage)?;
    let mut file = private_file(&options.key)?;
    writeln!(file, "{}", signer.to_secret_text())
        .and_then(|()| file.sync_all())
        .map_err(|e| Error::end(format!("cannot write {}: {e}", options.key.display())))?;
    print(&format!("{}\n", signer.verifier().to_text()))
}

/// A file that nobody else reads, and that was not there.
fn private_file(path: &Path) -> Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|e| Error::usage(format!("cannot make the key file {}: {e}", path.display())))
}

/// Seals, proves, signs and publishes, once or at an interval.
pub async fn seal(config: &Config, options: &Seal) -> Result<()> {
    let signer = DigestSigner::from_text(&read(&options.key)?)
        .map_err(|e| Error::usage(format!("{}: {e}", options.key.display())))?;
    let database = Database::new(config)?;
    loop {
        match seal_once(&database, &signer, &options.digests).await {
            Ok(digest) => print(&format!("{} {} leaves\n", digest.origin, digest.size))?,
            // an outage ends nothing that goes on by itself
            Err(error) if error.kind == Kind::Retry && options.every.is_some() => {
                tracing::warn!(error = %error, "the audit log was not sealed");
            }
            Err(error) => return Err(error),
        }
        let Some(seconds) = options.every else { return Ok(()) };
        tokio::time::sleep(Duration::from_secs(seconds.max(1))).await;
    }
}

async fn seal_once(database: &Database, signer: &DigestSigner, directory: &Path) -> Result<Checkpoint> {
    let last = last_digest(signer, directory)?;
    let session = database.connect().await?;
    let digest = session.seal_audit().await?;
    if let Some(last) = last {
        refuse_unless_grown(&last, &digest)?;
        let proof = session.audit_consistency(last.size, digest.size).await?;
        if !verify_consistency(last.size, digest.size, &proof, &last.root, &digest.root) {
            return Err(forked(&last));
        }
    }
    let note = digest.to_text().and_then(|text| signer.sign(&text)).map_err(Error::end)?;
    publish(directory, &format!("{:020}", digest.size), &note)?;
    publish(directory, LATEST, &note)?;
    Ok(digest)
}

fn last_digest(signer: &DigestSigner, directory: &Path) -> Result<Option<Checkpoint>> {
    let path = directory.join(LATEST);
    if !path.exists() {
        return Ok(None);
    }
    let digest = open(&signer.verifier(), &read(&path)?)
        .map_err(|error| error.while_doing(format!("the last digest, {}", path.display())))?;
    Ok(Some(digest))
}

fn refuse_unless_grown(last: &Checkpoint, digest: &Checkpoint) -> Result<()> {
    if last.origin != digest.origin {
        return Err(Error::new(
            Kind::Check,
            format!(
                "this is log {}, the last digest is of {}; use another directory for another log",
                digest.origin, last.origin
            ),
        ));
    } else if digest.size < last.size {
        return Err(Error::new(
            Kind::Check,
            format!(
                "truncated: the log has {} leaves, the last digest {}; nothing was signed",
                digest.size, last.size
            ),
        ));
    }
    Ok(())
}

fn forked(digest: &Checkpoint) -> Error {
    Error::new(
        Kind::Check,
        format!(
            "forked: the first {} leaves of the log are not those the digest was signed for; nothing was signed",
            digest.size
        ),
    )
}

fn open(verifier: &DigestVerifier, note: &str) -> Result<Checkpoint> {
    let not_held = |e| Error::new(Kind::Check, e);
    Checkpoint::from_text(verifier.open(note).map_err(not_held)?).map_err(not_held)
}

/// Puts a file where it is whole or not there, whatever happens.
fn publish(directory: &Path, name: &str, note: &str) -> Result<()> {
    let written = || -> std::io::Result<()> {
        std::fs::create_dir_all(directory)?;
        let part = directory.join(format!(".{name}.part"));
        let mut file = std::fs::File::create(&part)?;
        file.write_all(note.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&part, directory.join(name))?;
        std::fs::File::open(directory)?.sync_all()
    };
    written().map_err(|e| Error::end(format!("cannot publish into {}: {e}", directory.display())))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::usage(format!("cannot read {}: {e}", path.display())))
}

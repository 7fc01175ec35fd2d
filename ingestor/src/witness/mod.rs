//! The witness of the audit log: `strata keygen`, `strata seal`, `strata verify --audit`. It holds the key and the last
//! digest outside the database, and signs the next only if the log has grown from it. Never: the key in the database.

mod chunks;
mod description;
mod differences;
mod log;
mod records;
mod report;
mod seal;
mod set;
mod store;
mod tables;
mod verify;
mod work;

pub use seal::{Witness, seal};
pub use verify::verify;

use crate::cli::Keygen;
use crate::error::{Error, Kind, Result};
use crate::print;
use std::io::{Read, Write};
use std::path::Path;
use strata_core::digest::{Checkpoint, DigestSigner, DigestVerifier};

/// What begins the line that says when a digest was signed.
const TIME_LINE: &str = "strata/signed-at ";

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

fn open(verifier: &DigestVerifier, note: &str) -> Result<Checkpoint> {
    let not_held = |e| Error::new(Kind::Check, e);
    Checkpoint::from_text(verifier.open(note).map_err(not_held)?).map_err(not_held)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::usage(format!("cannot read {}: {e}", path.display())))
}

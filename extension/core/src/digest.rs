//! The digest of a log, kept outside the database: a C2SP checkpoint in a signed note, Ed25519
//! (<https://c2sp.org/tlog-checkpoint>, <https://c2sp.org/signed-note>).
//!
//! Keys are arguments; where they are kept and where digests go is the caller's affair.

use crate::merkle::Hash;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

/// The byte that stands for Ed25519 in keys and key ids.
const ED25519: u8 = 1;
/// What a signature line begins with: an em dash and a space.
const SIGNATURE_MARK: &str = "\u{2014} ";
/// Lines of signatures read at most, and bytes of a note.
const SIGNATURES_MAX: usize = 100;
/// Bytes of a note at most.
pub const NOTE_BYTES_MAX: usize = 1 << 20;

/// Why a digest, or a key, is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The name of a key or origin cannot be written into a note.
    #[error("the name \"{0}\" is empty or has white space, control characters or a plus sign")]
    Name(String),
    /// Not a key in the form of C2SP.
    #[error("not a key of the form name+id+base64")]
    Key,
    /// Not a note in the form of C2SP.
    #[error("not a signed note: {0}")]
    Note(&'static str),
    /// The text of the note is no checkpoint.
    #[error("not a checkpoint: {0}")]
    Checkpoint(&'static str),
    /// No signature by the key that was asked for.
    #[error("the note is not signed by {0}")]
    Unsigned(String),
    /// A signature by that key which is wrong.
    #[error("the signature of {0} is wrong")]
    Signature(String),
}

/// A log at one size: what a digest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: unique, without white space.
    pub origin: String,
    /// How many leaves it has.
    pub size: u64,
    /// The root of its tree.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    ///
    /// # Errors
    ///
    /// [`DigestError::Name`] if the origin would not read back as it is.
    pub fn to_text(&self) -> Result<String, DigestError> {
        check_name(&self.origin)?;
        Ok(format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root)))
    }

    /// Reads the text of a note. Extension lines are passed over, as C2SP allows.
    ///
    /// # Errors
    ///
    /// [`DigestError::Checkpoint`]
    pub fn from_text(text: &str) -> Result<Self, DigestError> {
        let mut lines =
            text.strip_suffix('\n').ok_or(DigestError::Checkpoint("no newline at its end"))?.split('\n');
        let origin = lines
            .next()
            .filter(|line| check_name(line).is_ok())
            .ok_or(DigestError::Checkpoint("no origin"))?;
        let size = lines.next().ok_or(DigestError::Checkpoint("no size"))?;
        if (size.len() > 1 && size.starts_with('0')) || !size.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(DigestError::Checkpoint("its size is no decimal number"));
        }
        let size = size.parse().map_err(|_| DigestError::Checkpoint("its size is no decimal number"))?;
        let root = lines
            .next()
            .and_then(|line| STANDARD.decode(line).ok())
            .and_then(|bytes| Hash::try_from(bytes).ok())
            .ok_or(DigestError::Checkpoint("its root is not 32 bytes in base64"))?;
        if lines.any(str::is_empty) {
            return Err(DigestError::Checkpoint("an empty line"));
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

/// Signs digests. Its text form is a secret.
pub struct DigestSigner {
    name: String,
    key: SigningKey,
}

impl DigestSigner {
    /// A signer from a name and 32 secret bytes.
    ///
    /// # Errors
    ///
    /// [`DigestError::Name`]
    pub fn new(name: &str, secret: &[u8; 32]) -> Result<Self, DigestError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), key: SigningKey::from_bytes(secret) })
    }

    /// Reads `PRIVATE+KEY+<name>+<id>+<base64>`.
    ///
    /// # Errors
    ///
    /// [`DigestError::Key`]
    pub fn from_text(text: &str) -> Result<Self, DigestError> {
        let (name, id, secret) =
            split_key(text.trim_end().strip_prefix("PRIVATE+KEY+").ok_or(DigestError::Key)?)?;
        let signer = Self::new(name, &secret)?;
        if signer.verifier().id() != id {
            return Err(DigestError::Key);
        }
        Ok(signer)
    }

    /// The secret in the form that [`DigestSigner::from_text`] reads.
    pub fn to_secret_text(&self) -> String {
        format!("PRIVATE+KEY+{}", key_text(&self.name, self.verifier().id(), self.key.as_bytes()))
    }

    /// Who checks what this one signs.
    pub fn verifier(&self) -> DigestVerifier {
        DigestVerifier { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// The signed note of a text that ends in a newline.
    ///
    /// # Errors
    ///
    /// [`DigestError::Note`] for a text that a note cannot hold.
    pub fn sign(&self, text: &str) -> Result<String, DigestError> {
        if text.len() < 2 || !text.ends_with('\n') || text.ends_with("\n\n") {
            return Err(DigestError::Note("its text must be lines"));
        } else if text.chars().any(|char| char < ' ' && char != '\n') {
            return Err(DigestError::Note("its text has control characters"));
        }
        let mut signed = self.verifier().id().to_vec();
        signed.extend(self.key.sign(text.as_bytes()).to_bytes());
        Ok(format!("{text}\n{SIGNATURE_MARK}{} {}\n", self.name, STANDARD.encode(signed)))
    }
}

impl std::fmt::Debug for DigestSigner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DigestSigner").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Checks digests of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestVerifier {
    name: String,
    key: VerifyingKey,
}

impl DigestVerifier {
    /// Reads `<name>+<id>+<base64>`.
    ///
    /// # Errors
    ///
    /// [`DigestError::Key`]
    pub fn from_text(text: &str) -> Result<Self, DigestError> {
        let (name, id, key) = split_key(text.trim_end())?;
        check_name(name)?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| DigestError::Key)?;
        let verifier = Self { name: name.to_owned(), key };
        if verifier.id() == id { Ok(verifier) } else { Err(DigestError::Key) }
    }

    /// The key in the form that [`DigestVerifier::from_text`] reads: not secret.
    pub fn to_text(&self) -> String {
        key_text(&self.name, self.id(), self.key.as_bytes())
    }

    /// The name that stands in signatures.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', ED25519])
            .chain_update(self.key.as_bytes())
            .finalize();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// The text of a note, if this key has signed it. Signatures of others are passed over; the first of this key decides.
    ///
    /// # Errors
    ///
    /// [`DigestError::Note`], [`DigestError::Unsigned`], [`DigestError::Signature`]
    pub fn open<'note>(&self, note: &'note str) -> Result<&'note str, DigestError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(DigestError::Note("it is longer than 1 MiB"));
        } else if note.chars().any(|char| char < ' ' && char != '\n') {
            return Err(DigestError::Note("it has control characters"));
        }
        let end = note.rfind("\n\n").ok_or(DigestError::Note("no empty line before its signatures"))? + 1;
        let text = &note[..end];
        let signatures =
            note[end + 1..].strip_suffix('\n').ok_or(DigestError::Note("no newline at its end"))?;
        for (count, line) in signatures.split('\n').enumerate() {
            if count == SIGNATURES_MAX {
                return Err(DigestError::Note("more than 100 signatures"));
            }
            let (name, signed) = line
                .strip_prefix(SIGNATURE_MARK)
                .and_then(|rest| rest.split_once(' '))
                .ok_or(DigestError::Note("a signature line is malformed"))?;
            let signed =
                STANDARD.decode(signed).map_err(|_| DigestError::Note("a signature is not base64"))?;
            let Some((id, signature)) = signed.split_first_chunk::<4>() else {
                return Err(DigestError::Note("a signature is too short"));
            };
            if name != self.name || *id != self.id() {
                continue;
            }
            let signature =
                Signature::from_slice(signature).map_err(|_| DigestError::Signature(self.name.clone()))?;
            return self
                .key
                .verify_strict(text.as_bytes(), &signature)
                .map(|()| text)
                .map_err(|_| DigestError::Signature(self.name.clone()));
        }
        Err(DigestError::Unsigned(self.name.clone()))
    }
}

fn check_name(name: &str) -> Result<(), DigestError> {
    if name.is_empty() || name.chars().any(|char| char.is_whitespace() || char.is_control() || char == '+') {
        return Err(DigestError::Name(name.to_owned()));
    }
    Ok(())
}

fn key_text(name: &str, id: [u8; 4], key: &[u8; 32]) -> String {
    let typed: Vec<u8> = std::iter::once(ED25519).chain(*key).collect();
    format!("{name}+{:08x}+{}", u32::from_be_bytes(id), STANDARD.encode(typed))
}

/// Name, id and bytes of `<name>+<id>+<base64>`.
fn split_key(text: &str) -> Result<(&str, [u8; 4], [u8; 32]), DigestError> {
    // (base64 has plus signs too, names have none)
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(DigestError::Key);
    };
    if id.len() != 8 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(DigestError::Key);
    }
    let id = u32::from_str_radix(id, 16).map_err(|_| DigestError::Key)?.to_be_bytes();
    let key = STANDARD.decode(key).map_err(|_| DigestError::Key)?;
    match key.split_first() {
        Some((&ED25519, key)) => Ok((name, id, key.try_into().map_err(|_| DigestError::Key)?)),
        _ => Err(DigestError::Key),
    }
}

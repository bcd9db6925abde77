//! Signatures: somebody vouches that these bytes are this version of this skill, and want no more than this.
//!
//! Ed25519 over a text of a few lines (see [`Subject`]) that names what is signed and what it is signed for, so that a
//! signature can be used for nothing else. It stands beside the component as `NAME.wasm.sig`, in TOML. A signature grants
//! nothing, and a component without one can be installed; that is shown.
//!
//! Whose signatures count is the lock's business. There are no certificates, no times and no revocation: who no longer
//! trusts a key takes it out of the lock.

mod key;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::digest::Digest;
use super::disk::{self, DiskError, Readers};
use super::text;

pub use key::{KeyError, ParseKeyError, PublicKey, SigningKey};

/// What is signed. Each line of the signed text is one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The skill.
    pub name: &'a str,
    /// Its semantic version.
    pub version: &'a str,
    /// Its bytes.
    pub digest: Digest,
    /// The capabilities that it imports, in any order.
    pub imports: &'a [String],
}

/// A signature with what it says it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Whose it says it is.
    pub key: PublicKey,
    /// The skill.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its bytes.
    pub digest: Digest,
    signature: Proof,
}

/// What a signature is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provenance {
    /// Somebody whose signatures count vouches for it.
    Signed {
        /// Under which name the key is trusted.
        by: String,
    },
    /// Nobody vouches for it.
    Unsigned,
}

/// Why something cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// It would be two lines of the signed text.
    #[error("{0:?} cannot be signed: it is not one plain line")]
    Line(String),
}

/// Why a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is another component's.
    #[error(
        "the signature is for other bytes ({}, these are {}); sign the component again after building it",
        signed.short(), found.short()
    )]
    Digest {
        /// What it is for.
        signed: Digest,
        /// What is there.
        found: Digest,
    },
    /// It is for another skill or version.
    #[error("the signature is for {signed}, and this is {found}")]
    Subject {
        /// What it is for.
        signed: String,
        /// What is there.
        found: String,
    },
    /// It was not made with the key that it names, or not for these imports.
    #[error("the signature is not valid for this component; get the component and its signature again")]
    Forged,
    /// Nobody said that this key counts.
    #[error(
        "the signature is valid, but its key is not trusted: `pointsman skill trust SIGNER {0}` if it is whose it should be"
    )]
    UnknownKey(PublicKey),
}

/// Why a file is no signature.
#[derive(Debug, thiserror::Error)]
pub enum ReadSignatureError {
    /// It cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It is something else.
    #[error("{} is no signature: {reason}; sign the component again, or remove the file", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Bytes of a signature's text: a few short lines.
pub const SIGNATURE_BYTES_MAX: u64 = 4 << 10;

/// The first line of what is signed: a signature made for anything else never holds here.
const DOMAIN: &str = "pointsman skill signature 1";

// === impl Subject ===

impl Subject<'_> {
    /// The text that is signed: a line for each part, imports sorted, each named once.
    fn text(&self) -> Result<String, SignError> {
        let mut imports: Vec<&str> = self.imports.iter().map(String::as_str).collect();
        imports.sort_unstable();
        imports.dedup();
        let digest = self.digest.to_string();
        let head = [("name", self.name), ("version", self.version), ("digest", &digest)];
        let mut signed = format!("{DOMAIN}\n");
        for (what, value) in head.into_iter().chain(imports.into_iter().map(|it| ("import", it))) {
            if !text::is_line(value) {
                return Err(SignError::Line(value.to_owned()));
            }
            signed.push_str(&format!("{what}: {value}\n"));
        }
        Ok(signed)
    }
}

// === impl Signature ===

impl Signature {
    /// Signs.
    ///
    /// # Errors
    /// The subject has a text that is not one line.
    pub fn make(key: &SigningKey, subject: &Subject<'_>) -> Result<Self, SignError> {
        let signature = Proof(key.sign(subject.text()?.as_bytes()));
        Ok(Self {
            key: key.public(),
            name: subject.name.to_owned(),
            version: subject.version.to_owned(),
            digest: subject.digest,
            signature,
        })
    }

    /// Where the signature of this component is: beside it.
    pub fn path(component: &Path) -> PathBuf {
        let mut path = component.as_os_str().to_owned();
        path.push(".sig");
        path.into()
    }

    /// The signature in a file; none where there is no such file.
    ///
    /// # Errors
    /// The file cannot be read, or is something else.
    pub fn read(path: &Path) -> Result<Option<Self>, ReadSignatureError> {
        let Some(bytes) = disk::read(path, SIGNATURE_BYTES_MAX)? else { return Ok(None) };
        let wrong = |reason: String| ReadSignatureError::Text { path: path.to_owned(), reason };
        if bytes.len() as u64 > SIGNATURE_BYTES_MAX {
            return Err(wrong(format!("it has more than {SIGNATURE_BYTES_MAX} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|_| wrong("it is no text".to_owned()))?;
        text.parse().map(Some).map_err(wrong)
    }

    /// Puts the signature into a file, in the place of an older one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), DiskError> {
        disk::put(path, &[self.to_text().as_bytes()], Readers::Usual)
    }

    /// The text of it.
    pub fn to_text(&self) -> String {
        // Five short texts: nothing that TOML could not hold.
        toml::to_string(self).unwrap_or_default()
    }
}

impl FromStr for Signature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }
}

/// What a component's signature is worth to somebody who trusts these keys.
///
/// # Errors
/// There is one, and it does not hold.
pub fn verify(
    signature: Option<&Signature>,
    subject: &Subject<'_>,
    trusted: &BTreeMap<String, PublicKey>,
) -> Result<Provenance, VerifyError> {
    let Some(signature) = signature else { return Ok(Provenance::Unsigned) };
    if signature.digest != subject.digest {
        return Err(VerifyError::Digest { signed: signature.digest, found: subject.digest });
    }
    if (signature.name.as_str(), signature.version.as_str()) != (subject.name, subject.version) {
        return Err(VerifyError::Subject {
            signed: format!("{:?} {:?}", signature.name, signature.version),
            found: format!("{:?} {:?}", subject.name, subject.version),
        });
    }
    // Nothing can have been signed that is not made of lines.
    let signed = subject.text().map_err(|_| VerifyError::Forged)?;
    if !signature.key.has_signed(signed.as_bytes(), &signature.signature.0) {
        return Err(VerifyError::Forged);
    }
    // Last: nobody is to be asked to trust a key for the sake of a signature that does not hold.
    match trusted.iter().find(|(_, key)| **key == signature.key) {
        Some((by, _)) => Ok(Provenance::Signed { by: by.clone() }),
        None => Err(VerifyError::UnknownKey(signature.key)),
    }
}

/// The signature itself, base64 in texts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Proof([u8; ed25519_dalek::SIGNATURE_LENGTH]);

// === impl Proof ===

impl Serialize for Proof {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Proof {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| de::Error::custom("a signature is 64 bytes in base64"))
    }
}

#[cfg(test)]
mod tests;

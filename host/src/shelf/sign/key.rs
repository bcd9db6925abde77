//! Keys of signers: the one that signs, a file of its owner's; the one that others trust, a text to hand around.
//!
//! A key that signs is never shown, never written over, and not read from a file that others can read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{SECRET_KEY_LENGTH, SIGNATURE_LENGTH, Signer as _, VerifyingKey};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::super::disk::{self, DiskError};

/// Makes signatures.
pub struct SigningKey(ed25519_dalek::SigningKey);

/// Checks signatures. Shown as `ed25519:<base64>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; ed25519_dalek::PUBLIC_KEY_LENGTH]);

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made; one that is there is never written over.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no such file.
    #[error("there is no key {}; make one first", .0.display())]
    Missing(PathBuf),
    /// It is something else.
    #[error("{} is no key: it should be one line, 32 bytes in base64", .0.display())]
    Text(PathBuf),
    /// Others can read it, or could.
    #[error("the key {path} is open to others: `chmod 600 {path}`, or make another one", path = .0.display())]
    Open(PathBuf),
    /// The operating system gives no random numbers.
    #[error("no key can be made: {0}")]
    Random(String),
}

/// A text that is no public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a public key is `{ALGORITHM}` and 32 bytes in base64")]
pub struct ParseKeyError;

/// The one algorithm there is, as it is written before the key.
const ALGORITHM: &str = "ed25519:";

/// Bytes of a key's file: one line of 44.
const KEY_FILE_BYTES_MAX: u64 = 256;

// === impl SigningKey ===

impl SigningKey {
    /// Makes a key and its file.
    ///
    /// # Errors
    /// There is such a file already, or it cannot be made.
    pub fn make(path: &Path) -> Result<Self, KeyError> {
        let mut secret = [0; SECRET_KEY_LENGTH];
        OsRng.try_fill_bytes(&mut secret).map_err(|error| KeyError::Random(error.to_string()))?;
        disk::put_new(path, format!("{}\n", STANDARD.encode(secret)).as_bytes())?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&secret)))
    }

    /// The key in a file.
    ///
    /// # Errors
    /// There is no such file, it is no key, or it is open to others.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let bytes =
            disk::read(path, KEY_FILE_BYTES_MAX)?.ok_or_else(|| KeyError::Missing(path.to_owned()))?;
        if !is_closed(path)? {
            return Err(KeyError::Open(path.to_owned()));
        }
        let secret = STANDARD.decode(bytes.trim_ascii()).ok().and_then(|bytes| bytes.try_into().ok());
        let secret: [u8; SECRET_KEY_LENGTH] = secret.ok_or_else(|| KeyError::Text(path.to_owned()))?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&secret)))
    }

    /// What others need to check its signatures.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    pub(super) fn sign(&self, text: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        self.0.sign(text).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.public())
    }
}

#[cfg(unix)]
fn is_closed(path: &Path) -> Result<bool, DiskError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = std::fs::metadata(path).map_err(DiskError::of(path, "read"))?;
    Ok(metadata.permissions().mode() & 0o077 == 0)
}

/// Who may read a file is not said by a mode here.
#[cfg(not(unix))]
fn is_closed(_: &Path) -> Result<bool, DiskError> {
    Ok(true)
}

// === impl PublicKey ===

impl PublicKey {
    /// Whether the signature over this text was made with the key's other half. Strict: one signature has one form.
    pub(super) fn has_signed(&self, text: &[u8], signature: &[u8; SIGNATURE_LENGTH]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(text, &signature).is_ok())
    }
}

impl FromStr for PublicKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let key = text.strip_prefix(ALGORITHM).and_then(|key| STANDARD.decode(key).ok());
        let key = key.and_then(|bytes| bytes.try_into().ok()).ok_or(ParseKeyError)?;
        // With a weak key, anybody's signature holds for anything.
        match VerifyingKey::from_bytes(&key) {
            Ok(point) if !point.is_weak() => Ok(Self(key)),
            _ => Err(ParseKeyError),
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(SigningKey::read(&path).unwrap_err().to_string().ends_with("make one first"));
        let key = SigningKey::make(&path).unwrap();
        assert_eq!(SigningKey::read(&path).unwrap().public(), key.public());
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!((text.len(), text.lines().count()), (45, 1));
        assert!(!format!("{key:?}").contains(text.trim()));
        assert!(matches!(SigningKey::make(&path), Err(KeyError::Disk(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "never written over");
        std::fs::write(&path, "not a key").unwrap();
        assert!(SigningKey::read(&path).unwrap_err().to_string().contains("is no key"));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        SigningKey::make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(SigningKey::read(&path).unwrap_err().to_string().contains("is open to others: `chmod 600 "));
    }

    #[test]
    fn a_public_key_has_one_text() {
        let key = SigningKey(ed25519_dalek::SigningKey::from_bytes(&[7; SECRET_KEY_LENGTH])).public();
        let text = key.to_string();
        assert_eq!(text.parse(), Ok(key));
        let weak = format!("{ALGORITHM}{}", STANDARD.encode([0; 32]));
        let bare = text.trim_start_matches(ALGORITHM).to_owned();
        for bad in [bare, weak, text.trim_end_matches('=').to_owned(), format!("{text} "), String::new()] {
            assert_eq!(bad.parse::<PublicKey>(), Err(ParseKeyError), "{bad}");
        }
    }
}

//! What can go wrong with the shelf, by operation.

use std::path::PathBuf;

use super::{COMPONENT_BYTES_MAX, Digest, DiskError, LOCK_BYTES_MAX};

/// Why it cannot be said what is installed.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file cannot be read, or cannot be put aside.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It is not understood, and whoever asks may not put it aside.
    #[error(
        "{} cannot be used: {why}; mend it, or start the gateway, which puts it aside and serves without what is installed",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Why nothing was changed. `E` is the edit's own reason.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E: std::error::Error> {
    /// The edit failed.
    #[error("{0}")]
    Refused(E),
    /// The lock cannot be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It would not be a lock that can be read again.
    #[error(
        "what is installed has more than {LOCK_BYTES_MAX} bytes of text; remove skills that are not used"
    )]
    Full,
    /// It cannot be written as text.
    #[error("what is installed cannot be written down: {0}")]
    Text(String),
}

/// Why a component is not kept.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// It is too big.
    #[error("it has {0} bytes, more than {COMPONENT_BYTES_MAX}")]
    Large(u64),
    /// It cannot be written.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// Somebody removed it.
    #[error("the component {} is not there as {}; install the skill again", digest.short(), path.display())]
    Missing {
        /// The component.
        digest: Digest,
        /// Where it should be.
        path: PathBuf,
    },
    /// It is not what was installed.
    #[error("{} was changed since it was installed, and is not used; install the skill again", path.display())]
    Tampered {
        /// The component.
        digest: Digest,
        /// The file that should be it.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

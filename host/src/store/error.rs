//! What can go wrong, by operation. Opening says what to do; a write's error goes to whoever waits for it, several times
//! over, so it can be cloned and holds no source.

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

use super::{Collection, DATABASE_BYTES_MAX, DOCUMENT_BYTES_MAX, KEY_BYTES_MAX};

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the data folder {} is in use by {}: stop that one, or name another folder with `--data-dir`",
        folder.display(),
        process.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"))
    )]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The process, where it has said so.
        process: Option<u32>,
    },
    /// The folder or a file in it cannot be made or kept to its owner.
    #[error("{} cannot be used: {source}; mend it, or name another folder with `--data-dir`", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A state that cannot be read cannot be put aside either.
    #[error("the state {} cannot be read and cannot be put aside: {source}; move it away", path.display())]
    Aside {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// SQLite cannot open the file, though there is nothing wrong with what is in it.
    #[error("the state {} cannot be opened: {reason}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// There is no thread to write with.
    #[error("the store's thread cannot be started: {0}")]
    Thread(#[source] io::Error),
}

/// Why a document was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database failed.
    #[error("the state cannot be read: {0}")]
    Database(#[from] rusqlite::Error),
    /// The document is not what its reader expects.
    #[error("the document {key:?} of {collection} cannot be read: {source}")]
    Document {
        /// Its collection.
        collection: Collection,
        /// Its key.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Why a document is not on disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// There is no room for it. It stays queued.
    #[error(
        "the disk is full, or the state has reached its {} MiB: make room on the disk of the data folder",
        DATABASE_BYTES_MAX >> 20
    )]
    DiskFull,
    /// The file or its file system may not be written. It stays queued.
    #[error(
        "the state may not be written: check who owns the data folder, and that its disk is not read-only"
    )]
    ReadOnly,
    /// The database failed otherwise. It stays queued.
    #[error("the state cannot be written: {0}")]
    Database(String),
    /// Too much waits already. It was dropped.
    #[error("too much waits to be written")]
    QueueFull,
    /// It is no state but content. It was dropped.
    #[error(
        "it has {document_bytes} bytes under a key of {key_bytes}, at most {DOCUMENT_BYTES_MAX} under \
         {KEY_BYTES_MAX} are kept"
    )]
    TooBig {
        /// Bytes of its JSON.
        document_bytes: usize,
        /// Bytes of its key.
        key_bytes: usize,
    },
    /// It cannot be written as JSON. It was dropped.
    #[error("it cannot be written as JSON: {0}")]
    Serialise(String),
    /// The writer is gone.
    #[error("the store is closed")]
    Closed,
}

// === impl WriteError ===

impl From<&rusqlite::Error> for WriteError {
    fn from(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly,
            _ => Self::Database(error.to_string()),
        }
    }
}

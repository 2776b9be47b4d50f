//! Why the store refused, and what damage looks like.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::machine::LeaseOwner;

/// A piece of the store that is not what its name or manifest promises. It is never served; the work is done again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct Damage {
    /// The damaged file or directory, where it lay before it was quarantined.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// Completes "failed to ...".
        action: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The disk or the quota is full, or the file-size limit is reached. What was half written has been removed.
    #[error("failed to {action} {}: no space is left there; free some (`gc`) and run again", path.display())]
    NoSpace {
        /// Completes "failed to ...".
        action: &'static str,
        /// What was being written.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The store was opened read-only, or lies on a read-only file system.
    #[error("failed to {action} {}: the store is read-only", path.display())]
    ReadOnly {
        /// Completes "failed to ...".
        action: &'static str,
        /// What was to be written.
        path: PathBuf,
    },
    /// The directory was written by a newer version of this software.
    #[error(
        "failed to open the store {}: it has format v{found}, and this version knows up to v{supported}; use a newer \
         version, or another directory",
        root.display()
    )]
    FutureFormat {
        /// The store.
        root: PathBuf,
        /// The newest format found there.
        found: u32,
        /// The newest format this version knows.
        supported: u32,
    },
    /// An object, manifest or shard is damaged. It has been quarantined (unless the store is read-only); compute it
    /// again.
    #[error("failed to read damaged data: {0}")]
    Damaged(Damage),
    /// A table could not be encoded or decoded.
    #[error("failed to {action} table {}", path.display())]
    Table {
        /// Completes "failed to ...".
        action: &'static str,
        /// The table's file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// Another build is computing rows of the same recipe.
    #[error(
        "{} computes the same rows with {theirs}, and this is {ours}: let it end first, or use the same build for both",
        owner.as_ref().map_or_else(|| "another process".to_owned(), LeaseOwner::to_string)
    )]
    Builds {
        /// Kind and version here.
        ours: String,
        /// Kind and version there.
        theirs: String,
        /// Who it is, where that is known.
        owner: Option<LeaseOwner>,
    },
    /// Rows of another shape than was declared, or of a type that tables cannot hold.
    #[error("failed to {action}: {message}")]
    Rows {
        /// Completes "failed to ...".
        action: &'static str,
        /// What is wrong, naming the column.
        message: String,
    },
    /// The caller broke the publishing protocol, or named something that cannot be a path.
    #[error("failed to {action} `{name}`: {message}")]
    Misuse {
        /// Completes "failed to ...".
        action: &'static str,
        /// The port, reference or link.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// A file changed while it was being read.
    #[error("failed to hash {}: it changed while it was being read; run again when nothing writes to \
             it", path.display())]
    ContentChanged {
        /// The file.
        path: PathBuf,
    },
}

impl StoreError {
    /// Sorts an I/O error into the variant that says what to do about it.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::NoSpace { action, path, source }
            }
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { action, path },
            _ => Self::Io { action, path, source },
        }
    }

    /// The same for errors of the Parquet library, which wrap I/O errors.
    pub(crate) fn table(action: &'static str, path: &Path, source: parquet::errors::ParquetError) -> Self {
        use parquet::errors::ParquetError;
        match source {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(io) => Self::io(action, path, *io),
                Err(inner) => Self::Table { action, path: path.to_owned(), source: ParquetError::External(inner) },
            },
            source => Self::Table { action, path: path.to_owned(), source },
        }
    }

    pub(crate) fn rows(action: &'static str, message: impl std::fmt::Display) -> Self {
        Self::Rows { action, message: message.to_string() }
    }

    pub(crate) fn misuse(action: &'static str, name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Misuse { action, name: name.into(), message: message.into() }
    }
}

/// Adds what was being done, and to what, to an I/O error.
pub(crate) trait IoContext<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::io(action, path, source))
    }
}

/// What is known of damaged things, where a digest names them.
pub(crate) fn damage(path: &Path, reason: impl Into<String>) -> Damage {
    Damage { path: path.to_owned(), reason: reason.into() }
}

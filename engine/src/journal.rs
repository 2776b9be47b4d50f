//! The journal: one append-only file of events per run.

use std::path::PathBuf;

/// The journal could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} the journal {}", path.display())]
pub struct JournalError {
    /// Completes "failed to ...".
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The cause.
    #[source]
    pub source: std::io::Error,
}

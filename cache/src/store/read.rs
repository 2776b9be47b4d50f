//! Reading (I10): bytes are verified at their first use in a process, and damage is quarantined.

use std::path::PathBuf;

use super::Store;
use crate::{
    disk::{ArtifactKind, ArtifactRef, ReadOptions, TableReader, object, open_parquet},
    error::StoreError,
};

impl Store {
    /// Opens a table after verifying its bytes. [`StoreError::Damaged`] means: compute the key again.
    pub fn open_table(&self, table: &ArtifactRef, options: &ReadOptions) -> Result<TableReader, StoreError> {
        if table.kind != ArtifactKind::Table {
            return Err(StoreError::rows("read a table", format!("artifact {:?} consists of files", table.digest)));
        }
        open_parquet(&self.artifact_path(table)?, options)
    }

    /// The verified file (of a table) or directory (of files), for programs that read it themselves. They must not
    /// write to it.
    pub fn artifact_path(&self, artifact: &ArtifactRef) -> Result<PathBuf, StoreError> {
        match self.verify_once(artifact) {
            Ok(()) => Ok(self.layout().artifact(artifact)),
            Err(StoreError::Damaged(damage)) => {
                self.quarantine(&damage.path, &damage.reason)?;
                Err(StoreError::Damaged(damage))
            }
            Err(other) => Err(other),
        }
    }

    fn verify_once(&self, artifact: &ArtifactRef) -> Result<(), StoreError> {
        let stamp = object::stamp(self.layout(), artifact)?;
        if self.verified().get(&artifact.object) == Some(&stamp) {
            return Ok(());
        }
        let stamp = object::check_object(self.layout(), artifact)?;
        if stamp.is_settled() {
            self.verified().insert(artifact.object, stamp);
        }
        Ok(())
    }
}

//! Putting out of the way what is damaged, or has the name of something else.

use std::{fs, io, path::Path};

use super::Store;
use crate::{
    disk::{Layout, paths},
    error::{IoContext, StoreError},
    machine,
};

impl Store {
    /// Moves a damaged thing out of the way, so that it is never served and can be looked at. Does nothing where it is
    /// gone already or the store is read-only.
    pub(crate) fn quarantine(&self, path: &Path, reason: &str) -> Result<(), StoreError> {
        self.quarantine_as(path, path, reason)
    }

    /// The same for a thing that has been moved from `path` to `from` before.
    pub(crate) fn quarantine_as(&self, from: &Path, path: &Path, reason: &str) -> Result<(), StoreError> {
        tracing::warn!(path = %path.display(), reason, "damaged");
        if self.read_only() { Ok(()) } else { put_aside(self.layout(), from, path) }
    }

    /// [`make_dir`] in this store.
    pub(crate) fn make_dir(&self, dir: &Path) -> Result<(), StoreError> {
        make_dir(self.layout(), dir)
    }

    /// [`no_directory`] in this store.
    pub(crate) fn no_directory(&self, file: &Path) -> Result<(), StoreError> {
        no_directory(self.layout(), file)
    }
}

/// Moves a thing that lies at `from`, and belongs at `path`, into quarantine.
fn put_aside(layout: &Layout, from: &Path, path: &Path) -> Result<(), StoreError> {
    if !paths::is_there(from) {
        return Ok(());
    }
    // A directory is written to when it moves.
    paths::unprotect(from).at("quarantine", path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let target = layout.join("quarantine").join(format!("{name}.{}", machine::now_ms()));
    match paths::rename(from, &target) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::io("quarantine", path, e)),
        _ => Ok(()),
    }
}

/// How often a directory is made again that another process removes at the same moment.
const TRIES: usize = 100;

/// Makes a directory. What has its name, or that of one above it in the store, and is none, is put aside.
pub(crate) fn make_dir(layout: &Layout, dir: &Path) -> Result<(), StoreError> {
    for attempt in 1.. {
        let e = match fs::create_dir_all(dir) {
            Ok(()) => return Ok(()),
            Err(e) => e,
        };
        let inside = dir.ancestors().take_while(|above| *above != layout.root());
        match inside.filter(|above| paths::is_there(above) && !above.is_dir()).last() {
            Some(path) => {
                tracing::warn!(path = %path.display(), "it is not a directory");
                put_aside(layout, path, path)?;
            }
            None if attempt < TRIES && matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {}
            None => return Err(StoreError::io("create", dir, e)),
        }
    }
    unreachable!("the loop ends with a directory or an error")
}

/// Puts a directory aside that has the name of a file of the store.
pub(crate) fn no_directory(layout: &Layout, file: &Path) -> Result<(), StoreError> {
    if !file.is_dir() {
        return Ok(());
    }
    tracing::warn!(path = %file.display(), "it is a directory");
    put_aside(layout, file, file)
}

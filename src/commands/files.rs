//! Files that commands write for people: a project, an example, built-in files, the reference.

use std::{fs, path::Path};

use crate::error::CliError;

/// Writes a file, and the folders above it that are missing.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, bytes));
    written.map_err(|source| CliError::Io { action: "write", path: path.to_owned(), source })
}

/// Writes files into a folder under their names: all, or, if one is there already, none.
pub(super) fn write_new<'a>(
    folder: &Path,
    files: impl IntoIterator<Item = (&'a str, &'a [u8])> + Clone,
) -> Result<(), CliError> {
    if let Some((name, _)) = files.clone().into_iter().find(|(name, _)| folder.join(name).exists()) {
        return Err(CliError::Usage {
            message: format!("{} is there already", folder.join(name).display()),
            help: Some("name another folder".to_owned()),
        });
    }
    files.into_iter().try_for_each(|(name, bytes)| write(&folder.join(name), bytes))
}

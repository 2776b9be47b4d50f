//! Small operations on files and directories that the other modules share.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    error::{IoContext, StoreError},
    hash::Digest,
    machine::host_name,
};

/// Renames into place, making the parent directory where it is missing.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(to.parent().unwrap_or(to))?;
            fs::rename(from, to)
        }
        other => other,
    }
}

/// What a file or a link is called, beside its place, until it is whole: another name for every writer, also for
/// threads and for processes of one number on several machines.
pub(crate) fn unfinished() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!(".{}-{}.{}", host_name(), NUMBER.fetch_add(1, Ordering::Relaxed), std::process::id())
}

/// The process that gave a name by [`unfinished`].
pub(crate) fn writer(name: &str) -> Option<u32> {
    name.strip_prefix('.')?.rsplit_once('.')?.1.parse().ok()
}

/// Writes a small file for people, or one that only saves time, so that nobody sees half of it: beside its place, in a
/// folder that is made where it is missing. Not synced. Of several who write the same file, one is the last.
pub fn put_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temp = path.with_file_name(unfinished());
    fs::write(&temp, bytes).and_then(|()| fs::rename(&temp, path)).inspect_err(|_| {
        let _ = fs::remove_file(&temp);
    })
}

/// Replaces `target` by `bytes` in one step, through `temp` on the same file system. Not synced.
pub(crate) fn replace(temp: &Path, target: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let written = File::create(temp).and_then(|mut f| f.write_all(bytes)).at("write", temp);
    written.and_then(|()| rename(temp, target).at("write", target)).inspect_err(|_| {
        let _ = fs::remove_file(temp);
    })
}

/// Puts a file where nothing is yet, making the parent directory where it is missing. `false`, and nothing is done,
/// when something is there already: of several who place a file at the same path, one alone does.
pub(crate) fn place(from: &Path, to: &Path) -> io::Result<bool> {
    let link = || match fs::hard_link(from, to) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(to.parent().unwrap_or(to))?;
            fs::hard_link(from, to)
        }
        other => other,
    };
    match link() {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            // Over a network, the link may have been made and the answer lost.
            let here = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
            if here(to).is_none() || here(to) != here(from) {
                return Ok(false);
            }
        }
        Err(e) if no_hard_links(&e) => return rename_new(from, to),
        Err(e) => return Err(e),
    }
    fs::remove_file(from).map(|()| true)
}

/// Whether an error says that the file system has no hard links (FAT, some network shares).
fn no_hard_links(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied | io::ErrorKind::TooManyLinks)
}

/// [`place`] where there are no hard links.
fn rename_new(from: &Path, to: &Path) -> io::Result<bool> {
    use rustix::{fs::RenameFlags, io::Errno};
    match rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        // Not there either: what is left is to look first.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if to.exists() => Ok(false),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::rename(from, to).map(|()| true),
        Err(e) => Err(e.into()),
    }
}

/// Whether something has that name, be it a link that leads nowhere.
pub(crate) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Removes a file or a whole directory, also a read-only one; missing is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let remove = || match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match remove() {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            unprotect(path)?;
            remove()
        }
        other => other,
    }
    .or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

/// Lets the owner change what is in a directory, and in those below it.
pub(crate) fn unprotect(path: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_dir() {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(meta.permissions().mode() | 0o700))?;
    fs::read_dir(path)?.try_for_each(|entry| unprotect(&entry?.path()))
}

/// The entries of a directory, sorted by name; none when there is no such directory.
pub(crate) fn list(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(StoreError::io("list", dir, e)),
    };
    let mut paths = entries.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>().at("list", dir)?;
    paths.sort();
    Ok(paths)
}

/// The entries of the directories in a directory (`objects/ab/...`), sorted.
pub(crate) fn list_fanned(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut paths = Vec::new();
    for sub in list(dir)?.into_iter().filter(|sub| sub.is_dir()) {
        paths.extend(list(&sub)?);
    }
    Ok(paths)
}

/// The name of a path without its extension, as a digest.
pub(crate) fn digest_name(path: &Path) -> Option<Digest> {
    path.file_name()?.to_str()?.split('.').next()?.parse().ok()
}

/// Size of a file, or of all files below a directory.
pub(crate) fn size_of(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => list(path).unwrap_or_default().iter().map(|p| size_of(p)).sum(),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_write_the_same_file_do_not_disturb_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("noted/file");
        std::thread::scope(|scope| {
            for text in ["one", "two", "three", "four"] {
                let path = &path;
                scope.spawn(move || (0..200).for_each(|_| put_file(path, text.as_bytes()).unwrap()));
            }
        });
        assert!(["one", "two", "three", "four"].contains(&&*fs::read_to_string(&path).unwrap()));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}

//! Objects, and whether they are what their names promise. All files of an object are read-only from the moment on at
//! which they are hashed; that somebody has changed one all the same shows in its [`Stamp`].

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use super::{
    layout::Layout,
    listing::{self, Listing},
    manifest::{ArtifactKind, ArtifactRef},
    stat::Stat,
};
use crate::{
    error::{StoreError, damage},
    hash::{Digest, hash_file, wrong_digest},
};

/// What `stat` says of every file of an object that was verified: as long as it says the same, the object is not read
/// again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<(String, Stat)>);

impl Stamp {
    /// Of an object that lies at that path.
    pub(crate) fn at(kind: ArtifactKind, path: &Path) -> io::Result<Self> {
        Ok(Self(match kind {
            ArtifactKind::Table => vec![(String::new(), Stat::of(&fs::metadata(path)?))],
            ArtifactKind::Files => listing::walk(path, false, &|_| true)?
                .into_iter()
                .map(|file| (file.name, Stat::of(&file.meta)))
                .collect(),
        }))
    }

    /// Whether another change of any file, from now on, would show.
    pub(crate) fn is_settled(&self) -> bool {
        self.0.iter().all(|(_, stat)| stat.is_settled())
    }
}

/// An object that cannot be read: damaged if the fault is its own, an I/O error if it is the system's (too many open
/// files).
fn unreadable(path: &Path, e: io::Error) -> StoreError {
    const EIO: i32 = 5;
    const EUCLEAN: i32 = 117;
    let missing = e.kind() == io::ErrorKind::NotFound;
    match e.raw_os_error() {
        _ if missing => StoreError::Damaged(damage(path, "it is missing")),
        None | Some(EIO | EUCLEAN) => StoreError::Damaged(damage(path, e.to_string())),
        _ if matches!(e.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory) => {
            StoreError::Damaged(damage(path, e.to_string()))
        }
        _ => StoreError::io("read", path, e),
    }
}

/// The cheap check: the object is there and of the right size.
pub(crate) fn stat_object(layout: &Layout, artifact: &ArtifactRef) -> Result<(), StoreError> {
    let path = layout.artifact(artifact);
    let meta = fs::metadata(&path).map_err(|e| unreadable(&path, e))?;
    let wrong = |reason: String| Err(StoreError::Damaged(damage(&path, reason)));
    match artifact.kind {
        ArtifactKind::Table if !meta.is_file() => wrong("it is not a file".to_owned()),
        ArtifactKind::Table if meta.len() != artifact.bytes => {
            wrong(format!("it has {} bytes instead of {}", meta.len(), artifact.bytes))
        }
        ArtifactKind::Files if !meta.is_dir() => wrong("it is not a directory".to_owned()),
        _ => Ok(()),
    }
}

/// What `stat` says of an object that passes [`stat_object`].
pub(crate) fn stamp(layout: &Layout, artifact: &ArtifactRef) -> Result<Stamp, StoreError> {
    stat_object(layout, artifact)?;
    let path = layout.artifact(artifact);
    Stamp::at(artifact.kind, &path).map_err(|e| unreadable(&path, e))
}

/// The full check: its bytes hash to its name.
pub(crate) fn check_object(layout: &Layout, artifact: &ArtifactRef) -> Result<Stamp, StoreError> {
    let stamp = stamp(layout, artifact)?;
    let path = layout.artifact(artifact);
    let found = digest_of_object(artifact.kind, &path)?;
    if found != artifact.object {
        return Err(StoreError::Damaged(wrong_digest(&path, &artifact.object, &found)));
    }
    if self::stamp(layout, artifact)? != stamp {
        return Err(StoreError::Damaged(damage(&path, "it changed while it was being read")));
    }
    Ok(stamp)
}

/// What an object's name must be, by its content.
pub(crate) fn digest_of_object(kind: ArtifactKind, path: &Path) -> Result<Digest, StoreError> {
    let digest = match kind {
        ArtifactKind::Table => hash_file(path).map(|(digest, _)| digest),
        ArtifactKind::Files => listing::scan(path).map(|listing| listing.digest()),
    };
    digest.map_err(|e| unreadable(path, e))
}

/// Makes the files of a directory read-only, and lists and hashes them. Fails when one is written to meanwhile, as by a
/// process that was left behind: what would be stored is not what its writer has in mind.
pub(crate) fn seal_files(dir: &Path) -> io::Result<(Listing, Stamp)> {
    for file in listing::walk(dir, false, &|_| true)?.into_iter().filter(|file| file.link.is_none()) {
        if file.meta.nlink() > 1 {
            own(&file.path)?;
        }
        write_protect(&file.path)?;
    }
    let before = Stamp::at(ArtifactKind::Files, dir)?;
    let listing = listing::scan(dir)?;
    let after = Stamp::at(ArtifactKind::Files, dir)?;
    if after != before {
        let changed = after.0.iter().zip(&before.0).find(|(after, before)| after != before);
        let name = changed.map_or("a file", |((name, _), _)| name);
        return Err(io::Error::other(format!("{name} was still being written when the stage had ended")));
    }
    Ok((listing, before))
}

/// Replaces a file that has other names, too, by a copy: it is somebody else's, who may write to it and wants to.
fn own(path: &Path) -> io::Result<()> {
    let copy = tempfile::Builder::new().prefix(".copy").tempfile_in(path.parent().unwrap_or(path))?.into_temp_path();
    fs::copy(path, &copy)?;
    copy.persist(path).map_err(|e| e.error)
}

/// Makes a file or directory read-only, for everybody.
pub(crate) fn write_protect(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o222 == 0 { Ok(()) } else { fs::set_permissions(path, Permissions::from_mode(mode & !0o222)) }
}

/// Makes the directories of an object read-only, so that nobody adds to it.
pub(crate) fn close_directories(path: &Path) -> io::Result<()> {
    listing::directories(path)?.iter().rev().try_for_each(|dir| write_protect(dir))
}

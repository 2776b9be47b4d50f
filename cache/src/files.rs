//! Directories as content: the sorted listing of their files, with a digest of each.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::{ArtifactRef, Digest, FileEntry, Hasher, fsio, manifest::ArtifactKind};

/// The files below a directory, sorted by path. Empty directories are no content.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) files: Vec<FileEntry>,
}

impl Listing {
    /// The digest of paths, executable bits and contents. Sizes follow from the contents.
    pub(crate) fn digest(&self) -> Digest {
        let mut hasher = Hasher::new("pipe.files.v1");
        hasher.u64(self.files.len() as u64);
        for file in &self.files {
            hasher.str(&file.path).u64(u64::from(file.executable)).digest(&file.digest);
        }
        hasher.finish()
    }

    /// Bytes in all.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }

    /// As an artifact.
    pub(crate) fn artifact(&self) -> ArtifactRef {
        let digest = self.digest();
        let rows = self.files.len() as u64;
        ArtifactRef { kind: ArtifactKind::Files, digest, object: digest, bytes: self.bytes(), rows }
    }
}

/// A file found by [`walk`].
#[derive(Debug)]
pub(crate) struct Found {
    /// Path inside the directory, with `/` between components.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) meta: fs::Metadata,
}

impl Found {
    pub(crate) fn executable(&self) -> bool {
        self.meta.permissions().mode() & 0o100 != 0
    }
}

/// All files below a directory, sorted by name. Symbolic links are followed where `follow`, else refused.
pub(crate) fn walk(dir: &Path, follow: bool) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    walk_into(dir, "", follow, &mut Vec::new(), &mut found)?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// `above` are the device and inode of the directories that this one is in: a link that leads back up is refused.
fn walk_into(
    dir: &Path,
    prefix: &str,
    follow: bool,
    above: &mut Vec<(u64, u64)>,
    found: &mut Vec<Found>,
) -> io::Result<()> {
    let meta = fs::metadata(dir)?;
    let here = (meta.dev(), meta.ino());
    if above.contains(&here) {
        return Err(io::Error::other(format!("{} is a symbolic link to a directory that it is in", dir.display())));
    }
    above.push(here);
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
            return Err(io::Error::other(format!("the file name {} is not UTF-8", path.display())));
        };
        let name = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        let meta = if follow { fs::metadata(&path)? } else { fs::symlink_metadata(&path)? };
        if meta.is_dir() {
            walk_into(&path, &name, follow, above, found)?;
        } else if meta.is_file() {
            found.push(Found { name, path, meta });
        } else {
            let what = if meta.is_symlink() { "a symbolic link" } else { "neither a file nor a directory" };
            return Err(io::Error::other(format!("`{name}` is {what}; artifacts hold only regular files")));
        }
    }
    above.pop();
    Ok(())
}

/// Lists and hashes a directory that contains nothing but regular files and directories.
pub(crate) fn scan(dir: &Path) -> io::Result<Listing> {
    let files = walk(dir, false)?
        .into_iter()
        .map(|file| {
            let (digest, bytes) = fsio::hash_file(&file.path)?;
            Ok(FileEntry { executable: file.executable(), path: file.name, bytes, digest })
        })
        .collect::<io::Result<_>>()?;
    Ok(Listing { files })
}

/// All directories below and including `dir`, for syncing.
pub(crate) fn directories(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = vec![dir.to_owned()];
    let mut next = 0;
    while next < all.len() {
        for entry in fs::read_dir(&all[next])? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                all.push(entry.path());
            }
        }
        next += 1;
    }
    Ok(all)
}

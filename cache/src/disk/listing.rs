//! Directories as content: the sorted listing of their files, with a digest of each.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::manifest::{ArtifactKind, ArtifactRef, FileEntry};
use crate::hash::{Digest, Hasher, hash_file};

/// The files below a directory, sorted by path. Empty directories are no content.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) files: Vec<FileEntry>,
}

impl Listing {
    /// The digest of paths, executable bits and contents; of links, of what they say. Sizes follow from the contents.
    pub(crate) fn digest(&self) -> Digest {
        let mut hasher = Hasher::new("pipe.files.v1");
        hasher.u64(self.files.len() as u64);
        for file in &self.files {
            let what = if file.link.is_some() { LINK } else { u64::from(file.executable) };
            hasher.str(&file.path).u64(what).digest(&file.digest);
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

/// What stands for a link in the digest, where a file has 0, or 1 if it is executable.
const LINK: u64 = 2;

/// A file found by [`walk`].
#[derive(Debug)]
pub(crate) struct Found {
    /// Path inside the directory, with `/` between components.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) meta: fs::Metadata,
    /// Of a symbolic link that was not followed: what it says.
    pub(crate) link: Option<String>,
}

impl Found {
    pub(crate) fn executable(&self) -> bool {
        self.meta.permissions().mode() & 0o100 != 0
    }
}

/// All files below a directory of whose names, and whose directories' names, each `counts`, sorted by name. Symbolic
/// links are followed where `follow`; else those that stay inside are found as links, and others are refused.
pub(crate) fn walk(dir: &Path, follow: bool, counts: &dyn Fn(&OsStr) -> bool) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    walk_into(dir, "", (follow, counts), &mut Vec::new(), &mut found)?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// `above` are the device and inode of the directories that this one is in: a link that leads back up is refused.
fn walk_into(
    dir: &Path,
    prefix: &str,
    (follow, counts): (bool, &dyn Fn(&OsStr) -> bool),
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
        let entry = entry?;
        if !counts(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
            return Err(io::Error::other(format!("the file name {} is not UTF-8", path.display())));
        };
        let name = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        let meta = if follow { fs::metadata(&path)? } else { fs::symlink_metadata(&path)? };
        if meta.is_symlink() {
            let link = link_inside(&path, dir, &name).map_err(io::Error::other)?;
            found.push(Found { name, path, meta, link: Some(link) });
        } else if meta.is_dir() {
            walk_into(&path, &name, (follow, counts), above, found)?;
        } else if meta.is_file() {
            found.push(Found { name, path, meta, link: None });
        } else {
            let message = format!("`{name}` is neither a file nor a directory; artifacts hold nothing else");
            return Err(io::Error::other(message));
        }
    }
    above.pop();
    Ok(())
}

/// What a link in an artifact says, if it goes with the artifact wherever that is: relative, to something inside, and
/// not to a directory that it is in. `name` is its path inside the artifact.
fn link_inside(path: &Path, dir: &Path, name: &str) -> Result<String, String> {
    let refused = |why: &str| {
        let target = fs::read_link(path).unwrap_or_default();
        format!("`{name}` is a symbolic link to `{}`, which {why}; copy what it points to instead", target.display())
    };
    let target = fs::read_link(path).map_err(|e| e.to_string())?;
    let target = target.to_str().ok_or_else(|| refused("is not UTF-8"))?;
    let real = fs::canonicalize(path).map_err(|_| refused("is not there"))?;
    let dir = fs::canonicalize(dir).map_err(|e| e.to_string())?;
    // The artifact's own directory, as many levels up as the name has.
    let root = dir.ancestors().nth(name.matches('/').count()).unwrap_or(&dir);
    if Path::new(target).is_absolute() || !real.starts_with(root) {
        return Err(refused("lies outside"));
    }
    if dir.starts_with(&real) {
        return Err(refused("is a directory that it is in"));
    }
    Ok(target.to_owned())
}

/// Makes links relative that name something inside by its absolute path, which holds only until the directory is moved.
pub(crate) fn make_links_relative(dir: &Path) -> io::Result<()> {
    let root = fs::canonicalize(dir)?;
    for folder in directories(dir)? {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let Ok(target) = fs::read_link(&path) else { continue };
            let inside = target.strip_prefix(dir).or_else(|_| target.strip_prefix(&root));
            let Ok(inside) = inside else { continue };
            let up = folder.strip_prefix(dir).map_or(0, |below| below.components().count());
            let relative: PathBuf = std::iter::repeat_n(Path::new(".."), up).chain([inside]).collect();
            fs::remove_file(&path)?;
            std::os::unix::fs::symlink(
                if relative.as_os_str().is_empty() { Path::new(".") } else { &relative },
                &path,
            )?;
        }
    }
    Ok(())
}

/// Lists and hashes a directory that contains nothing but regular files, directories, and links between them.
pub(crate) fn scan(dir: &Path) -> io::Result<Listing> {
    let files = walk(dir, false, &|_| true)?
        .into_iter()
        .map(|file| {
            if let Some(link) = file.link {
                let digest = Digest::of_bytes(link.as_bytes());
                return Ok(FileEntry { executable: false, path: file.name, bytes: 0, digest, link: Some(link) });
            }
            let (digest, bytes) = hash_file(&file.path)?;
            Ok(FileEntry { executable: file.executable(), path: file.name, bytes, digest, link: None })
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

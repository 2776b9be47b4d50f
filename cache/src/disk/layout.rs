//! The directory that a store consists of.
//!
//! ```text
//! ROOT/
//!   CACHEDIR.TAG                 tells backup programs to leave it out (in `v1/` where ROOT holds other things, too)
//!   v1/                          the format; a higher number is refused
//!     objects/ab/<id>.parquet    a table; <id> is the digest of the bytes
//!     objects/ab/<id>/           a files artifact; <id> is the digest of the listing (path, mode, digest of each file)
//!     manifests/ab/<key>.json    what a key's outputs are, and where they come from; the truth
//!     index                      a checksummed log of what lookups need of the manifests; only a cache of them
//!     memo/<recipe>/             shards of the row and stream memos, named by digest
//!     work/<key>/                checkpoints of a computation that has not ended
//!     leases/<key>               locked by who computes the key (`<key>.<token>` where nothing can be locked)
//!     claims/<board>-<worker>    rows that a live worker is computing (`memo/claims.rs`)
//!     refs/<pipeline>.json       variant -> stage -> key; beside it `.log`, what a run has changed since
//!     sources                    a checksummed log of (path, stat) -> digest
//!     noted/<digest>             what stages took note of beyond their run, by the digest of its name
//!     parts/<digest>             a large file on its way here from a remote, as far as it has come
//!     remote/<id>/<recipe>.json  which shards of a memo a remote has
//!     tmp/<session>/             what a live process is writing; its `session` file is locked while it lives
//!     meeting/                   two machines that check the store together
//!     births                     locked, shared, by a process while its session begins
//!     quarantine/                damaged things, moved out of the way
//!     logs/  runs/               of the engine
//!     lock                       shared by publishers, exclusive for gc
//! ```
//!
//! Every file but logs, work directories, leases, `births` and `lock` is written under `tmp/` and renamed into place,
//! so that it is there whole or not at all.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW},
    io::Errno,
};

use super::manifest::{ArtifactKind, ArtifactRef};
use crate::{
    error::{IoContext, StoreError},
    hash::Digest,
};

/// The newest format this version reads and writes.
pub(super) const FORMAT: u32 = 1;

const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW as _ };
/// Both times of a file, as the file system has them.
const NOW: Timestamps = Timestamps { last_access: TICK, last_modification: TICK };

/// The paths of a store.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
    dir: PathBuf,
    /// Whether locks of files are of use here.
    locks: bool,
    /// Whether this machine may remember folders as they were before another changed them.
    remembers: bool,
}

impl Layout {
    /// The layout below `root`, which is made absolute.
    pub(crate) fn new(root: &Path) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).at("open the store", root)?;
        Ok(Self { dir: root.join(format!("v{FORMAT}")), root, locks: true, remembers: false })
    }

    /// The same where nothing is believed in: neither locks, nor that a machine sees at once what others do.
    pub(crate) fn without_locks(self) -> Self {
        Self { locks: false, remembers: true, ..self }
    }

    /// The same, on a file system where a machine may be late to see what others do.
    pub(crate) fn with_memory(self) -> Self {
        Self { remembers: true, ..self }
    }

    /// Whether looking for something here may be answered from memory: then what has to be known as it is now is looked
    /// at after [`Layout::refresh`].
    pub(crate) fn remembers(&self) -> bool {
        self.remembers
    }

    /// Has the machine ask for what is in a folder of the store when it looks there next. A network file system
    /// remembers for up to a minute what it was told of a folder, or of a name that was not there, but not of a folder
    /// that this machine itself has changed since. Does nothing where everybody sees at once what anybody does.
    pub(crate) fn refresh(&self, folder: &Path) {
        if !self.remembers {
            return;
        }
        if let Err(error) = self.touch(folder) {
            tracing::debug!(%error, folder = %folder.display(), "not touched: what others did may be seen late");
        }
    }

    /// Changes a folder of the store, and nothing in it.
    pub(crate) fn touch(&self, folder: &Path) -> io::Result<()> {
        let touch = |folder: &Path| rustix::fs::utimensat(CWD, folder, &NOW, AtFlags::empty());
        let touched = match touch(folder) {
            // It may be there by now.
            Err(Errno::NOENT) if folder.starts_with(&self.dir) && *folder != self.dir => {
                touch(folder.parent().unwrap_or(&self.dir)).and_then(|()| touch(folder))
            }
            touched => touched,
        };
        touched.map_err(io::Error::from)
    }

    /// Whether what is locked on one machine is locked on all. Else whoever has to be alone holds a lease by touch.
    pub(crate) fn locks(&self) -> bool {
        self.locks
    }

    /// Says, where it is, that the store is used without locks, by everybody.
    pub(crate) fn no_locks(&self) -> PathBuf {
        self.join("no-locks")
    }

    /// Whether a folder holds a store, of whatever format.
    pub(crate) fn is_at(root: &Path) -> bool {
        let is_version = |name: &str| name.strip_prefix('v').is_some_and(|version| version.parse::<u32>().is_ok());
        std::fs::read_dir(root).is_ok_and(|mut entries| {
            entries
                .any(|entry| entry.is_ok_and(|e| e.file_name().to_str().is_some_and(is_version) && e.path().is_dir()))
        })
    }

    /// Refuses stores of a future format.
    pub(crate) fn check_format(&self) -> Result<(), StoreError> {
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(StoreError::io("open the store", &self.root, e)),
        };
        let mut newest = 0;
        for entry in entries {
            let name = entry.at("list", &self.root)?.file_name();
            let version = name.to_str().and_then(|n| n.strip_prefix('v')).and_then(|n| n.parse().ok());
            newest = newest.max(version.unwrap_or(0));
        }
        if newest > FORMAT {
            return Err(StoreError::FutureFormat { root: self.root.clone(), found: newest, supported: FORMAT });
        }
        Ok(())
    }

    /// The store's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path inside the versioned directory.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Where an object of that name lies.
    pub fn object(&self, kind: ArtifactKind, id: &Digest) -> PathBuf {
        let hex = id.to_string();
        self.dir.join(format!("objects/{}/{hex}{}", &hex[..2], kind.ending()))
    }

    /// Where the object of an artifact lies.
    pub fn artifact(&self, artifact: &ArtifactRef) -> PathBuf {
        self.object(artifact.kind, &artifact.object)
    }

    /// Where the manifest of a key lies.
    pub fn manifest(&self, key: &Digest) -> PathBuf {
        let hex = key.to_string();
        self.dir.join(format!("manifests/{}/{hex}.json", &hex[..2]))
    }

    /// Where the lease of a key lies.
    pub(crate) fn lease(&self, key: &Digest) -> PathBuf {
        self.dir.join(format!("leases/{key}"))
    }

    /// Where the claims lie.
    pub(crate) fn claims(&self) -> PathBuf {
        self.dir.join("claims")
    }

    /// Where the claim of a worker lies, or what the claims of a board begin with.
    pub(crate) fn claim(&self, board: &Digest, worker: Option<&Digest>) -> PathBuf {
        self.claims().join(worker.map_or_else(|| board.to_string(), |worker| format!("{board}-{worker}")))
    }

    /// Where a computation of the key keeps its checkpoints.
    pub(crate) fn work(&self, key: &Digest) -> PathBuf {
        self.dir.join(format!("work/{key}"))
    }

    /// Where the shards of a recipe lie.
    pub(crate) fn memo(&self, recipe: &Digest) -> PathBuf {
        self.dir.join(format!("memo/{recipe}"))
    }

    /// Where a large file is put together that comes from a remote.
    pub(crate) fn parts(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("parts/{digest}"))
    }

    /// Where it is noted which shards of a memo a remote has; without a recipe, the folder of all such notes.
    pub(crate) fn remote_notes(&self, recipe: Option<(&str, &Digest)>) -> PathBuf {
        let all = self.dir.join("remote");
        recipe.map_or_else(|| all.clone(), |(remote, recipe)| all.join(remote).join(format!("{recipe}.json")))
    }

    /// Where stages may keep their logs.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// Where a note under that name lies.
    pub fn noted(&self, name: &str) -> PathBuf {
        self.dir.join("noted").join(Digest::of_bytes(name.as_bytes()).to_string())
    }

    /// Where runs may keep their journals.
    pub fn runs(&self) -> PathBuf {
        self.dir.join("runs")
    }
}

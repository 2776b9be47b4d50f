//! The directory that a store consists of.
//!
//! ```text
//! ROOT/
//!   CACHEDIR.TAG                 tells backup programs to leave it out
//!   v1/                          the format; a higher number is refused
//!     objects/ab/<id>.parquet    a table; <id> is the digest of the bytes
//!     objects/ab/<id>/           a files artifact; <id> is the digest of the listing (path, mode, digest of every file)
//!     manifests/ab/<key>.json    what a key's outputs are, and where they come from; the truth
//!     index                      a checksummed log of what lookups need of the manifests; only a cache of them
//!     memo/<recipe>/             shards of the row and stream memos, named by digest
//!     work/<key>/                checkpoints of a computation that has not ended
//!     leases/<key>               locked by the process that computes the key
//!     refs/<pipeline>.json       variant -> stage -> key
//!     sources                    a checksummed log of (path, stat) -> digest
//!     tmp/<session>/             what a live process is writing; its `session` file is locked while it lives
//!     births                     locked, shared, by a process while its session begins
//!     quarantine/                damaged things, moved out of the way
//!     logs/  runs/               of the engine
//!     lock                       shared by publishers, exclusive for gc
//! ```
//!
//! Every file but logs, work directories, leases, `births` and `lock` is written under `tmp/` and renamed into place, so that it is
//! there whole or not at all.

use std::path::{Path, PathBuf};

use crate::{
    Digest, StoreError,
    error::IoContext,
    manifest::{ArtifactKind, ArtifactRef},
};

/// The newest format this version reads and writes.
pub const FORMAT: u32 = 1;

const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
# This directory is a cache of computed results (https://bford.info/cachedir/).\n";

/// The paths of a store.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
    dir: PathBuf,
}

impl Layout {
    /// The layout below `root`, which is made absolute.
    pub(crate) fn new(root: &Path) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).at("open the store", root)?;
        Ok(Self { dir: root.join(format!("v{FORMAT}")), root })
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

    /// Makes the directories.
    pub(crate) fn create(&self) -> Result<(), StoreError> {
        for name in ["objects", "manifests", "memo", "leases", "refs", "tmp", "quarantine", "logs", "runs"] {
            let path = self.dir.join(name);
            std::fs::create_dir_all(&path).at("create", &path)?;
        }
        let tag = self.root.join("CACHEDIR.TAG");
        if !tag.exists() {
            std::fs::write(&tag, CACHEDIR_TAG).at("write", &tag)?;
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
        let extension = match kind {
            ArtifactKind::Table => ".parquet",
            ArtifactKind::Files => "",
        };
        self.dir.join(format!("objects/{}/{hex}{extension}", &hex[..2]))
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

    /// Where a computation of the key keeps its checkpoints.
    pub(crate) fn work(&self, key: &Digest) -> PathBuf {
        self.dir.join(format!("work/{key}"))
    }

    /// Where the shards of a recipe lie.
    pub(crate) fn memo(&self, recipe: &Digest) -> PathBuf {
        self.dir.join(format!("memo/{recipe}"))
    }

    /// Where stages may keep their logs.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// Where runs may keep their journals.
    pub fn runs(&self) -> PathBuf {
        self.dir.join("runs")
    }
}

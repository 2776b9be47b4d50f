//! The store itself: opening it, and looking up keys.

use std::{path::Path, sync::Arc};

use crate::{Damage, Digest, Entry, Manifest, StoreError, layout::Layout};

/// How to open a store.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// Serve hits, write nothing.
    pub read_only: bool,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// Its outputs are there.
    Hit(Arc<Entry>),
    /// It has not been computed, or was collected.
    Miss,
    /// It has been computed, but its manifest is unreadable or an object is missing or of the wrong size: compute it again.
    Damaged(Damage),
    /// Its manifest was written by a newer version: compute it again; publishing keeps the newer manifest in quarantine.
    Future {
        /// The format of the manifest.
        format: u32,
    },
}

/// An artifact store. Clones share everything; all methods may be called from any thread.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    layout: Layout,
    options: StoreOptions,
}

impl Store {
    /// Opens the store below `root`, making it where it is missing.
    pub fn open(root: impl AsRef<Path>, options: StoreOptions) -> Result<Self, StoreError> {
        let layout = Layout::new(root.as_ref())?;
        layout.check_format()?;
        if !options.read_only {
            layout.create()?;
        }
        Ok(Self { inner: Arc::new(Inner { layout, options }) })
    }

    /// The paths of this store.
    pub fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    /// Whether nothing may be written.
    pub fn read_only(&self) -> bool {
        self.inner.options.read_only
    }

    /// What is known of a key. Costs a few microseconds: a look into the index and a `stat` per output.
    pub fn lookup(&self, _key: &Digest) -> Result<Lookup, StoreError> {
        unimplemented!("lands next")
    }

    /// The whole manifest of a key, or `None` where it has none that can be read.
    pub fn manifest(&self, _key: &Digest) -> Result<Option<Manifest>, StoreError> {
        unimplemented!("lands next")
    }

    /// All keys that have a manifest, sorted.
    pub fn keys(&self) -> Result<Vec<Digest>, StoreError> {
        unimplemented!("lands next")
    }

    /// Waits until all that was published is on the disk. Publishing returns when a result survives the death of this
    /// process; from here on it survives the death of the machine. Dropping the last clone of the store does it, too.
    pub fn flush(&self) -> Result<(), StoreError> {
        unimplemented!("lands next")
    }
}

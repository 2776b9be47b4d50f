//! Leases: at most one process, and one thread of it, computes a key at a time.

use serde::{Deserialize, Serialize};

use crate::{Digest, Store, StoreError};

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseOwner {
    /// Process id.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// Milliseconds since 1970.
    pub since_ms: u64,
}

/// The outcome of [`Store::try_lease`].
#[derive(Debug)]
pub enum LeaseAttempt {
    /// The caller holds it. Look the key up once more before computing: the last holder may have published it.
    Acquired(Lease),
    /// Somebody else holds it; the owner is `None` while it is being written down.
    Held(Option<LeaseOwner>),
}

/// The right to compute a key, until dropped.
#[derive(Debug)]
pub struct Lease {
    key: Digest,
}

impl Lease {
    /// The key.
    pub fn key(&self) -> &Digest {
        &self.key
    }
}

impl Store {
    /// Takes the lease of a key if nobody holds it. A lease whose owner died is free at once.
    pub fn try_lease(&self, _key: &Digest) -> Result<LeaseAttempt, StoreError> {
        unimplemented!("lands next")
    }

    /// Takes the lease of a key, waiting for its holder. `cancelled` is asked several times a second.
    pub fn wait_lease(&self, _key: &Digest, _cancelled: &dyn Fn() -> bool) -> Result<Lease, StoreError> {
        unimplemented!("lands next")
    }
}

//! Content digests and the crash-safe artifact store: objects, manifests, leases, row memo, gc.
//!
//! This crate knows nothing of pipelines: it maps keys to manifests, and manifests to verified objects.

pub mod digest;

pub use digest::{Digest, Hasher};

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {}

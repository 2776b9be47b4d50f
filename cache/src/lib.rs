//! Content digests and the crash-safe artifact store: objects, manifests, leases, row memo, gc.
//!
//! This crate knows nothing of pipelines: it maps keys to manifests, and manifests to verified objects.
//!
//! ```text
//! lookup(key) -> Hit(Entry)                          -> open_table / files_path      (verified reading)
//!             -> Miss -> try_lease -> begin -> write -> commit -> Entry              (crash-safe publishing)
//! ```
//!
//! The directory a store consists of is described in [`layout`].

mod checked_json;
pub mod digest;
pub mod error;
mod files;
mod fsio;
pub mod gc;
mod index;
pub mod layout;
pub mod lease;
mod logical;
pub mod manifest;
pub mod memo;
pub mod publish;
pub mod read;
mod record_log;
pub mod refs;
pub mod row_digest;
mod session;
pub mod source;
pub mod store;
mod sync;
pub mod table_digest;
pub mod table_writer;
pub mod verify;

pub use digest::{Digest, Hasher};
pub use error::{Damage, StoreError};
pub use gc::{GcPolicy, GcReport};
pub use lease::{Lease, LeaseAttempt, LeaseOwner};
pub use manifest::{ArtifactKind, ArtifactRef, Column, Entry, FileEntry, Manifest, Output, Provenance};
pub use memo::{row::RowMemo, stream::StreamMemo};
pub use publish::Publication;
pub use read::{ReadOptions, TableReader};
pub use refs::{RefEntry, ResultLink};
pub use row_digest::row_digests;
pub use source::SourceDigest;
pub use store::{Lookup, Store, StoreOptions};
pub use table_digest::TableDigest;
pub use table_writer::TableWriter;
pub use verify::{Finding, VerifyOptions, VerifyReport};

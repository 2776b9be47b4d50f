//! Content digests and the crash-safe artifact store: objects, manifests, leases, row memo, gc.
//!
//! This crate knows nothing of pipelines: it maps keys to manifests, and manifests to verified objects.
//!
//! ```text
//! lookup(key) -> Hit(Entry)                          -> open_table / files_path      (verified reading)
//!             -> Miss -> try_lease -> begin -> write -> commit -> Entry              (crash-safe publishing)
//! ```
//!
//! The directory a store consists of is described in [`Layout`].

#![warn(unreachable_pub)]

mod care;
mod disk;
mod error;
mod hash;
mod machine;
mod memo;
mod remote;
mod share;
mod store;

pub use care::{Check, Finding, GcPolicy, GcReport, Outcome, Reason, Removable, Removed, VerifyOptions, VerifyReport};
pub use disk::{
    ArtifactKind, ArtifactRef, Column, Entry, FileEntry, Layout, Manifest, Output, Provenance, ReadOptions,
    TableReader, conform, put_file, type_name,
};
pub use error::{Damage, StoreError};
pub use hash::{Digest, Hasher, ParseDigestError, TableDigest, row_digests};
pub use machine::{LeaseOwner, host_name, now_ms};
pub use memo::{AttemptClaim, Changes, Lead, RowClaim, RowMemo, StreamMemo};
pub use remote::{
    Ability, Access, CheckStep, CollectPolicy, Collected, Pushed, Remote, RemoteCounts, RemoteError, RemoteMode,
    RemoteOptions, Secret,
};
pub use share::{Lease, LeaseAttempt};
pub use store::{
    ContentDigest, Lookup, PipelineRefs, Publication, RefEntry, RefLog, RefsChange, ResultLink, Store, StoreOptions,
    TableWriter, is_leaving,
};

//! What lies on the disk: where things are, and the form of files, records, tables and objects.

pub(crate) mod checked_json;
mod layout;
pub(crate) mod listing;
pub(crate) mod manifest;
mod near;
pub(crate) mod object;
pub(crate) mod paths;
pub(crate) mod record_log;
pub(crate) mod stat;
mod table_file;
mod table_reader;
mod type_name;

pub use layout::Layout;
pub use manifest::{ArtifactKind, ArtifactRef, Column, Entry, FileEntry, Manifest, Output, Provenance};
pub(crate) use near::Near;
pub use paths::put_file;
pub use table_file::conform;
pub(crate) use table_file::{TableFile, write_whole};
pub(crate) use table_reader::open_parquet;
pub use table_reader::{ReadOptions, TableReader};
pub use type_name::type_name;

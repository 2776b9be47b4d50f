//! Digests of bytes, values, rows, tables and files.

mod digest;
mod file;
mod logical;
mod rows;
mod table;

pub use digest::{Digest, Hasher, ParseDigestError};
pub(crate) use file::{HashingFile, hash_file, wrong_digest};
pub(crate) use logical::schema_digest;
pub use rows::row_digests;
pub use table::TableDigest;

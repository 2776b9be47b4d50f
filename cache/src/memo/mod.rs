//! Memos: what was computed row by row, so that a killed, extended or edited stage only computes what is missing.

pub mod row;
pub(crate) mod shard;
pub mod stream;

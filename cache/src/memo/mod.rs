//! Memos: what was computed row by row, so that a killed, extended or edited stage only computes what is missing; and
//! who is computing what of it just now.

pub(crate) mod claims;
mod look;
mod row;
pub(crate) mod shard;
mod spans;
mod stream;

pub use claims::{Changes, Lead};
pub use row::{RowClaim, RowMemo};
pub use stream::{AttemptClaim, StreamMemo};

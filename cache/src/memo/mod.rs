//! Memos: what was computed row by row, so that a killed, extended or edited stage only computes what is missing; and
//! who is computing what of it just now.

pub(crate) mod claims;
mod look;
mod row;
pub(crate) mod shard;
mod spans;
mod stream;

/// What the memos of rows and of attempts do alike, for several workers on one recipe and at their end.
macro_rules! shared_memo {
    ($memo:ty, $what:literal) => {
        impl $memo {
            /// The schema of what is kept.
            pub fn schema(&self) -> &::arrow::datatypes::SchemaRef {
                &self.schema
            }

            /// Names the kind that computes, and its version: builds in which they differ do not follow each other.
            pub fn sign(&mut self, maker: String) {
                self.claims.sign(maker);
            }

            /// Gives up what was claimed, after a flush.
            pub fn release(&mut self) -> Result<(), $crate::StoreError> {
                let flushed = self.flush();
                self.claims.release();
                flushed
            }

            /// What wakes those who wait for what this memo is to keep.
            pub fn changes(&self) -> $crate::memo::Changes {
                self.claims.changes()
            }
        }

        impl Drop for $memo {
            fn drop(&mut self) {
                if let Err(error) = self.flush() {
                    tracing::warn!(%error, concat!($what, " were computed but not kept"));
                }
            }
        }
    };
}
use shared_memo;

pub use claims::{Changes, Lead};
pub use row::{RowClaim, RowMemo};
pub use stream::{AttemptClaim, StreamMemo};

//! Looking after a store: what may go, and whether all that is there is sound.

mod gc;
mod verify;

pub use gc::{GcPolicy, GcReport};
pub use verify::{Finding, VerifyOptions, VerifyReport};

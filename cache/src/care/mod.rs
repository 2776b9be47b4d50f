//! Looking after a store: what may go, and whether all that is there is sound.

mod census;
mod gc;
mod removed;
mod verify;

pub use gc::{GcPolicy, GcReport};
pub use removed::{Reason, Removable, Removed};
pub use verify::{Finding, VerifyOptions, VerifyReport};

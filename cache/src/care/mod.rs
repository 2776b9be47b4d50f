//! Looking after a store: what may go, and whether all that is there is sound.

mod census;
mod check;
mod gc;
mod removed;
mod together;
mod verify;

pub use check::{Check, Outcome};
pub use gc::{GcPolicy, GcReport};
pub use removed::{Reason, Removable, Removed};
pub use verify::{Finding, VerifyOptions, VerifyReport};

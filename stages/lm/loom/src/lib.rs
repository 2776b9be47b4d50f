//! Nothing but the file that is checked.
#![expect(dead_code, reason = "the crate that the file belongs to uses the rest")]

#[path = "../../src/ops/crew.rs"]
mod crew;

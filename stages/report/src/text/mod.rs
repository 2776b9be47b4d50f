//! Words and numbers as the page shows them.

mod clean;
mod number;

pub(crate) use clean::{clean, hidden, short};
pub(crate) use number::{count, duration, number, p_value, seconds, share, signed};

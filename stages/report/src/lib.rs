//! One HTML page that says what a pipeline found.

mod data;

pub use data::*;

//! The distributions that tests ask for their tails. Every one gives the tail that is asked for itself, never 1 minus
//! the other, so that small p values keep their digits.
//!
//! They are written out because `statrs` 0.19 has no non-central t, on which power rests, and keeps nine digits at the
//! degrees of freedom that thousands of items have, where these keep twelve; with its default features it brings 13
//! crates.

mod beta;
pub mod binomial;
pub mod noncentral;
pub mod normal;
mod quantile;
mod stirling;
pub mod student;

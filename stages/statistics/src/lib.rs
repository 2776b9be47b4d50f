//! What may be said of two arms, and how surely.
//!
//! Two questions are kept apart, each with its own sample. *Are these trained models different?* is asked over items
//! ([`over_items`], [`McNemar`]). *Is this choice of the method better?* is asked over draws ([`over_draws`]): seeds,
//! generation and training anew. Items of several draws are never one sample, and a handful of draws is never
//! bootstrapped: both find differences several times as often as they claim to.
//!
//! Everything here takes plain numbers and knows nothing of tables. Cases at the edge (no items, one draw, no spread)
//! are values: an answer says that a question was not asked, and why. What was not computed (NaN) is refused by place,
//! so that nothing is dropped in silence; [`Pairs`] counts it.

mod bca;
pub mod distributions;
mod draws;
mod equivalence;
mod estimate;
mod factorial;
mod holm;
mod invalid;
mod items;
mod mcnemar;
mod mixed;
mod pairs;
mod pool;
mod power;
mod quantile;
mod resample;
mod sample;
mod signs;
mod t_test;
mod trend;
mod variance;
mod verdict;

pub use draws::{DrawMeans, NotAsked, OverDraws, over_differences, over_draws};
pub use estimate::{Estimate, estimate_ratio, estimates};
pub use factorial::{Contrast, contrasts};
pub use holm::{holm, holm_of_asked};
pub use invalid::Invalid;
pub use items::{Bootstrap, Interval, OverItems, clustered_error, over_items};
pub use mcnemar::{McNemar, mcnemar};
pub use pairs::Pairs;
pub use power::{MOST_DRAWS, MOST_ITEMS, Power};
pub use t_test::{Method, TTest};
pub use trend::{Scale, Trend, trend};
pub use variance::{Component, Variance, variance};
pub use verdict::{Direction, Verdict};

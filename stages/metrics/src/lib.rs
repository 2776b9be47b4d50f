//! Text metrics (token F1, ROUGE-L, exact match) and near-duplicate search.
//!
//! Scores are in `0..=1`. A metric is a row of the table in `defs.rs`; its [`Metric::signature`] says what exactly it
//! is, so that a number in a table can be told from another tool's number of the same name.

mod confusion;
mod contained;
mod dedup;
mod defs;
mod extract;
mod f1;
mod labels;
mod lcs;
mod metric;
mod normalize;
mod numbers;
mod overlap;
mod ranking;
mod rouge;
mod sets;
mod words;

pub use confusion::{Averages, Confusion, LabelScore};
pub use contained::{Contained, Grams, contained};
pub use dedup::RougeIndex;
pub use extract::{BadExtract, Extract, ExtractMatch};
pub use labels::{AmbiguousLabels, Labels};
pub use metric::Metric;
pub use normalize::Normalizer;
pub use overlap::{Overlap, Repeats, repeated, repeated_within};
pub use ranking::{Judged, RankMetric, trec_order};
pub use rouge::RougeL;
pub use words::content_words;

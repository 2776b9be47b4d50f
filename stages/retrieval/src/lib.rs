//! Retrieval over text passages: BM25, dense vectors, and the fusion of both.
//!
//! Everything here is exact and deterministic: passages with equal scores are ranked by their position in the corpus,
//! and a query's result does not depend on the queries beside it.

mod analyzer;
mod bm25;
mod dense;
mod fusion;
mod lsa;
mod top;
mod vocabulary;

pub use analyzer::{Analyzer, Stemmer, StopWords};
pub use bm25::{Bm25, Bm25Builder, Bm25Params, FileWords, WriteWords};
pub use dense::{DenseError, DenseIndex};
pub use fusion::reciprocal_rank;
pub use lsa::Lsa;
pub use top::Hit;

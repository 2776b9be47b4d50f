//! Text metrics (token F1, ROUGE-L, exact match), near-duplicate search and bootstrap intervals.
//!
//! Scores are in `0..=1`. Each metric has a [`Metric::signature`] that names its tokeniser, stemmer, normaliser and version, so that a
//! number in a table can be told from another tool's number of the same name.

mod bootstrap;
mod dedup;
mod f1;
mod lcs;
mod rouge;

pub use bootstrap::{Estimate, PairedDifference, estimate, holm, paired_difference};
pub use dedup::RougeIndex;
pub use f1::{exact_match, normalize_answer, token_f1};
pub use rouge::{RougeL, rouge_tokens};

/// The metrics a scored item can have, by the name under which they appear in tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Token F1 as in SQuAD 1.1.
    TokenF1,
    /// ROUGE-L F without stemming.
    RougeL,
    /// ROUGE-L F with NLTK's Porter stemmer.
    RougeLStemmed,
    /// Equality after SQuAD's normalisation.
    ExactMatch,
    /// Token F1 where each piece of a reference split at ", " counts as a reference of its own: what the BoX benchmark's script
    /// does. A list answer scores full marks for one entity; only for comparison with published numbers.
    TokenF1AnyPiece,
}

impl Metric {
    /// All metrics, in table order.
    pub const ALL: [Self; 5] =
        [Self::TokenF1, Self::RougeL, Self::RougeLStemmed, Self::ExactMatch, Self::TokenF1AnyPiece];

    /// The column name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenF1 => "token_f1",
            Self::RougeL => "rouge_l",
            Self::RougeLStemmed => "rouge_l_stemmed",
            Self::ExactMatch => "exact_match",
            Self::TokenF1AnyPiece => "token_f1_any_piece",
        }
    }

    /// What exactly was computed.
    pub const fn signature(self) -> &'static str {
        match self {
            Self::TokenF1 => "token_f1|norm:squad1.1|tok:whitespace|refs:max|v1",
            Self::RougeL => "rougeL_f|tok:[a-z0-9]+|stem:none|refs:max|v1",
            Self::RougeLStemmed => "rougeL_f|tok:[a-z0-9]+|stem:porter-nltk,len>3|refs:max|v1",
            Self::ExactMatch => "exact_match|norm:squad1.1|refs:max|v1",
            Self::TokenF1AnyPiece => "token_f1|norm:squad1.1|tok:whitespace|refs:split(\", \"),max|v1",
        }
    }

    /// The best score of `prediction` over the references; 0 where there is none.
    pub fn score<S: AsRef<str>>(self, prediction: &str, references: &[S]) -> f64 {
        let best = |f: &dyn Fn(&str) -> f64| references.iter().map(|r| f(r.as_ref())).fold(0.0, f64::max);
        match self {
            Self::TokenF1 => best(&|r| token_f1(prediction, r)),
            Self::RougeL => best(&|r| RougeL::new(false).f(prediction, r)),
            Self::RougeLStemmed => best(&|r| RougeL::new(true).f(prediction, r)),
            Self::ExactMatch => best(&|r| f64::from(u8::from(exact_match(prediction, r)))),
            Self::TokenF1AnyPiece => {
                best(&|r| r.split(", ").map(|piece| token_f1(prediction, piece)).fold(0.0, f64::max))
            }
        }
    }
}

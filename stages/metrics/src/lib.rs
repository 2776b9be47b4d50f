//! Text metrics (token F1, ROUGE-L, exact match), near-duplicate search and bootstrap intervals.
//!
//! Scores are in `0..=1`. Each metric has a [`Metric::signature`] that names its tokeniser, stemmer, normaliser and version, so that a
//! number in a table can be told from another tool's number of the same name.

mod bootstrap;
mod dedup;
mod f1;
mod labels;
mod lcs;
mod normalize;
mod rouge;

pub use bootstrap::{Estimate, PairedDifference, estimate, holm, paired_difference};
pub use dedup::RougeIndex;
pub use f1::{exact_match, token_f1};
pub use labels::match_label;
pub use normalize::{Normalizer, normalize_answer};
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
    /// Equality after normalisation.
    ExactMatch,
    /// Whether the words of the reference stand in the prediction, one after the other, or those of the prediction in the reference.
    Contains,
    /// Token F1 where each piece of a reference split at ", " counts as a reference of its own: what the BoX benchmark's script
    /// does. A list answer scores full marks for one entity; only for comparison with published numbers.
    TokenF1AnyPiece,
}

impl Metric {
    /// All metrics, in table order.
    pub const ALL: [Self; 6] =
        [Self::TokenF1, Self::RougeL, Self::RougeLStemmed, Self::ExactMatch, Self::Contains, Self::TokenF1AnyPiece];

    /// The column name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenF1 => "token_f1",
            Self::RougeL => "rouge_l",
            Self::RougeLStemmed => "rouge_l_stemmed",
            Self::ExactMatch => "exact_match",
            Self::Contains => "contains",
            Self::TokenF1AnyPiece => "token_f1_any_piece",
        }
    }

    /// What exactly was computed. ROUGE has a normalisation of its own.
    pub fn signature(self, normalizer: Normalizer) -> String {
        let norm = normalizer.signature();
        match self {
            Self::TokenF1 => format!("token_f1|norm:{norm}|tok:whitespace|refs:max|v1"),
            Self::RougeL => "rougeL_f|tok:[a-z0-9]+|stem:none|refs:max|v1".to_owned(),
            Self::RougeLStemmed => "rougeL_f|tok:[a-z0-9]+|stem:porter-nltk,len>3|refs:max|v1".to_owned(),
            Self::ExactMatch => format!("exact_match|norm:{norm}|refs:max|v1"),
            Self::Contains => format!("contains|norm:{norm}|tok:whitespace|dir:either|refs:max|v1"),
            Self::TokenF1AnyPiece => format!("token_f1|norm:{norm}|tok:whitespace|refs:split(\", \"),max|v1"),
        }
    }

    /// The best score of `prediction` over the references; 0 where there is none.
    pub fn score<S: AsRef<str>>(self, normalizer: Normalizer, prediction: &str, references: &[S]) -> f64 {
        let best = |f: &dyn Fn(&str) -> f64| references.iter().map(|r| f(r.as_ref())).fold(0.0, f64::max);
        let share = |yes: bool| f64::from(u8::from(yes));
        match self {
            Self::RougeL => return best(&|r| RougeL::new(false).f(prediction, r)),
            Self::RougeLStemmed => return best(&|r| RougeL::new(true).f(prediction, r)),
            _ => {}
        }
        let prediction = normalizer.apply(prediction);
        match self {
            Self::TokenF1 => best(&|r| f1::f1_of_normalized(&prediction, &normalizer.apply(r))),
            Self::ExactMatch => best(&|r| share(prediction == normalizer.apply(r))),
            Self::Contains => best(&|r| {
                let reference = normalizer.apply(r);
                share(
                    labels::find_words(&prediction, &reference).is_some()
                        || labels::find_words(&reference, &prediction).is_some(),
                )
            }),
            Self::TokenF1AnyPiece => best(&|r| {
                let pieces = r.split(", ").map(|piece| f1::f1_of_normalized(&prediction, &normalizer.apply(piece)));
                pieces.fold(0.0, f64::max)
            }),
            Self::RougeL | Self::RougeLStemmed => unreachable!("handled above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_reference_counts() {
        let score = |metric: Metric, prediction: &str, references: &[&str]| {
            metric.score(Normalizer::Squad, prediction, references)
        };
        assert_eq!(score(Metric::ExactMatch, "The Liver.", &["kidney", "liver"]), 1.0);
        assert_eq!(score(Metric::TokenF1, "liver and kidney", &["kidney", "spleen"]), 0.5);
        assert_eq!(score(Metric::TokenF1, "x", &[]), 0.0);
        assert_eq!(score(Metric::TokenF1, "aspirin", &["heparin, aspirin"]), 2.0 / 3.0);
        assert_eq!(score(Metric::TokenF1AnyPiece, "aspirin", &["heparin, aspirin"]), 1.0);
    }

    #[test]
    fn values_are_found_inside_answers_and_the_other_way_round() {
        let contains =
            |prediction: &str, reference: &str| Metric::Contains.score(Normalizer::Squad, prediction, &[reference]);
        assert_eq!(contains("It is the bone scan.", "Bone scan"), 1.0);
        assert_eq!(contains("sweat test", "Summary states sweat test."), 1.0);
        assert_eq!(contains("I know", "no"), 0.0, "whole words");
        assert_eq!(contains("bone or scan", "bone scan"), 0.0, "one after the other");
        assert_eq!(contains("", "bone"), 0.0, "nothing is in everything");
        assert_eq!(contains("bone", "the"), 0.0);
    }

    #[test]
    fn normalizers_and_their_signatures() {
        let exact = |n: Normalizer| Metric::ExactMatch.score(n, "the  Liver.", &["Liver"]);
        assert_eq!([Normalizer::Squad, Normalizer::Lowercase, Normalizer::None].map(exact), [1.0, 0.0, 0.0]);
        assert_eq!(Metric::ExactMatch.score(Normalizer::Lowercase, " The  Liver", &["the liver"]), 1.0);
        assert_eq!(Metric::ExactMatch.score(Normalizer::None, " Liver\n", &["Liver"]), 1.0);
        assert_eq!(Metric::ExactMatch.score(Normalizer::None, "liver", &["Liver"]), 0.0);
        assert_eq!(Metric::TokenF1.signature(Normalizer::Squad), "token_f1|norm:squad1.1|tok:whitespace|refs:max|v1");
        assert_eq!(Metric::ExactMatch.signature(Normalizer::None), "exact_match|norm:trim|refs:max|v1");
    }
}

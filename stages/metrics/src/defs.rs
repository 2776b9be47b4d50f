//! The metrics, one row of [`DEFINITIONS`] each. To add one, add a row: pipeline files, schema, tables and signatures
//! follow.
//!
//! A row names the paper or program whose numbers it gives, and its tests stand below. The signature says everything
//! that another implementation of the name could do otherwise; whoever changes a score changes the `v` at its end.

use std::cell::OnceCell;

use crate::{Normalizer, RougeL, f1::f1_of_normalized, numbers, sets::Common, words::find_words};

/// A text in front of a metric: as it is, and normalised where a metric asks for that.
pub(crate) struct Text<'a> {
    raw: &'a str,
    normalizer: Normalizer,
    plain: OnceCell<String>,
}

impl<'a> Text<'a> {
    pub(crate) const fn new(normalizer: Normalizer, raw: &'a str) -> Self {
        Self { raw, normalizer, plain: OnceCell::new() }
    }

    fn plain(&self) -> &str {
        self.plain.get_or_init(|| self.normalizer.apply(self.raw))
    }
}

/// One metric.
pub(crate) struct Definition {
    /// Its name in pipeline files, and the column of its scores.
    pub name: &'static str,
    /// Its heading in the table of arms.
    pub heading: &'static str,
    /// What it is, for `pipe kinds` and the schema.
    pub doc: &'static str,
    /// Where it is from: a paper, or the program whose numbers it gives.
    pub reference: &'static str,
    /// What exactly is computed; `{norm}` stands for the normaliser's name.
    pub signature: &'static str,
    /// What it takes for words.
    pub words: Words,
    /// The score, in `0..=1`, of a prediction against one reference; of several references the best counts.
    pub score: fn(prediction: &Text<'_>, reference: &Text<'_>) -> f64,
}

/// What a metric takes for words; it is blind to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    /// Runs of ASCII letters and digits.
    Ascii,
    /// What white space separates, once a text is normalised.
    Spaced,
    /// It compares no words, or such of any script.
    Any,
}

fn share(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// All metrics, in the order in which they are listed.
pub(crate) const DEFINITIONS: &[Definition] = &[
    Definition {
        name: "token_f1",
        heading: "F1",
        doc: "F1 over the multiset of words, as in SQuAD 1.1.",
        reference: "Rajpurkar et al. 2016 (SQuAD, arXiv:1606.05250), `evaluate-v1.1.py`",
        signature: "token_f1|norm:{norm}|tok:whitespace|refs:max|v1",
        words: Words::Spaced,
        score: |prediction, reference| f1_of_normalized(prediction.plain(), reference.plain()),
    },
    Definition {
        name: "rouge_l",
        heading: "ROUGE-L",
        doc: "F of the longest common subsequence of words, unstemmed.",
        reference: "Lin 2004 (aclanthology.org/W04-1013); Google's `rouge_score` 0.1.2, with its own normalisation",
        signature: "rougeL_f|tok:[a-z0-9]+|stem:none|refs:max|v1",
        words: Words::Ascii,
        score: |prediction, reference| RougeL::new(false).f(prediction.raw, reference.raw),
    },
    Definition {
        name: "rouge_l_stemmed",
        heading: "ROUGE-L stemmed",
        doc: "The same with NLTK's Porter stemmer, as `rouge_score` with `use_stemmer`.",
        reference: "Lin 2004 (aclanthology.org/W04-1013); Google's `rouge_score` 0.1.2 with `use_stemmer`",
        signature: "rougeL_f|tok:[a-z0-9]+|stem:porter-nltk,len>3|refs:max|v1",
        words: Words::Ascii,
        score: |prediction, reference| RougeL::new(true).f(prediction.raw, reference.raw),
    },
    Definition {
        name: "rouge_l_unicode",
        heading: "ROUGE-L Unicode",
        doc: "ROUGE-L over the words of any script: runs of letters and digits, and of scripts that put no space \
              between words (Chinese, Japanese, Thai) every character. Of texts in ASCII it is `rouge_l`.",
        reference: "Lin 2004 (aclanthology.org/W04-1013); Google's `rouge_score` 0.1.2 with such a tokenizer",
        signature: "rougeL_f|tok:unicode,unspaced by character|stem:none|refs:max|v1",
        words: Words::Any,
        score: |prediction, reference| RougeL::unicode().f(prediction.raw, reference.raw),
    },
    Definition {
        name: "exact_match",
        heading: "exact match",
        doc: "Equality after normalisation.",
        reference: "Rajpurkar et al. 2016 (SQuAD, arXiv:1606.05250), `evaluate-v1.1.py`",
        signature: "exact_match|norm:{norm}|refs:max|v1",
        words: Words::Any,
        score: |prediction, reference| share(prediction.plain() == reference.plain()),
    },
    Definition {
        name: "contains",
        heading: "contains",
        doc: "Whether the reference's words stand in the answer one after the other, or the answer's in the reference.",
        reference: "pipe's own, for answers that are sentences and references that are names",
        signature: "contains|norm:{norm}|tok:whitespace|dir:either|refs:max|v1",
        words: Words::Spaced,
        score: |prediction, reference| {
            let (prediction, reference) = (prediction.plain(), reference.plain());
            share(find_words(prediction, reference).is_some() || find_words(reference, prediction).is_some())
        },
    },
    Definition {
        name: "token_f1_any_piece",
        heading: "F1 any piece",
        doc: "Token F1 against the best piece of a reference split at \", \", as the BoX benchmark's script has it. A \
              list answer scores full \
              marks for one entity: only for comparison with published numbers.",
        reference: "Parmar et al. 2022 (In-BoXBART, arXiv:2204.07600), its script for the benchmark BoX",
        signature: "token_f1|norm:{norm}|tok:whitespace|refs:split(\", \"),max|v1",
        words: Words::Spaced,
        score: |prediction, reference| {
            let piece = |piece| f1_of_normalized(prediction.plain(), &reference.normalizer.apply(piece));
            reference.raw.split(", ").map(piece).fold(0.0, f64::max)
        },
    },
    Definition {
        name: "set_f1",
        heading: "set F1",
        doc: "F1 over the members of two lists, each once: what stands between commas, semicolons, line breaks, \
              bullets and the word `and`. For answers that list entities.",
        reference: "scikit-learn's `f1_score(average=\"samples\")` over the members; splitting is pipe's own",
        signature: "set_f1|norm:{norm}|split:, ; newline bullet and &|refs:max|v1",
        words: Words::Any,
        score: |prediction, reference| common(prediction, reference).f1(),
    },
    Definition {
        name: "set_precision",
        heading: "set precision",
        doc: "Of the members of the answer's list, the share that the reference has; lists as in `set_f1`.",
        reference: "scikit-learn's `precision_score(average=\"samples\")` over the members; splitting is pipe's own",
        signature: "set_precision|norm:{norm}|split:, ; newline bullet and &|refs:max|v1",
        words: Words::Any,
        score: |prediction, reference| common(prediction, reference).precision(),
    },
    Definition {
        name: "set_recall",
        heading: "set recall",
        doc: "Of the members of the reference's list, the share that the answer has; lists as in `set_f1`.",
        reference: "scikit-learn's `recall_score(average=\"samples\")` over the members; splitting is pipe's own",
        signature: "set_recall|norm:{norm}|split:, ; newline bullet and &|refs:max|v1",
        words: Words::Any,
        score: |prediction, reference| common(prediction, reference).recall(),
    },
    Definition {
        name: "numeric_match",
        heading: "numeric match",
        doc: "Whether every number of the reference stands in the answer, by value: `1,000` is `1000.0`, and `50 %` \
              both 50 and 0.5. A reference without a number scores 0. With `extract`, only what was extracted is \
              looked at.",
        reference: "pipe's own; numbers as Unicode CLDR writes English ones (Babel's `parse_decimal`)",
        signature: "numeric_match|numbers:en,groups of 3,%:as written or /100|tol:rel 1e-6|refs:max|v1",
        words: Words::Any,
        score: |prediction, reference| share(numbers::all_found(prediction.raw, reference.raw)),
    },
    Definition {
        name: "numeric_f1",
        heading: "numeric F1",
        doc: "F1 over the numbers of answer and reference, each once, compared as in `numeric_match`: further numbers \
              in the answer cost precision.",
        reference: "pipe's own; numbers as Unicode CLDR writes English ones (Babel's `parse_decimal`)",
        signature: "numeric_f1|numbers:en,groups of 3,%:as written or /100|tol:rel 1e-6|refs:max|v1",
        words: Words::Any,
        score: |prediction, reference| numbers::f1(prediction.raw, reference.raw),
    },
];

fn common(prediction: &Text<'_>, reference: &Text<'_>) -> Common {
    Common::of(prediction.normalizer, prediction.raw, reference.raw)
}

#[cfg(test)]
mod tests {
    use crate::{Metric, Normalizer};

    fn score(metric: &str, prediction: &str, references: &[&str]) -> f64 {
        Metric::named(metric).unwrap().score(Normalizer::Squad, prediction, references)
    }

    #[test]
    fn the_best_reference_counts() {
        assert_eq!(score("exact_match", "The Liver.", &["kidney", "liver"]), 1.0);
        assert_eq!(score("token_f1", "liver and kidney", &["kidney", "spleen"]), 0.5);
        assert_eq!(score("token_f1", "x", &[]), 0.0);
        assert_eq!(score("token_f1", "aspirin", &["heparin, aspirin"]), 2.0 / 3.0);
        assert_eq!(score("token_f1_any_piece", "aspirin", &["heparin, aspirin"]), 1.0);
    }

    #[test]
    fn token_f1_is_over_the_multiset() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        close(score("token_f1", "heart heart", &["heart"]), 2.0 / 3.0);
        close(score("token_f1", "the liver and kidney", &["Liver"]), 0.5);
        // As in SQuAD 1.1, two empty answers score 0: their overlap is empty.
        close(score("token_f1", "", &[""]), 0.0);
        close(score("token_f1", "x", &["y"]), 0.0);
        close(score("token_f1", "Beta blockers!", &["beta blockers"]), 1.0);
    }

    #[test]
    fn values_are_found_inside_answers_and_the_other_way_round() {
        let contains = |prediction: &str, reference: &str| score("contains", prediction, &[reference]);
        assert_eq!(contains("It is the bone scan.", "Bone scan"), 1.0);
        assert_eq!(contains("sweat test", "Summary states sweat test."), 1.0);
        assert_eq!(contains("I know", "no"), 0.0, "whole words");
        assert_eq!(contains("bone or scan", "bone scan"), 0.0, "one after the other");
        assert_eq!(contains("", "bone"), 0.0, "nothing is in everything");
        assert_eq!(contains("bone", "the"), 0.0);
    }
}

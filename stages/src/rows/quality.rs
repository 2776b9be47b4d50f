//! What a written text shows of itself: whether it goes in circles, keeps to its sources, is in the language that was
//! wanted, and where its last whole sentence ends. Measures for filters; each says where its formula is from.

use std::{borrow::Cow, collections::HashSet};

use pipe_metrics::content_words;
use pipe_text::written_words;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;
use whatlang::Lang;

/// So many words in a row make a run.
const RUN: usize = 4;

/// The share of a text's runs of four words that stood in it before, in `0..=1`: `seq-rep-4` of Welleck et al. 2019
/// (arXiv:1908.04319). Of fewer than four words it is 0. White space separates words; of scripts that put none between
/// them every character is one.
pub(crate) fn repetition(text: &str) -> f64 {
    let words: Vec<&str> = written_words(text).collect();
    let runs = words.windows(RUN).len();
    if runs == 0 {
        return 0.0;
    }
    let different: HashSet<&[&str]> = words.windows(RUN).collect();
    1.0 - different.len() as f64 / runs as f64
}

/// The share of a text's different words of content that stand in one of the sources, in `0..=1`; of a text without
/// words it is 0.
pub(crate) fn supported<'a>(text: &str, sources: impl IntoIterator<Item = &'a str>) -> f64 {
    let words: HashSet<String> = content_words(text).into_iter().collect();
    if words.is_empty() {
        return 0.0;
    }
    let known: HashSet<String> = sources.into_iter().flat_map(content_words).collect();
    words.iter().filter(|word| known.contains(*word)).count() as f64 / words.len() as f64
}

/// A text up to the end of its last whole sentence or line, for one that was cut off (sentences as in Unicode's annex
/// 29); `None` where it has none. A text that happens to end with its sentence stays as it is.
pub(crate) fn whole_sentences(text: &str) -> Option<&str> {
    let text = text.trim_end();
    let ends = |part: &str| {
        let closed = part.trim_end().trim_end_matches(['"', '\'', ')', ']', '»', '”', '’', '*', '_']);
        closed.ends_with(['.', '!', '?', '…', '。', '！', '？', '؟', '।']) && !is_abbreviated(closed)
    };
    let mut kept = text;
    loop {
        let (start, last) = kept.split_sentence_bound_indices().last()?;
        // A line break ends headings and the items of lists, which have no full stop.
        let mut behind = text[kept.len()..].chars().take_while(|c| c.is_whitespace());
        let broken = behind.any(|c| matches!(c, '\n' | '\r'));
        if broken || ends(last) {
            return Some(kept);
        }
        kept = kept[..start].trim_end();
        if kept.is_empty() {
            return None;
        }
    }
}

/// Whether the full stop at a text's end belongs to its last word: an initial (`J.`), a title in front of a name, the
/// number of an item that is still to come.
fn is_abbreviated(sentence: &str) -> bool {
    let Some(text) = sentence.strip_suffix('.') else { return false };
    let last = text.split_whitespace().next_back().unwrap_or_default();
    let word = last.trim_start_matches(|c: char| !c.is_alphanumeric());
    let part = word.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let initial = part.chars().count() == 1 && part.chars().all(char::is_uppercase);
    let item = !word.is_empty() && text.trim() == last && word.chars().all(|c| c.is_ascii_digit());
    let abbreviations = ["Dr", "Mr", "Mrs", "Ms", "Prof", "St", "vs", "e.g", "i.e", "Fig", "No", "approx"];
    initial || item || abbreviations.contains(&word)
}

/// A language, by its code of three letters (ISO 639-3: `eng`, `deu`, `cmn`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language(Lang);

impl TryFrom<String> for Language {
    type Error = String;

    fn try_from(code: String) -> Result<Self, String> {
        Lang::from_code(&code).map(Self).ok_or_else(|| {
            let known: Vec<&str> = Lang::all().iter().map(Lang::code).collect();
            format!("`{code}` is no language that is told apart here; these are: {}", known.join(", "))
        })
    }
}

impl From<Language> for String {
    fn from(Language(lang): Language) -> Self {
        lang.code().to_owned()
    }
}

impl JsonSchema for Language {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Language".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let codes: Vec<&str> = Lang::all().iter().map(Lang::code).collect();
        json_schema!({ "type": "string", "enum": codes })
    }
}

/// Whether a text is surely in another language than these. Of short texts hardly anything is sure, and they pass.
pub(crate) fn is_foreign(text: &str, wanted: &[Language]) -> bool {
    let found = whatlang::detect(text).filter(whatlang::Info::is_reliable);
    found.is_some_and(|info| !wanted.contains(&Language(info.lang())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_is_the_share_of_runs_seen_before() {
        assert_eq!(repetition("a b c"), 0.0);
        assert_eq!(repetition("a b c d e f"), 0.0);
        // Runs: abcd bcda cdab dabc abcd: four of five are new.
        assert!((repetition("a b c d a b c d") - 0.2).abs() < 1e-12);
        assert!(repetition(&"it is a gene. ".repeat(20)) > 0.9);
        assert!(repetition(&"东京是日本的首都。".repeat(20)) > 0.9);
        assert_eq!(repetition("东京是日本的首都。"), 0.0);
    }

    #[test]
    fn support_is_the_share_of_words_that_the_sources_have() {
        let sources = ["Mutations in the FLNA gene cause it.", "It is rare."];
        assert_eq!(supported("FLNA mutations", sources), 1.0);
        assert_eq!(supported("The BRCA1 gene", sources), 0.5);
        assert_eq!((supported("", sources), supported("gene", [])), (0.0, 0.0));
    }

    #[test]
    fn what_was_cut_off_ends_with_its_last_sentence() {
        for (text, expect) in [
            ("One is here. Two is he", Some("One is here.")),
            ("One is here. Two is here.", Some("One is here. Two is here.")),
            ("He said \"no.\" Then he we", Some("He said \"no.\"")),
            ("It affects 1.5 of 100,000 peo", None),
            ("It was found by Dr. Smith in the", None),
            ("It was found by J. Smith. He", Some("It was found by J. Smith.")),
            ("- one\n- two\n- t", Some("- one\n- two")),
            ("これは本。あれは", Some("これは本。")),
            ("It has forms, e.g. Marfan syn", None),
            ("It is rare. It has forms (e.g.", Some("It is rare.")),
            ("1. Rest.\n2. Water.\n3.", Some("1. Rest.\n2. Water.")),
            ("It was found in 1990. It w", Some("It was found in 1990.")),
            ("no end at all", None),
            ("", None),
        ] {
            assert_eq!(whole_sentences(text), expect, "{text:?}");
        }
    }

    #[test]
    fn languages_are_told_apart_where_that_is_sure() {
        let english = [Language(Lang::Eng)];
        assert!(!is_foreign("The mutation changes one amino acid in the protein that the gene encodes.", &english));
        assert!(is_foreign("Die Mutation verändert eine Aminosäure des Proteins, für das das Gen steht.", &english));
        assert!(!is_foreign("BRCA1", &english));
        assert!(Language::try_from("xx".to_owned()).unwrap_err().contains("eng"));
    }
}

//! Which attempts are kept: the filters of Self-Instruct and Alpaca. Whether one is kept depends on earlier ones alone.

use std::collections::HashSet;

use pipe_engine::kind::ParamProblem;
use pipe_metrics::RougeIndex;
use pipe_text::written_words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    outcome::{
        BAD_BEGINNING, DUPLICATE, EXCLUDED, FORBIDDEN_WORD, KEPT, NEAR_DUPLICATE, NOT_IN_PASSAGES, OTHER_LANGUAGE,
        REPETITIVE, TOO_FEW_WORDS, TOO_MANY_WORDS, TRUNCATED, UNPARSED,
    },
    parse::parse,
};
use crate::{
    prompts::Passage,
    rows::{
        completed::{NOT_FINITE, REFUSED, TOO_LONG, UNRENDERED, is_cut, unanswered},
        quality::{self, Language},
        seeds::Seed,
        words::{normalised, words},
    },
};

/// What is dropped, in this order; refused and truncated texts, texts without an instruction and attempts whose prompt
/// did not fit into the model's context always are.
///
/// The defaults are Self-Instruct's and Alpaca's. Short, formulaic instructions are all within 0.7 of each other in
/// ROUGE-L: raise the threshold or switch it off (`rouge_l: null`) for them, and look at the yield.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InstructionFilters {
    /// Drop instructions of fewer words; in scripts without spaces between words (Chinese, Japanese, Thai) every
    /// character is one.
    pub min_words: usize,
    /// Drop instructions of more words.
    pub max_words: usize,
    /// Drop inputs of more words; no limit when left out.
    pub max_input_words: Option<usize>,
    /// Drop instructions that begin with punctuation or a non-ASCII character.
    pub first_character: bool,
    /// Drop instructions that begin so.
    pub forbidden_beginnings: Vec<String>,
    /// Drop instructions that hold one of these words or phrases, whatever the case: things that a language model
    /// cannot see or make. `graph` and `plot` are legitimate in some domains.
    pub forbidden_words: Vec<String>,
    /// Drop instructions that, with their input, equal a seed or an earlier row up to case, white space and final
    /// `.?!:;,`.
    pub duplicates: bool,
    /// Drop instructions whose ROUGE-L F with a seed or a kept row, over words of any script and without stemming, is
    /// above this; null is off.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rouge_l: Option<f64>,
    /// Drop instructions whose ROUGE-L F with one of the input `exclude` is above this; null drops only equal ones.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub exclude_rouge_l: Option<f64>,
    /// Drop instructions of whose runs of four words more than this share stood there before; off when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_repetition: Option<f64>,
    /// Drop instructions of whose words of content a smaller share stands in the document shown (`documents`); off when
    /// left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_in_passages: Option<f64>,
    /// Drop instructions that are surely in another language than these (ISO 639-3: `[eng]`); off when left out. Short
    /// ones pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub languages: Option<Vec<Language>>,
}

impl Default for InstructionFilters {
    fn default() -> Self {
        let list = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect();
        Self {
            min_words: 4,
            max_words: 150,
            max_input_words: None,
            first_character: true,
            forbidden_beginnings: list(&["Write a program"]),
            forbidden_words: list(&[
                "image",
                "images",
                "graph",
                "graphs",
                "picture",
                "pictures",
                "file",
                "files",
                "map",
                "maps",
                "draw",
                "plot",
                "go to",
                "video",
                "audio",
                "music",
                "flowchart",
                "diagram",
            ]),
            duplicates: true,
            rouge_l: Some(0.7),
            exclude_rouge_l: None,
            max_repetition: None,
            min_in_passages: None,
            languages: None,
        }
    }
}

impl InstructionFilters {
    /// All outcomes that there can be, in the order in which the filters stand.
    pub(crate) fn outcomes(&self) -> Vec<&'static str> {
        let mut outcomes = vec![UNRENDERED, REFUSED, TOO_LONG, NOT_FINITE, TRUNCATED, UNPARSED, TOO_FEW_WORDS];
        outcomes.extend([TOO_MANY_WORDS, BAD_BEGINNING, FORBIDDEN_WORD]);
        // What nobody asked for is no line of the table: it was not there before there were such filters.
        outcomes.extend(self.max_repetition.map(|_| REPETITIVE));
        outcomes.extend(self.min_in_passages.map(|_| NOT_IN_PASSAGES));
        outcomes.extend(self.languages.as_ref().map(|_| OTHER_LANGUAGE));
        outcomes.extend([EXCLUDED, DUPLICATE, NEAR_DUPLICATE, KEPT]);
        outcomes
    }

    /// Settings that make no sense. `pointer` is where the filters stand in the parameters.
    pub fn problems(&self, pointer: &str) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        let mut problem = |name: &str, message: &str, help: &str| {
            problems.push(ParamProblem {
                pointer: format!("{pointer}/{name}"),
                message: message.to_owned(),
                help: Some(help.to_owned()),
            });
        };
        if self.min_words > self.max_words {
            problem("min_words", "no instruction can be that long and that short", "it must not exceed `max_words`");
        }
        if self.languages.as_ref().is_some_and(Vec::is_empty) {
            problem("languages", "no language is named", "name one, such as `[eng]`, or leave it out");
        }
        if self.forbidden_words.iter().any(|w| words(w).is_empty()) {
            problem("forbidden_words", "an entry holds no word", "leave it out");
        }
        problems
    }
}

/// The filters with what they have seen.
pub(crate) struct Filter {
    settings: InstructionFilters,
    /// Forbidden words and phrases, as words.
    forbidden: Vec<Vec<String>>,
    beginnings: Vec<String>,
    seen: HashSet<String>,
    near: Option<RougeIndex>,
    excluded: HashSet<String>,
    near_excluded: Option<RougeIndex>,
}

/// Instruction and input as one text to compare.
fn whole(instruction: &str, input: &str) -> String {
    format!("{}\n{}", normalised(instruction), normalised(input))
}

impl Filter {
    /// Filters that know the seeds and what is to be kept out.
    pub(crate) fn new(settings: &InstructionFilters, seeds: &[Seed], excluded: &[(String, String)]) -> Self {
        let index = |threshold: f64, of: &mut dyn Iterator<Item = &str>| {
            let mut index = RougeIndex::new(threshold);
            of.for_each(|instruction| index.insert(instruction));
            index
        };
        let mut seeded = seeds.iter().map(|seed| &*seed.instruction);
        let mut asked = excluded.iter().map(|(instruction, _)| &**instruction);
        Self {
            near: settings.rouge_l.map(|threshold| index(threshold, &mut seeded)),
            near_excluded: settings.exclude_rouge_l.map(|threshold| index(threshold, &mut asked)),
            forbidden: settings.forbidden_words.iter().map(|w| words(w)).collect(),
            beginnings: settings.forbidden_beginnings.iter().map(|b| normalised(b)).collect(),
            seen: seeds.iter().map(|seed| whole(&seed.instruction, &seed.input)).collect(),
            excluded: excluded.iter().map(|(instruction, input)| whole(instruction, input)).collect(),
            settings: settings.clone(),
        }
    }

    /// The instruction and input of a text that ended for the reason `finish`, or the outcome under which it is
    /// dropped; `passages` are what the attempt showed. What is kept is remembered.
    pub(crate) fn judge(
        &mut self,
        text: &str,
        finish: &str,
        passages: &[Passage],
    ) -> Result<(String, String), &'static str> {
        if let Some(outcome) = unanswered(finish) {
            return Err(outcome);
        }
        if is_cut(finish) {
            return Err(TRUNCATED);
        }
        let (instruction, input) = parse(text).ok_or(UNPARSED)?;
        let settings = &self.settings;
        let length = written_words(&instruction).count();
        if length < settings.min_words {
            return Err(TOO_FEW_WORDS);
        }
        let input_words = written_words(&input).count();
        if length > settings.max_words || settings.max_input_words.is_some_and(|max| input_words > max) {
            return Err(TOO_MANY_WORDS);
        }
        let first = instruction.chars().next().unwrap_or(' ');
        if settings.first_character && (!first.is_ascii() || first.is_ascii_punctuation()) {
            return Err(BAD_BEGINNING);
        }
        let plain = normalised(&instruction);
        if self.beginnings.iter().any(|beginning| plain.starts_with(&**beginning)) {
            return Err(BAD_BEGINNING);
        }
        let in_it = words(&instruction);
        let holds = |phrase: &Vec<String>| in_it.windows(phrase.len()).any(|window| window == &phrase[..]);
        if self.forbidden.iter().any(holds) {
            return Err(FORBIDDEN_WORD);
        }
        if settings.max_repetition.is_some_and(|most| quality::repetition(&instruction) > most) {
            return Err(REPETITIVE);
        }
        let sources = || passages.iter().map(|passage| &*passage.text);
        if settings.min_in_passages.is_some_and(|least| quality::supported(&instruction, sources()) < least) {
            return Err(NOT_IN_PASSAGES);
        }
        if settings.languages.as_ref().is_some_and(|wanted| quality::is_foreign(&instruction, wanted)) {
            return Err(OTHER_LANGUAGE);
        }
        let whole = whole(&instruction, &input);
        let repeats = |index: &mut RougeIndex| index.find(&instruction).is_some();
        if self.excluded.contains(&whole) || self.near_excluded.as_mut().is_some_and(repeats) {
            return Err(EXCLUDED);
        }
        if settings.duplicates && self.seen.contains(&whole) {
            return Err(DUPLICATE);
        }
        if self.near.as_mut().is_some_and(|index| index.insert_unless_found(&instruction).is_some()) {
            return Err(NEAR_DUPLICATE);
        }
        self.seen.insert(whole);
        Ok((instruction, input))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(instruction: &str) -> Seed {
        Seed {
            id: "s".into(),
            instruction: instruction.into(),
            input: String::new(),
            output: String::new(),
            passages: Vec::new(),
        }
    }

    /// What becomes of texts, one after the other.
    fn outcomes(settings: &InstructionFilters, texts: &[&str]) -> Vec<&'static str> {
        let excluded = [("Which exam question is this one?".to_owned(), String::new())];
        let mut filter = Filter::new(settings, &[seed("What does the liver make at night?")], &excluded);
        texts.iter().map(|text| filter.judge(text, "stop", &[]).err().unwrap_or(KEPT)).collect()
    }

    #[test]
    fn the_defaults_are_those_of_self_instruct() {
        let long = "word ".repeat(151);
        let cases = [
            (" Name two causes of anaemia.", KEPT),
            ("", UNPARSED),
            ("Only three words", TOO_FEW_WORDS),
            (&long, TOO_MANY_WORDS),
            ("- Name one more cause.", BAD_BEGINNING),
            ("Über die Leber schreibe etwas.", BAD_BEGINNING),
            ("write a Program that sorts numbers.", BAD_BEGINNING),
            ("Describe the image of a cell.", FORBIDDEN_WORD),
            ("Please go to the doctor and report.", FORBIDDEN_WORD),
            ("Describe how imagery helps against pain.", KEPT),
            ("which exam question is this one", EXCLUDED),
            ("what does the  LIVER make at night", DUPLICATE),
            ("What does the liver make at midnight?", NEAR_DUPLICATE),
            ("Name two causes of anaemia.\nInput: in children", NEAR_DUPLICATE),
            ("Name two causes of anaemia", DUPLICATE),
        ];
        let texts: Vec<&str> = cases.iter().map(|(text, _)| *text).collect();
        let found = outcomes(&InstructionFilters::default(), &texts);
        for ((text, expected), found) in cases.iter().zip(found) {
            assert_eq!(found, *expected, "{text:?}");
        }
    }

    #[test]
    fn every_filter_can_be_switched_off() {
        let off = InstructionFilters {
            min_words: 0,
            max_words: usize::MAX,
            max_input_words: None,
            first_character: false,
            forbidden_beginnings: Vec::new(),
            forbidden_words: Vec::new(),
            duplicates: false,
            rouge_l: None,
            exclude_rouge_l: None,
            ..InstructionFilters::default()
        };
        let texts = ["x", "- x", "Write a program.", "Describe the image.", "x", "What does the liver make at night?"];
        assert_eq!(outcomes(&off, &texts), [KEPT; 6]);
        let inputs = InstructionFilters { max_input_words: Some(2), ..off.clone() };
        assert_eq!(outcomes(&inputs, &["x\nInput: one two", "y\nInput: one two three"]), [KEPT, TOO_MANY_WORDS]);
        // A duplicate with another input is another task.
        let exact = InstructionFilters { duplicates: true, ..off.clone() };
        assert_eq!(
            outcomes(&exact, &["x y", "X  y.", "x y\nInput: z", "x y\nInput: z"]),
            [KEPT, DUPLICATE, KEPT, DUPLICATE]
        );
        let near = InstructionFilters { exclude_rouge_l: Some(0.6), ..off };
        assert_eq!(
            outcomes(&near, &["Which exam question is that one?", "Which liver question is it?"]),
            [EXCLUDED, KEPT]
        );
    }

    #[test]
    fn near_duplicates_are_told_in_any_script() {
        let any = InstructionFilters { first_character: false, ..InstructionFilters::default() };
        let cases = [
            ("Какой гормон вырабатывает поджелудочная железа? (GDP)", KEPT),
            ("Назовите три причины малокровия у детей. (GDP)", KEPT),
            ("Какой гормон вырабатывает щитовидная железа? (GDP)", NEAR_DUPLICATE),
            ("肝脏在夜里产生什么？", KEPT),
            ("肝脏在夜里会产生什么？", NEAR_DUPLICATE),
            ("贫血的原因有哪些？", KEPT),
            ("肝？", TOO_FEW_WORDS),
        ];
        let texts: Vec<&str> = cases.iter().map(|(text, _)| *text).collect();
        assert_eq!(outcomes(&any, &texts), cases.map(|(_, outcome)| outcome));
    }

    #[test]
    fn truncated_and_refused_texts_are_dropped_whatever_they_say() {
        let mut filter = Filter::new(&InstructionFilters::default(), &[], &[]);
        for finish in ["length", "context"] {
            assert_eq!(filter.judge("Name two causes of anaemia.", finish, &[]), Err(TRUNCATED));
        }
        assert_eq!(filter.judge("Name two causes of anaemia.", "refused", &[]), Err("refused"));
        assert_eq!(filter.judge("its prompt has 99 tokens", "too_long", &[]), Err("too_long"));
        assert_eq!(filter.judge("the model's logits", "not_finite", &[]), Err("not_finite"));
        assert!(filter.judge("Name two causes of anaemia.", "eos", &[]).is_ok());
    }

    #[test]
    fn what_is_kept_depends_on_earlier_texts_alone() {
        let texts: Vec<String> = (0..300).map(|i| format!("Name {} causes of disease {}.", i % 7, i % 23)).collect();
        let texts: Vec<&str> = texts.iter().map(|t| &**t).collect();
        let all = outcomes(&InstructionFilters::default(), &texts);
        assert!(all.contains(&KEPT) && all.contains(&NEAR_DUPLICATE));
        assert_eq!(outcomes(&InstructionFilters::default(), &texts[..100]), all[..100]);
    }
}

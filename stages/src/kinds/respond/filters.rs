//! Which answers are kept. Whether one is depends on its own row alone, but for duplicates.

use arrow::array::RecordBatch;
use pipe_engine::kind::{ParamProblem, StageError};
use pipe_metrics::RougeL;
use pipe_text::written_words;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{
    prompts::Passage,
    rows::{
        columns,
        completed::{self, NO_INSTRUCTION, NOT_FINITE, REFUSED, TOO_LONG, UNRENDERED, is_cut},
        quality::{self, Language},
        words::normalised,
        yields::KEPT,
    },
};

/// What is dropped; rows without an answer always are: those without an instruction, those on which the template fails
/// or the model computes what is not a number, and those that are refused or do not fit into the model's context.
///
/// To answer nothing that the corpus knows nothing of, and pay for no answer that is dropped, filter the rows before
/// (`select` with `filter: passages and passages[0].score > 8`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResponseFilters {
    /// What becomes of answers cut off by `max_new_tokens` or the model's context.
    pub truncated: Truncated,
    /// Drop answers without a word.
    pub empty: bool,
    /// Drop answers that repeat the input or the instruction, up to case, white space and final `.?!:;,`.
    pub echo: bool,
    /// Drop answers whose ROUGE-L F with the instruction, over words of any script, is above this; off when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub echo_rouge_l: Option<f64>,
    /// Drop answers of fewer words; in scripts without spaces between words (Chinese, Japanese, Thai) every character
    /// is one.
    pub min_words: usize,
    /// Drop answers of more words; no limit when left out.
    pub max_words: Option<usize>,
    /// Drop answers of whose runs of four words more than this share stood there before; off when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_repetition: Option<f64>,
    /// Drop rows whose best passage has a lower score, or that have none; off when left out. Scores of BM25 have no
    /// upper end; look at some first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_passage_score: Option<f64>,
    /// Drop rows of whose question's words of content a smaller share stands in the passages shown: questions about
    /// what the corpus does not know. Off when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_question_in_passages: Option<f64>,
    /// Drop answers of whose words of content a smaller share stands in the passages shown: answers made up. Off when
    /// left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_answer_in_passages: Option<f64>,
    /// Drop answers that are surely in another language than these (ISO 639-3: `[eng]`); off when left out. Short
    /// answers pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub languages: Option<Vec<Language>>,
    /// Drop rows whose instruction, input and answer are those of an earlier kept row, up to case, white space and
    /// final `.?!:;,`.
    pub duplicates: bool,
}

/// What becomes of answers that were cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Truncated {
    /// They are dropped.
    #[default]
    Drop,
    /// They are kept as they are.
    Keep,
    /// They are cut back to their last whole sentence or line; one that has none is dropped.
    Trim,
}

/// As it is written: a boolean, as it was when there were two ways, or a word.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Drops(bool),
    Word(String),
}

impl Serialize for Truncated {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match self {
            Self::Drop => Written::Drops(true),
            Self::Keep => Written::Drops(false),
            Self::Trim => Written::Word("trim".to_owned()),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Truncated {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Drops(drops) => Ok(if drops { Self::Drop } else { Self::Keep }),
            Written::Word(word) => match &*word {
                "drop" => Ok(Self::Drop),
                "keep" => Ok(Self::Keep),
                "trim" => Ok(Self::Trim),
                other => Err(serde::de::Error::unknown_variant(other, &["drop", "keep", "trim"])),
            },
        }
    }
}

impl JsonSchema for Truncated {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Truncated".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`drop` (or true), `keep` (or false), or `trim`: cut back to the last whole sentence.",
            "anyOf": [{ "type": "boolean" }, { "type": "string", "enum": ["drop", "keep", "trim"] }],
        })
    }
}

impl Default for ResponseFilters {
    fn default() -> Self {
        Self {
            truncated: Truncated::Drop,
            empty: true,
            echo: true,
            echo_rouge_l: None,
            min_words: 0,
            max_words: None,
            max_repetition: None,
            min_passage_score: None,
            min_question_in_passages: None,
            min_answer_in_passages: None,
            languages: None,
            duplicates: false,
        }
    }
}

const REPETITIVE: &str = "repetitive";
const LOW_PASSAGE_SCORE: &str = "low_passage_score";
const QUESTION_NOT_IN_PASSAGES: &str = "question_not_in_passages";
const ANSWER_NOT_IN_PASSAGES: &str = "answer_not_in_passages";
const OTHER_LANGUAGE: &str = "other_language";

/// A row as the filters see it.
pub(super) struct Answered<'a> {
    pub instruction: &'a str,
    pub input: &'a str,
    pub output: &'a str,
    pub finish: &'a str,
    /// Those shown, best first, with their scores.
    pub passages: &'a [Passage],
}

impl ResponseFilters {
    /// Settings that make no sense. `pointer` is where the filters stand in the parameters.
    pub(super) fn problems(&self, pointer: &str) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        let mut problem = |name: &str, message: &str, help: &str| {
            problems.push(ParamProblem {
                pointer: format!("{pointer}/{name}"),
                message: message.to_owned(),
                help: Some(help.to_owned()),
            });
        };
        if self.max_words.is_some_and(|max| max < self.min_words) {
            problem("min_words", "no answer can be that long and that short", "it must not exceed `max_words`");
        }
        if self.languages.as_ref().is_some_and(Vec::is_empty) {
            problem("languages", "no language is named", "name one, such as `[eng]`, or leave it out");
        }
        problems
    }

    /// All outcomes that there can be, in the order in which the filters stand.
    pub(super) fn outcomes(&self) -> Vec<&'static str> {
        let mut outcomes = vec![NO_INSTRUCTION, UNRENDERED, REFUSED, TOO_LONG, NOT_FINITE];
        // What nobody asked for is no line of the table: it was not there before there were such filters.
        let asked = |name, asked: bool| asked.then_some(name);
        outcomes.extend(asked(LOW_PASSAGE_SCORE, self.min_passage_score.is_some()));
        outcomes.extend(asked(QUESTION_NOT_IN_PASSAGES, self.min_question_in_passages.is_some()));
        outcomes.extend(["truncated", "empty", "echo", "too_few_words", "too_many_words"]);
        outcomes.extend(asked(REPETITIVE, self.max_repetition.is_some()));
        outcomes.extend(asked(ANSWER_NOT_IN_PASSAGES, self.min_answer_in_passages.is_some()));
        outcomes.extend(asked(OTHER_LANGUAGE, self.languages.is_some()));
        outcomes.extend(["duplicate", KEPT]);
        outcomes
    }

    /// What is kept of an answer that was cut off or not; `None` where nothing is.
    pub(super) fn shortened<'a>(&self, output: &'a str, finish: &str) -> Option<&'a str> {
        match self.truncated {
            _ if !is_cut(finish) => Some(output),
            Truncated::Drop => None,
            Truncated::Keep => Some(output),
            Truncated::Trim => quality::whole_sentences(output),
        }
    }

    /// Whether they are about the passages that a row was shown.
    pub(super) fn look_at_passages(&self) -> bool {
        [self.min_passage_score, self.min_question_in_passages, self.min_answer_in_passages].iter().any(Option::is_some)
    }

    /// Refuses passages without scores where answers are kept by them.
    ///
    /// # Errors
    /// `min_passage_score` is given, and no passage has a score.
    pub(super) fn check_scores(&self, rows: &RecordBatch) -> Result<(), StageError> {
        let (mut without, mut all) = (0, 0);
        for (unscored, passages) in columns::unscored(rows) {
            (without, all) = (without + unscored, all + passages);
        }
        if self.min_passage_score.is_none() || all == 0 || without < all {
            return Ok(());
        }
        Err(StageError::user_help(
            "`filters.min_passage_score` goes by the scores of passages, and those of the input `instructions` have \
             none",
            "connect rows that went through a `retrieve` stage (documents that `generate` shows are not found by a \
             score), or leave the filter out",
        ))
    }

    /// What becomes of one answer, whatever the others are, and what is kept of its text.
    pub(super) fn judge<'a>(&self, row: &Answered<'a>) -> (&'static str, &'a str) {
        if let Some(outcome) = completed::unanswered(row.finish) {
            return (outcome, row.output);
        }
        let Some(output) = self.shortened(row.output, row.finish) else { return ("truncated", row.output) };
        let words = written_words(output).count();
        // Nothing but punctuation is left empty, and repeats no empty input.
        let plain = normalised(output);
        let same = || [row.input, row.instruction].map(normalised).contains(&plain);
        let near = |most: f64| RougeL::unicode().f(output, row.instruction) > most;
        let passages = || row.passages.iter().map(|passage| &*passage.text);
        let question = [row.instruction, row.input].join(" ");
        let outcome = if self
            .min_passage_score
            .is_some_and(|least| row.passages.first().is_none_or(|p| p.score < least))
        {
            LOW_PASSAGE_SCORE
        } else if self.min_question_in_passages.is_some_and(|least| quality::supported(&question, passages()) < least) {
            QUESTION_NOT_IN_PASSAGES
        } else if self.empty && words == 0 {
            "empty"
        } else if (self.echo && !plain.is_empty() && same()) || self.echo_rouge_l.is_some_and(near) {
            "echo"
        } else if words < self.min_words {
            "too_few_words"
        } else if self.max_words.is_some_and(|max| words > max) {
            "too_many_words"
        } else if self.max_repetition.is_some_and(|most| quality::repetition(output) > most) {
            REPETITIVE
        } else if self.min_answer_in_passages.is_some_and(|least| quality::supported(output, passages()) < least) {
            ANSWER_NOT_IN_PASSAGES
        } else if self.languages.as_ref().is_some_and(|wanted| quality::is_foreign(output, wanted)) {
            OTHER_LANGUAGE
        } else {
            KEPT
        };
        (outcome, output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(score: f64) -> Passage {
        Passage { id: "p".into(), text: "Mutations in the FLNA gene cause Melnick-Needles syndrome.".into(), score }
    }

    fn outcome(filters: serde_json::Value, instruction: &str, output: &str, passages: &[Passage]) -> &'static str {
        let filters: ResponseFilters = serde_json::from_value(filters).unwrap();
        let row = Answered { instruction, input: "", output, finish: "eos", passages };
        let (outcome, _) = filters.judge(&row);
        assert!(filters.outcomes().contains(&outcome), "{outcome}");
        outcome
    }

    #[test]
    fn each_filter_drops_what_it_is_for_and_nothing_else() {
        let fine = "Mutations in the FLNA gene cause it.";
        let asked = "What causes Melnick-Needles syndrome?";
        let (known, unknown) = ([passage(9.0)], "Is Charcot culture disease inherited?");
        let circles = "It is a gene. ".repeat(9);
        for (filters, instruction, output, expect) in [
            (serde_json::json!({ "max_repetition": 0.5 }), asked, &*circles, REPETITIVE),
            (serde_json::json!({ "echo_rouge_l": 0.8 }), asked, "What causes the Melnick-Needles syndrome", "echo"),
            (serde_json::json!({ "min_passage_score": 9.5 }), asked, fine, LOW_PASSAGE_SCORE),
            (serde_json::json!({ "min_question_in_passages": 0.6 }), unknown, fine, QUESTION_NOT_IN_PASSAGES),
            (
                serde_json::json!({ "min_answer_in_passages": 0.6 }),
                asked,
                "A virus of bats is to blame.",
                ANSWER_NOT_IN_PASSAGES,
            ),
            (
                serde_json::json!({ "languages": ["eng"] }),
                asked,
                "Mutationen des Gens verursachen diese seltene und früh beginnende Krankheit.",
                OTHER_LANGUAGE,
            ),
        ] {
            assert_eq!(outcome(filters.clone(), instruction, output, &known), expect, "{filters}");
            assert_eq!(outcome(filters.clone(), asked, fine, &[passage(10.0)]), "kept", "{filters}");
            assert_eq!(outcome(serde_json::json!({}), instruction, output, &known), "kept", "{filters} is off");
        }
        assert_eq!(outcome(serde_json::json!({ "min_passage_score": 0.0 }), asked, fine, &[]), LOW_PASSAGE_SCORE);
        // Words are those of any script.
        let (asked, echoed) = ("肝脏在夜里产生什么？", "肝脏在夜里会产生什么");
        assert_eq!(outcome(serde_json::json!({ "echo_rouge_l": 0.8 }), asked, echoed, &[]), "echo");
        assert_eq!(outcome(serde_json::json!({ "min_words": 4 }), asked, "胆汁，在夜里", &[]), "kept");
        assert_eq!(outcome(serde_json::json!({ "min_words": 4 }), asked, "胆汁", &[]), "too_few_words");
    }

    #[test]
    fn what_was_cut_off_is_dropped_kept_or_cut_back() {
        let judged = |truncated: &str, output: &'static str| {
            let filters: ResponseFilters =
                serde_json::from_value(serde_json::json!({ "truncated": truncated })).unwrap();
            filters.judge(&Answered { instruction: "?", input: "", output, finish: "length", passages: &[] })
        };
        assert_eq!(judged("drop", "One. Tw"), ("truncated", "One. Tw"));
        assert_eq!(judged("keep", "One. Tw"), ("kept", "One. Tw"));
        assert_eq!(judged("trim", "One. Tw"), ("kept", "One."));
        assert_eq!(judged("trim", "One tw"), ("truncated", "One tw"));
    }

    #[test]
    fn the_old_booleans_and_the_words_are_one_thing_and_keys_do_not_move() {
        let read = |value: serde_json::Value| serde_json::from_value::<ResponseFilters>(value).unwrap();
        assert_eq!(read(serde_json::json!({ "truncated": true })), read(serde_json::json!({ "truncated": "drop" })));
        assert_eq!(read(serde_json::json!({ "truncated": false })), read(serde_json::json!({ "truncated": "keep" })));
        let written = serde_json::json!({
            "truncated": true, "empty": true, "echo": true, "min_words": 0, "max_words": null, "duplicates": false,
        });
        assert_eq!(serde_json::to_value(ResponseFilters::default()).unwrap(), written);
        let error = serde_json::from_value::<ResponseFilters>(serde_json::json!({ "truncated": "cut" })).unwrap_err();
        assert!(error.to_string().contains("trim"), "{error}");
    }
}

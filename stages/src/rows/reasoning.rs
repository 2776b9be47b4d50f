//! What a model thinks aloud before it answers, taken apart from the answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How thoughts are told from answers. They are kept in a column of their own, `reasoning`, where there are any, and
/// neither scored nor trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Reasoning {
    /// By name.
    Rule(Rule),
    /// By pairs of an opening and a closing mark, such as `[["<think>", "</think>"]]`.
    Marks(Vec<[String; 2]>),
}

/// A way to tell thoughts from answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// By the marks of the models that there are: `<think>` (R1, Qwen3), `[THINK]` (Magistral), `<seed:think>`,
    /// `<|begin_of_thought|>` and others.
    Known,
    /// Not at all: texts stay as they are.
    Off,
}

/// The marks of models: R1, Qwen3, QwQ, GLM and others; Magistral; Seed-OSS; Sky-T1 and OpenThinker; Kimi; gpt-oss; and
/// what models that were only prompted to think write.
const KNOWN: [[&str; 2]; 9] = [
    ["<think>", "</think>"],
    ["<thinking>", "</thinking>"],
    ["<thought>", "</thought>"],
    ["<reasoning>", "</reasoning>"],
    ["[THINK]", "[/THINK]"],
    ["<seed:think>", "</seed:think>"],
    ["<|begin_of_thought|>", "<|end_of_thought|>"],
    ["◁think▷", "◁/think▷"],
    ["<|channel|>analysis<|message|>", "<|channel|>final<|message|>"],
];

/// Stands in front of thoughts that a server told apart, and behind them. A private-use character, which no text holds
/// by accident; where one does, it is left out.
const APART: char = '\u{f8f2}';

/// An answer with the thoughts that a server told apart, as one text that [`Reasoning::split`] takes apart whatever the
/// parameter says.
pub(crate) fn joined(thoughts: &str, answer: &str) -> String {
    format!("{APART}{}{APART}{}", thoughts.replace(APART, "").trim(), answer.replace(APART, "").trim())
}

impl Default for Reasoning {
    fn default() -> Self {
        Self::Rule(Rule::Known)
    }
}

impl Reasoning {
    /// Whether it is what is done where nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// A mark that marks nothing.
    pub fn problem(&self) -> Option<&'static str> {
        match self {
            Self::Marks(pairs) if pairs.iter().flatten().any(|mark| mark.trim().is_empty()) => Some("a mark is empty"),
            Self::Marks(_) | Self::Rule(_) => None,
        }
    }

    /// The thoughts in a text, and the answer, both without white space at their ends.
    ///
    /// What stands in front of the last closing mark is thought, whether its opening mark is there or was in the prompt
    /// already; a thought that was never closed is all there is, and no answer.
    pub fn split<'t>(&self, text: &'t str) -> (Option<&'t str>, &'t str) {
        let told = text.trim().strip_prefix(APART);
        let Some((thoughts, answer)) = told.and_then(|whole| whole.split_once(APART)) else {
            return self.split_by_marks(text);
        };
        // Marks are left in what such a server calls the answer only where it does not know them.
        let (_, answer) = self.split_by_marks(answer);
        (Some(thoughts.trim()), answer)
    }

    fn split_by_marks<'t>(&self, text: &'t str) -> (Option<&'t str>, &'t str) {
        let found = match self {
            Self::Rule(Rule::Off) => None,
            Self::Rule(Rule::Known) => KNOWN.iter().find_map(|[open, close]| split_at(text, open, close)),
            Self::Marks(pairs) => pairs.iter().find_map(|[open, close]| split_at(text, open, close)),
        };
        found.map_or((None, text.trim()), |(thoughts, answer)| (Some(thoughts), answer))
    }
}

fn split_at<'t>(text: &'t str, open: &str, close: &str) -> Option<(&'t str, &'t str)> {
    let text = text.trim();
    let inside = text.strip_prefix(open);
    match text.rsplit_once(close) {
        Some((thoughts, answer)) => {
            Some((thoughts.trim().strip_prefix(open).unwrap_or(thoughts).trim(), answer.trim()))
        }
        None => inside.map(|thoughts| (thoughts.trim(), "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/golden/make_peers.py`: what lm-evaluation-harness 0.4.9.2 scores when it is told the closing mark. Where
    /// nothing was closed it scores the whole text; here a text that begins with a thought has then no answer.
    #[test]
    fn what_is_scored_is_what_the_harness_scores() {
        let golden: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/peers.json")).unwrap();
        let cases = golden["reasoning"].as_array().unwrap();
        let mut thoughtful = 0;
        for case in cases {
            let of = |key: &str| case[key].as_str().unwrap();
            let (thoughts, answer) = Reasoning::default().split(of("text"));
            if of("text").starts_with('<') && !of("text").contains(of("end")) {
                assert_eq!((of("scored"), answer), (of("text"), ""), "{case}");
                continue;
            }
            assert_eq!(answer, of("scored"), "{case}");
            assert_eq!(thoughts.is_some(), of("text").contains(of("end")), "{case}");
            thoughtful += usize::from(thoughts.is_some());
        }
        assert!(thoughtful > 8 && cases.len() > thoughtful);
    }

    #[test]
    fn thoughts_are_taken_apart_from_answers() {
        let known = Reasoning::default();
        for (text, thoughts, answer) in [
            ("gold", None, "gold"),
            ("<think>\nIt is gold.\n</think>\n\ngold", Some("It is gold."), "gold"),
            // Qwen3 when told not to think.
            ("<think>\n\n</think>\n\ngold", Some(""), "gold"),
            // R1's template opens the thought in the prompt.
            ("It is gold.\n</think>\n\ngold", Some("It is gold."), "gold"),
            ("<think>It is", Some("It is"), ""),
            ("<think>a</think>b<think>c</think>d", Some("a</think>b<think>c"), "d"),
            ("[THINK]Gold?[/THINK]gold", Some("Gold?"), "gold"),
            ("◁think▷x◁/think▷ gold", Some("x"), "gold"),
            ("<|begin_of_thought|>x<|end_of_thought|>gold", Some("x"), "gold"),
            ("<seed:think>x</seed:think>gold", Some("x"), "gold"),
            ("I think <b>gold</b>", None, "I think <b>gold</b>"),
            ("The tag <think> opens a thought", None, "The tag <think> opens a thought"),
        ] {
            assert_eq!(known.split(text), (thoughts, answer), "{text:?}");
        }
    }

    #[test]
    fn what_a_server_told_apart_stays_apart() {
        let off = Reasoning::Rule(Rule::Off);
        let whole = joined(" It shines.\nSo \u{f8f2}do stars. ", " gold ");
        for rule in [&Reasoning::default(), &off, &Reasoning::Marks(vec![["{".into(), "}".into()]])] {
            assert_eq!(rule.split(&whole), (Some("It shines.\nSo do stars."), "gold"));
            assert_eq!(rule.split(joined("It", "").trim()), (Some("It"), ""), "all tokens went into the thought");
        }
        assert_eq!(off.split(&joined("a", "<think>b</think>c")), (Some("a"), "<think>b</think>c"));
        assert_eq!(Reasoning::default().split(&joined("a", "<think>b</think>c")), (Some("a"), "c"));
        assert_eq!(off.split("\u{f8f2}"), (None, "\u{f8f2}"), "nothing stands behind it");
    }

    #[test]
    fn marks_can_be_given_and_taking_apart_can_be_off() {
        let text = "<think>x</think>gold";
        assert_eq!(Reasoning::Rule(Rule::Off).split(text), (None, text));
        let own: Reasoning = serde_json::from_value(serde_json::json!([["{", "}"], ["Thought:", "Answer:"]])).unwrap();
        assert_eq!(own.split("Thought: x Answer: gold"), (Some("x"), "gold"));
        assert_eq!(own.split(text), (None, text));
        assert_eq!(own.problem(), None);
        assert_eq!(Reasoning::Marks(vec![["<a>".into(), " ".into()]]).problem(), Some("a mark is empty"));
        let off: Reasoning = serde_json::from_value("off".into()).unwrap();
        assert_eq!((off, Reasoning::default().is_default()), (Reasoning::Rule(Rule::Off), true));
    }
}

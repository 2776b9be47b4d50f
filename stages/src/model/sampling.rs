//! The parameters of every kind that has a model write: how it samples, and when a text ends.

use std::marker::PhantomData;

use pipe_engine::kind::ParamProblem;
use pipe_lm::generate::SamplingParams;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Work;
use crate::rows::reasoning::Reasoning;

/// What a kind does where its pipeline says nothing.
pub trait SamplingDefaults {
    /// Softmax temperature.
    const TEMPERATURE: f64;
    /// Probability of the tokens that are sampled from.
    const TOP_P: f64;
    /// Most tokens of a text.
    const MAX_NEW_TOKENS: usize;
}

/// A part of a kind's parameters, to be flattened into them; `K` is the kind.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(bound = "")]
pub struct Sampling<K: SamplingDefaults> {
    /// Softmax temperature; 0 takes the most likely token each time.
    #[serde(default = "temperature::<K>")]
    #[schemars(range(min = 0.0))]
    pub temperature: f64,
    /// Sample from the most likely tokens that together have this probability; 1 is off.
    #[serde(default = "top_p::<K>")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: f64,
    /// Sample from this many most likely tokens; 0 is off.
    #[serde(default)]
    pub top_k: usize,
    /// Drop tokens less likely than this fraction of the most likely one; 0 is off.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_p: f64,
    /// Divides the logits of tokens seen before; 1 is off.
    #[serde(default = "one")]
    pub repetition_penalty: f64,
    /// Most tokens of a text. One that reaches it is cut off.
    #[serde(default = "max_new_tokens::<K>")]
    #[schemars(range(min = 1))]
    pub max_new_tokens: usize,
    /// Strings that end a text; those of the template when left out.
    #[serde(default)]
    pub stop: Option<Vec<String>>,
    /// Which of the many samples, where the temperature is above 0 or the kind draws something else.
    #[serde(default)]
    pub seed: u64,
    /// Texts that are written at once.
    #[serde(default = "slots")]
    #[schemars(range(min = 1), extend("x-operational" = true))]
    pub slots: usize,
    /// How thoughts in front of an answer are taken apart from it: `known`, `off`, or pairs of marks such as
    /// `[["<think>", "</think>"]]`.
    #[serde(default, skip_serializing_if = "Reasoning::is_default")]
    pub reasoning: Reasoning,
    /// Fail where more than this share of the rows has no answer: there was no instruction, the template failed, the
    /// prompt did not fit into the model's context, the model or its server refused, or computed what is not a number.
    /// Fewer are counted, and said. What a filter drops does not count.
    #[serde(default = "half", skip_serializing_if = "is_half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_refused: f64,
    #[serde(skip)]
    kind: PhantomData<K>,
}

fn temperature<K: SamplingDefaults>() -> f64 {
    K::TEMPERATURE
}

fn top_p<K: SamplingDefaults>() -> f64 {
    K::TOP_P
}

fn max_new_tokens<K: SamplingDefaults>() -> usize {
    K::MAX_NEW_TOKENS
}

fn one() -> f64 {
    1.0
}

fn half() -> f64 {
    0.5
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde wants")]
#[expect(clippy::float_cmp, reason = "the default is exactly this number")]
fn is_half(share: &f64) -> bool {
    *share == half()
}

fn slots() -> usize {
    64
}

impl<K: SamplingDefaults> Sampling<K> {
    /// What it asks of memory.
    pub(crate) fn work(&self) -> Work {
        Work::Rows { slots: self.slots, max_new_tokens: self.max_new_tokens }
    }

    /// What a backend is told. `seed` is the recipe's digest, of which the parameter of that name is a part.
    pub fn params(&self, stop: Vec<String>, seed: [u8; 32]) -> SamplingParams {
        SamplingParams {
            temperature: self.temperature as f32,
            top_p: self.top_p as f32,
            top_k: self.top_k,
            min_p: self.min_p as f32,
            repetition_penalty: self.repetition_penalty as f32,
            max_new_tokens: self.max_new_tokens,
            stop,
            seed,
            ..SamplingParams::default()
        }
    }

    /// What no backend can do.
    pub fn problems(&self) -> impl Iterator<Item = ParamProblem> {
        let problem =
            |parameter: &str, message: String| ParamProblem { pointer: format!("/{parameter}"), message, help: None };
        let sampling = self.params(self.stop.clone().unwrap_or_default(), [0; 32]).problem();
        let sampling = sampling.map(|bad| problem(bad.parameter, bad.to_string()));
        let marks = self.reasoning.problem().map(|message| problem("reasoning", message.to_owned()));
        sampling.into_iter().chain(marks)
    }
}

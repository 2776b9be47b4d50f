//! What a `generate` stage is told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Generate, filter::InstructionFilters};
use crate::{
    model::{ModelRef, WeightForm, sampling::Sampling},
    prompts::{ChatDate, Purpose, TemplateRef, template_variables},
};

/// Writes new instructions with a base model that is shown a few seeds at a time (Self-Instruct, arXiv:2212.10560;
/// Self-Specialization, arXiv:2310.00160).
///
/// An attempt shows `num_demonstrations` seeds, drawn at random, and the model continues the list with one more
/// instruction and, where seeds have one, its input. Attempts run through the filters in order until `count` rows are
/// kept. Attempt i depends on the parameters, the seeds and i alone, and what is kept of it on earlier attempts: the
/// first 1,000 of 20,000 rows are those of `count: 1000`, and a larger `count` adds only what is missing.
///
/// With `documents` an attempt shows a document beside the seeds, and asks for an instruction about it: what is asked
/// is then what the corpus can answer. The row carries the document (`passages`), so that `respond` can go on from it
/// without a `retrieve` in between. Seeds that have passages of their own (`retrieve` for them) are shown with these:
/// small models need to see how an instruction comes from a passage. Every document is shown once before any is shown
/// twice, in a fixed random order.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = WeightForm::with_old_name)]
pub struct GenerateParams {
    /// The model that writes. Its content is part of the key, its place is not.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub model: Option<ModelRef>,
    /// The form in which the model's weights are kept in memory: another form takes less room, and gives other texts.
    #[serde(
        default,
        rename(serialize = "quantization"),
        alias = "quantization",
        skip_serializing_if = "WeightForm::is_default"
    )]
    pub weights: WeightForm,
    /// How many instructions are wanted.
    #[schemars(range(min = 1))]
    pub count: u64,
    /// Seeds shown per attempt; all of them where there are fewer.
    #[serde(default = "three")]
    #[schemars(range(min = 1))]
    pub num_demonstrations: usize,
    /// Words shown of the document of an attempt, and of a seed's passage, from the beginning; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_passage_words: Option<usize>,
    /// The prompt: plain, alpaca, chat, qa, or a file. Its text is part of the key.
    #[serde(default)]
    #[schemars(extend("x-operational" = true, "x-variables" = template_variables(Purpose::Generate)))]
    pub template: TemplateRef,
    /// The date that the model's chat template may print (`strftime_now`), such as 2025-01-31. It is never the clock's:
    /// 2024-07-26 when left out, as Llama 3's template has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_date: Option<ChatDate>,
    /// What the instructions are about, for templates that say so.
    #[serde(default)]
    pub domain: String,
    /// How the instruction is sampled. An attempt that reaches `max_new_tokens` is dropped.
    #[serde(flatten)]
    pub sampling: Sampling<Generate>,
    /// What is dropped.
    #[serde(default)]
    pub filters: InstructionFilters,
    /// Give up after so many attempts.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub max_attempts: Option<u64>,
    /// Give up when so many attempts in succession kept nothing.
    #[serde(default = "patience")]
    #[schemars(range(min = 1), extend("x-operational" = true))]
    pub patience: u64,
}

fn three() -> usize {
    3
}

fn patience() -> u64 {
    2000
}

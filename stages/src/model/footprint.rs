//! How much memory a stage takes, before it runs, and how much of it may be in flight.

use pipe_engine::{context::StageContext, kind::Memory};
use pipe_lm::{
    footprint::{adapter_values, cache_bytes_per_token, generation_bytes, training_bytes, weight_bytes},
    generate::GeneratorOptions,
};

use super::{Seen, WeightForm};

/// What the program takes without a model, in bytes.
const PROGRAM: u64 = 64 << 20;
/// Tokens of a prompt, and of a row that is trained on, where nothing is known of them.
const ROW_TOKENS: u64 = 256;

/// What a stage does with its model.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// Rows are in flight: how many, and how many tokens each may get beside its prompt.
    Rows { slots: usize, max_new_tokens: usize },
    /// Steps of rows; `rank` of a LoRA adapter, none of a training of all weights.
    Training { rows: usize, tokens: Option<usize>, checkpointing: bool, rank: Option<usize> },
    /// It is read, and written again.
    Reading,
}

/// Bytes of a model's weights in memory.
fn weights(seen: &Seen, form: WeightForm) -> u64 {
    if let (WeightForm::F32 | WeightForm::W8A8, Some(file)) = (form, seen.gguf_bytes) {
        return file;
    }
    let (matrix, ends) = form.bytes_per_value();
    weight_bytes(&seen.config, matrix, ends)
}

/// What a stage takes. The least is what is known, with one row in flight; the most supposes rows of 256 tokens where
/// lengths are not known.
pub(crate) fn estimate(seen: &Seen, form: WeightForm, work: Work) -> Memory {
    let (config, context) = (&seen.config, seen.config.max_position_embeddings as u64);
    let weights = weights(seen, form);
    let beside = |bytes: u64| PROGRAM + weights + bytes;
    match work {
        // A matrix at a time, in f32, and what it becomes: the largest is the embedding.
        Work::Reading => {
            let largest = 8 * (config.vocab_size * config.hidden_size) as u64;
            Memory { least: PROGRAM + largest, most: PROGRAM + largest, weights: 0 }
        }
        Work::Rows { slots, max_new_tokens } => {
            let options = GeneratorOptions::default();
            let rows = |slots: u64| {
                let tokens = (ROW_TOKENS + max_new_tokens as u64).min(context);
                let cache = (slots * tokens * cache_bytes_per_token(config)).min(options.max_cache_bytes as u64);
                cache + generation_bytes(config, slots + options.prompt_tokens_per_step as u64, slots)
            };
            Memory { least: beside(rows(1)), most: beside(rows(slots as u64)), weights }
        }
        Work::Training { rows, tokens, checkpointing, rank } => {
            // The value, its gradient, and two moments of AdamW.
            let trained = match rank {
                Some(rank) => 16 * adapter_values(config, rank as u64),
                None => 12 * weight_bytes(config, 1.0, 1.0),
            };
            let tokens = tokens.map_or(ROW_TOKENS, |most| ROW_TOKENS.min(most as u64)).min(context);
            let step = training_bytes(config, rows as u64 * tokens, checkpointing);
            Memory { least: beside(trained), most: beside(trained + step), weights }
        }
    }
}

/// How much a stage may have in flight. What it computes does not depend on it.
#[derive(Debug, Clone, Copy)]
pub struct InFlight {
    /// Rows at once.
    pub slots: usize,
    /// Bytes for everything, where memory is counted.
    pub memory: Option<u64>,
}

impl InFlight {
    /// So many rows, within what the stage was given.
    pub(crate) fn of(cx: &StageContext, slots: usize) -> Self {
        Self { slots, memory: cx.memory() }
    }

    /// What is left for keys and values beside the model.
    pub(super) fn options(self, seen: &Seen, form: WeightForm) -> GeneratorOptions {
        let options = GeneratorOptions { slots: self.slots, ..GeneratorOptions::default() };
        let Some(memory) = self.memory else { return options };
        let step =
            generation_bytes(&seen.config, (self.slots + options.prompt_tokens_per_step) as u64, self.slots as u64);
        let left = memory.saturating_sub(PROGRAM + weights(seen, form) + step);
        GeneratorOptions { max_cache_bytes: options.max_cache_bytes.min(left as usize), ..options }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::BaseModel;

    fn nano() -> Arc<Seen> {
        let dir = pipe_lm::origin::LocalModel::Carried(crate::builtin::model("builtin:nano").unwrap());
        BaseModel::look(&dir).unwrap()
    }

    #[test]
    fn less_memory_means_fewer_keys_and_values() {
        let seen = nano();
        let free = InFlight { slots: 8, memory: None }.options(&seen, WeightForm::F32).max_cache_bytes;
        let most = estimate(&seen, WeightForm::F32, Work::Rows { slots: 8, max_new_tokens: 64 });
        let tight = InFlight { slots: 8, memory: Some(most.most) }.options(&seen, WeightForm::F32).max_cache_bytes;
        assert!(tight < free && tight > 0, "{tight} of {free}");
        let none = InFlight { slots: 8, memory: Some(1) }.options(&seen, WeightForm::F32).max_cache_bytes;
        assert_eq!(none, 0, "one row at a time");
    }

    #[test]
    fn forms_and_steps_are_told_apart() {
        let seen = nano();
        let of = |form| estimate(&seen, form, Work::Rows { slots: 1, max_new_tokens: 1 }).weights;
        assert!(of(WeightForm::F32) > of(WeightForm::Bf16) && of(WeightForm::Bf16) > of(WeightForm::Q8_0));
        let train = |checkpointing, rank| {
            estimate(&seen, WeightForm::F32, Work::Training { rows: 8, tokens: None, checkpointing, rank }).most
        };
        assert!(train(false, Some(8)) > train(true, Some(8)) && train(true, None) > train(true, Some(8)));
    }
}

//! What parameters and columns are called elsewhere, so that a wrong name is answered with the right one, or with the
//! reason why there is nothing of the kind.
//!
//! Names are those of transformers 4.57 (`TrainingArguments`, `GenerationConfig`, `BitsAndBytesConfig`), PEFT 0.21
//! (`LoraConfig`), TRL 0.24 (`SFTConfig`, `ModelConfig`), axolotl, LLaMA-Factory, vLLM's and OpenAI's sampling
//! parameters, llama.cpp and lm-evaluation-harness. Ours are tried in order; the first that the kind has is proposed,
//! with the value that was given.

mod columns;
mod data;
mod training;
mod values;
mod writing;

pub(crate) use columns::called_elsewhere;
use pipe_engine::kind::Synonym;

/// All of them.
pub(crate) const NAMES: &[Synonym] = &joined();

const fn also(theirs: &'static [&'static str], ours: &'static [&'static str]) -> Synonym {
    Synonym { theirs, ours, values: &[], because: "" }
}

/// A name that means nearly the same.
const fn nearly(theirs: &'static [&'static str], ours: &'static [&'static str], because: &'static str) -> Synonym {
    Synonym { theirs, ours, values: &[], because }
}

/// A name some of whose values are told in another way here.
const fn valued(
    theirs: &'static [&'static str],
    ours: &'static [&'static str],
    values: &'static [(&'static str, &'static str)],
) -> Synonym {
    Synonym { theirs, ours, values, because: "" }
}

/// A name of which there is nothing here.
const fn absent(theirs: &'static [&'static str], because: &'static str) -> Synonym {
    Synonym { theirs, ours: &[], values: &[], because }
}

/// The parts, in order of precedence.
const PARTS: [&[Synonym]; 4] = [training::NAMES, writing::NAMES, data::NAMES, values::NAMES];

const COUNT: usize = PARTS[0].len() + PARTS[1].len() + PARTS[2].len() + PARTS[3].len();

const fn joined() -> [Synonym; COUNT] {
    let mut all = [absent(&[], ""); COUNT];
    let (mut at, mut part) = (0, 0);
    while part < PARTS.len() {
        let mut i = 0;
        while i < PARTS[part].len() {
            all[at] = PARTS[part][i];
            i += 1;
            at += 1;
        }
        part += 1;
    }
    all
}

#[cfg(test)]
mod tests;

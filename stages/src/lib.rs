//! The stage kinds that ship with pipe, one file each, and the registry that lists them.

pub mod builtin;
pub mod check;
mod comparison;
mod elsewhere;
#[cfg(test)]
mod golden;
pub mod model;
pub mod programs;
pub mod prompts;
pub mod results;
mod rows;
pub mod tabular;

use pipe_engine::kind::Registry;
pub use pipe_metrics as metrics;

/// Declares the files in `kinds/`, and registers the kinds in them.
macro_rules! kinds {
    ($($file:ident::$kind:ident,)*) => {
        /// Stage kinds, one file or folder each, and nothing else: what two of them share stands in `rows` or `model`.
        pub mod kinds {
            $(pub mod $file;)*
        }

        /// All kinds, each with the example beside its file.
        pub fn registry() -> Registry {
            Registry::default()
                $(.with(kinds::$file::$kind).showing(include_str!(concat!("kinds/", stringify!($file), ".yaml"))))*
                .knowing(elsewhere::NAMES)
        }

        /// What each of them makes of little.
        #[cfg(test)]
        const GOLDENS: &[golden::Golden] = &[$(kinds::$file::GOLDEN),*];
    };
}

// A line for each kind, in the order in which `pipe kinds` lists them: its file, and its name there.
kinds! {
    table::Table,
    select::Select,
    seed_subset::SeedSubset,
    generate::Generate,
    index::Index,
    embed::Embed,
    retrieve::Retrieve,
    respond::Respond,
    train::Train,
    evaluate::Evaluate,
    score::Score,
    evaluate_retrieval::EvaluateRetrieval,
    contamination::Contamination,
    compare::Compare,
    report::Report,
    export::Export,
    pretrain::Pretrain,
    embedded_world::EmbeddedWorld,
    embedded_texts::EmbeddedTexts,
    command::Command,
}

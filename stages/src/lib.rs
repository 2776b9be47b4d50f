//! The stage kinds that ship with pipe, one file each, and the registry that lists them.

mod elsewhere;
pub mod model;
pub mod programs;
pub mod prompts;
mod rows;
pub mod tabular;

/// Stage kinds, one file or folder each, and nothing else: what two of them share stands in `rows` or `model`.
pub mod kinds {
    pub mod command;
    pub mod embedded_texts;
    pub mod embedded_world;
    pub mod evaluate;
    pub mod export;
    pub mod generate;
    pub mod pretrain;
    pub mod respond;
    pub mod retrieve;
    pub mod seed_subset;
    pub mod table;
    pub mod train;
}

use pipe_engine::kind::Registry;

/// All kinds, in the order in which `pipe kinds` lists them.
pub fn registry() -> Registry {
    Registry::default()
        .with(kinds::table::Table)
        .with(kinds::seed_subset::SeedSubset)
        .with(kinds::generate::Generate)
        .with(kinds::retrieve::Retrieve)
        .with(kinds::respond::Respond)
        .with(kinds::train::Train)
        .with(kinds::evaluate::Evaluate)
        .with(kinds::export::Export)
        .with(kinds::pretrain::Pretrain)
        .with(kinds::embedded_world::EmbeddedWorld)
        .with(kinds::embedded_texts::EmbeddedTexts)
        .with(kinds::command::Command)
        .knowing(elsewhere::NAMES)
}

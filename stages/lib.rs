//! The stage kinds that ship with pipe, one file each, and the registry that lists them.

mod columns;
mod completions;
pub mod model;
pub mod prompts;
pub mod tabular;
mod words;
mod yields;

/// One file per kind.
pub mod kinds {
    pub mod command;
    pub mod embedded_texts;
    pub mod embedded_world;
    pub mod evaluate;
    mod examples;
    pub mod export;
    pub mod generate;
    pub mod pretrain;
    pub mod respond;
    pub mod retrieve;
    pub mod seed_subset;
    pub mod table;
    pub mod train;
    mod training;
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
}

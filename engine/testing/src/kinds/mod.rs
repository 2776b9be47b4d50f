//! Kinds that compute: small ones, one file each, that together exercise every part of the stage interface, and note in
//! a [`Probe`] what they do.

mod concat;
mod dedup;
mod file;
mod gate;
mod lines;
mod map;
mod numbers;
mod trainer;
mod trouble;
mod upper;

use pipe_engine::kind::Registry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::probe::Probe;

/// All of them.
pub fn registry(probe: &Probe) -> Registry {
    versioned::<1>(probe)
}

/// The registry with another version of `upper`.
pub fn versioned<const V: u32>(probe: &Probe) -> Registry {
    Registry::default()
        .with(lines::Lines(probe.clone()))
        .with(file::FileLines(probe.clone()))
        .with(upper::Upper::<V>(probe.clone()))
        .with(dedup::Dedup(probe.clone()))
        .with(concat::Concat(probe.clone()))
        .with(map::Map::<1, 1>(probe.clone()))
        .with(numbers::Numbers(probe.clone()))
        .with(trouble::Trouble(probe.clone()))
        .with(gate::Gate(probe.clone()))
        .with(trainer::Trainer(probe.clone()))
}

/// The registry with other versions of `map` and of its recipe.
pub fn map_versioned<const V: u32, const R: u32>(probe: &Probe) -> Registry {
    registry(probe).with(map::Map::<V, R>(probe.clone()))
}

/// No parameters but one.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MarkParams {
    /// Put behind each row.
    #[serde(default)]
    mark: String,
}

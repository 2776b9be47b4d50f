//! A subset of a pool.

use pipe_engine::kind::{InputPort, OutputPort, PortType, Ports};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A subset of a pool.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SampleParams {
    /// How many rows to keep.
    #[schemars(range(min = 1))]
    pub count: u32,
    /// The seed.
    #[serde(default)]
    pub seed: u64,
    #[serde(default)]
    pub quality: Quality,
    /// Keep the order of the pool.
    #[serde(default)]
    pub ordered: bool,
}

/// How good the rows are.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Quality {
    #[default]
    Expert,
    Noisy,
    Shuffled,
}

kind!(Sample, "sample", SampleParams, |_| Ports {
    inputs: vec![InputPort::new("pool", PortType::Table, true)],
    outputs: vec![OutputPort::new("rows", PortType::Table)],
    ..Ports::default()
});

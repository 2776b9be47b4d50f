//! Variants against the baseline.

use pipe_engine::kind::{InputPort, OutputPort, PortType, Ports};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Variants against the baseline.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompareParams {
    /// What to compare.
    #[serde(default)]
    pub metrics: Vec<String>,
}

kind!(Compare, "compare", CompareParams, |_| Ports {
    inputs: vec![InputPort::new("scores", PortType::Table, true)],
    outputs: vec![OutputPort::new("comparison", PortType::Table)],
    ..Ports::default()
});

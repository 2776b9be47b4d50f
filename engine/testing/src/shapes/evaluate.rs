//! Scores.

use pipe_engine::kind::{InputPort, OutputPort, PortType, Ports};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Scores.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvaluateParams {
    /// The model's folder, `tiny`, or one of the hub.
    #[schemars(extend("x-path" = ["tiny", "hf:"]))]
    pub model: String,
    /// Demonstrations.
    #[serde(default)]
    pub num_fewshot: u32,
}

kind!(Evaluate, "evaluate", EvaluateParams, |_| Ports {
    inputs: vec![InputPort::new("items", PortType::Table, true), InputPort::new("adapter", PortType::Files, false)],
    outputs: vec![OutputPort::new("scores", PortType::Table)],
    ..Ports::default()
});

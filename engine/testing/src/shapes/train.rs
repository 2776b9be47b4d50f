//! An adapter from examples.

use pipe_engine::kind::{InputPort, OutputPort, PortType, Ports};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An adapter from examples.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainParams {
    /// The model's folder.
    pub model: String,
    /// The adapter.
    #[serde(default)]
    pub lora: Lora,
    /// How long to train.
    pub budget: Budget,
    /// The step size.
    #[serde(default = "learning_rate")]
    #[schemars(range(min = 0.0))]
    pub learning_rate: f64,
}

fn learning_rate() -> f64 {
    1e-4
}

/// Low-rank adapters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Lora {
    /// The rank.
    #[schemars(range(min = 1, max = 1024))]
    pub r: u32,
    /// The scale.
    pub alpha: f64,
    /// Which layers.
    pub target_modules: Vec<String>,
}

impl Default for Lora {
    fn default() -> Self {
        Self { r: 8, alpha: 16.0, target_modules: vec!["q_proj".to_owned(), "v_proj".to_owned()] }
    }
}

/// When training ends.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "unit", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Budget {
    /// After so many passes.
    Epochs {
        /// How many.
        count: u32,
    },
    /// After so many steps.
    Steps {
        /// How many.
        count: u32,
        /// How often to evaluate.
        #[serde(default)]
        every: Option<u32>,
    },
}

kind!(Train, "train", TrainParams, |_| Ports {
    inputs: vec![InputPort::new("examples", PortType::Table, true)],
    outputs: vec![OutputPort::new("adapter", PortType::Files), OutputPort::new("log", PortType::Table)],
    ..Ports::default()
});

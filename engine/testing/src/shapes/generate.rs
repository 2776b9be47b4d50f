//! New rows from a language model.

use pipe_engine::kind::{InputPort, OutputPort, ParamProblem, PortType, Ports};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// New rows from a language model.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GenerateParams {
    /// The model's folder.
    pub model: String,
    /// How many rows to make.
    #[schemars(range(min = 1))]
    pub count: u64,
    /// Sampling temperature; 0 is greedy.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: f64,
    /// Nucleus sampling.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: Option<f64>,
    /// Stop at any of these.
    #[serde(default)]
    pub stop: Vec<String>,
    /// Rows at once.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub batch_size: Option<u32>,
}

kind!(
    Generate,
    "generate",
    GenerateParams,
    |_| Ports {
        inputs: vec![
            InputPort::new("seeds", PortType::Table, true),
            InputPort::new("passages", PortType::Table, false)
        ],
        outputs: vec![OutputPort::new("rows", PortType::Table), OutputPort::new("yield", PortType::Table)],
        ..Ports::default()
    },
    check = |p| {
        let pointless = p.top_p.is_some() && p.temperature == 0.0;
        pointless
            .then(|| ParamProblem {
                pointer: "/top_p".to_owned(),
                message: "`top_p` does nothing without a `temperature`".to_owned(),
                help: Some("set `temperature`, or remove `top_p`".to_owned()),
            })
            .into_iter()
            .collect()
    }
);

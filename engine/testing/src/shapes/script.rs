//! Any program.

use pipe_engine::kind::{OutputPort, PortType, Ports};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Any program.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptParams {
    /// The program and its arguments.
    #[schemars(extend("x-words" = true, "x-folder" = true, "x-path-of" = "sources"))]
    pub argv: Vec<String>,
    /// What it reads.
    #[serde(default)]
    #[schemars(extend("x-path" = true))]
    pub sources: Vec<String>,
    /// Changes with the program.
    #[serde(default)]
    pub version: String,
}

kind!(Script, "script", ScriptParams, |_| Ports {
    open_inputs: true,
    outputs: vec![OutputPort::new("rows", PortType::Table)],
    ..Ports::default()
});

//! A page about anything.

use pipe_engine::kind::{OutputPort, PortType, Ports};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A page about anything.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportParams {
    /// The title.
    #[serde(default)]
    pub title: String,
}

kind!(Report, "report", ReportParams, |_| Ports {
    open_inputs: true,
    outputs: vec![OutputPort::new("page", PortType::Files)],
    ..Ports::default()
});

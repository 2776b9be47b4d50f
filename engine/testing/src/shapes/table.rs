//! Rows from a file.

use pipe_engine::kind::{OutputPort, PortType, Ports};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rows from a file.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableParams {
    /// The file to read.
    #[schemars(extend("x-operational" = true, "x-path" = true))]
    pub path: String,
    /// How to read it; guessed from the name by default.
    #[serde(default)]
    pub format: Option<Format>,
}

/// File formats.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// One JSON object per line.
    Jsonl,
    /// Comma-separated.
    Csv,
    /// Columns.
    Parquet,
}

kind!(Table, "table", TableParams, |_| Ports {
    outputs: vec![OutputPort::new("rows", PortType::Table)],
    ..Ports::default()
});

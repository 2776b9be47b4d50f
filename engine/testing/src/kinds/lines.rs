//! Rows from the parameters.

use pipe_engine::{
    context::StageContext,
    kind::{PortType, Ports, StageError, StageKind},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    probe::Probe,
    texts::{ports, write},
};

pub(crate) struct Lines(pub(crate) Probe);

/// Parameters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinesParams {
    /// The rows.
    lines: Vec<String>,
    /// Added to each.
    #[serde(default)]
    suffix: String,
    /// Changes nothing.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    threads: u32,
}

impl StageKind for Lines {
    type Params = LinesParams;
    const NAME: &'static str = "lines";
    const VERSION: u32 = 1;

    fn ports(&self, _: &LinesParams) -> Ports {
        ports(&[], PortType::Table)
    }

    fn run(&self, params: &LinesParams, cx: &mut StageContext) -> Result<(), StageError> {
        self.0.ran(cx);
        write(cx, &params.lines.iter().map(|l| format!("{l}{}", params.suffix)).collect::<Vec<_>>())
    }
}

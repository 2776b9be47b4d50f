//! Counts to `steps` with a checkpoint after each, and leaves a directory.

use pipe_engine::{
    context::StageContext,
    kind::{PortType, Ports, StageError, StageKind},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{probe::Probe, texts::ports};

pub(crate) struct Trainer(pub(crate) Probe);

/// Parameters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainerParams {
    /// How far to count.
    steps: u32,
}

impl StageKind for Trainer {
    type Params = TrainerParams;
    const NAME: &'static str = "trainer";
    const VERSION: u32 = 1;

    fn ports(&self, _: &TrainerParams) -> Ports {
        ports(&[], PortType::Files)
    }

    fn run(&self, params: &TrainerParams, cx: &mut StageContext) -> Result<(), StageError> {
        self.0.ran(cx);
        let io = |e| StageError::other("keep a checkpoint", e);
        let checkpoint = cx.checkpoint_dir()?.join("step");
        let begun = std::fs::read_to_string(&checkpoint).ok().and_then(|t| t.parse().ok()).unwrap_or(0);
        for step in begun..params.steps {
            self.0.spend()?;
            self.0.rows.lock().unwrap().push(format!("step {step}"));
            std::fs::write(&checkpoint, (step + 1).to_string()).map_err(io)?;
        }
        std::fs::write(cx.workdir()?.join("scratch"), "x").map_err(io)?;
        std::fs::write(cx.output_dir("out")?.join("weights"), format!("after {} steps", params.steps)).map_err(io)
    }
}

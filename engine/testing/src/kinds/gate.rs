//! Waits until the test opens the gate; counts how many run at once.

use std::{sync::atomic::Ordering, time::Duration};

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

pub(crate) struct Gate(pub(crate) Probe);

/// Parameters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GateParams {
    /// Tells stages apart.
    #[serde(default)]
    id: u32,
    /// How long to wait without a gate.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    millis: Option<u64>,
}

impl StageKind for Gate {
    type Params = GateParams;
    const NAME: &'static str = "gate";
    const VERSION: u32 = 1;

    fn ports(&self, _: &GateParams) -> Ports {
        ports(&[], PortType::Table)
    }

    fn run(&self, params: &GateParams, cx: &mut StageContext) -> Result<(), StageError> {
        self.0.ran(cx);
        let running = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_running.fetch_max(running, Ordering::SeqCst);
        cx.note("at the gate");
        if let Some(millis) = params.millis {
            std::thread::sleep(Duration::from_millis(millis));
        } else {
            let mut open = self.0.gate.0.lock().unwrap();
            while !*open {
                open = self.0.gate.1.wait_timeout(open, Duration::from_millis(5)).unwrap().0;
                cx.check_cancelled()?;
            }
        }
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        write(cx, &[format!("gate {}", params.id)])
    }
}

//! Fails in many ways.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use pipe_engine::{
    context::StageContext,
    kind::{PortType, Ports, Source, StageError, StageKind},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    probe::Probe,
    texts::{ports, write},
};

pub(crate) struct Trouble(pub(crate) Probe);

/// Parameters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TroubleParams {
    /// What to do.
    how: How,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    Fail,
    Panic,
    Flaky,
    Hang,
    Silent,
    Nothing,
    /// Changes the file `moving` while it reads it.
    Meddle,
}

impl StageKind for Trouble {
    type Params = TroubleParams;
    const NAME: &'static str = "trouble";
    const VERSION: u32 = 1;

    fn ports(&self, _: &TroubleParams) -> Ports {
        let mut ports = ports(&["in"], PortType::Table);
        ports.inputs[0].required = false;
        ports
    }

    fn sources(&self, params: &TroubleParams) -> Result<Vec<Source>, StageError> {
        Ok(match params.how {
            How::Meddle => vec![Source::Path { label: "moving".into(), path: "moving".into() }],
            _ => Vec::new(),
        })
    }

    fn run(&self, params: &TroubleParams, cx: &mut StageContext) -> Result<(), StageError> {
        self.0.ran(cx);
        match params.how {
            How::Fail => Err(StageError::user_help("row 3 has no `text`", "fill it in")),
            How::Panic => panic!("index out of bounds"),
            How::Flaky => {
                let left = self.0.failures.load(Ordering::SeqCst);
                if left > 0 {
                    self.0.failures.store(left - 1, Ordering::SeqCst);
                    return Err(StageError::transient("endpoint is busy"));
                }
                write(cx, &["ok".into()])
            }
            How::Hang => {
                while !cx.cancel_token().is_cancelled() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                cx.check_cancelled()
            }
            How::Silent => Ok(()),
            How::Nothing => write(cx, &["ok".into()]),
            How::Meddle => {
                if self.0.failures.load(Ordering::SeqCst) > 0 {
                    self.0.failures.fetch_sub(1, Ordering::SeqCst);
                    std::fs::write(cx.base_dir().join("moving"), format!("{:?}", Instant::now())).unwrap();
                }
                write(cx, &["ok".into()])
            }
        }
    }
}

//! Sorted, each row once: the stage whose output often stays the same.

use pipe_engine::{
    context::StageContext,
    kind::{PortType, Ports, StageError, StageKind},
};

use crate::{
    kinds::MarkParams,
    probe::Probe,
    texts::{ports, read, write},
};

pub(crate) struct Dedup(pub(crate) Probe);

impl StageKind for Dedup {
    type Params = MarkParams;
    const NAME: &'static str = "dedup";
    const VERSION: u32 = 1;

    fn ports(&self, _: &MarkParams) -> Ports {
        ports(&["in"], PortType::Table)
    }

    fn run(&self, params: &MarkParams, cx: &mut StageContext) -> Result<(), StageError> {
        self.0.ran(cx);
        let mut lines: Vec<String> = read(cx, "in")?.iter().map(|l| format!("{l}{}", params.mark)).collect();
        lines.sort();
        lines.dedup();
        write(cx, &lines)
    }
}

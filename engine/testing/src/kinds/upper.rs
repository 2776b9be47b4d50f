//! Upper case.

use pipe_engine::{
    context::StageContext,
    kind::{PortType, Ports, StageError, StageKind},
};

use crate::{
    kinds::MarkParams,
    probe::Probe,
    texts::{ports, read, write},
};

pub(crate) struct Upper<const V: u32>(pub(crate) Probe);

impl<const V: u32> StageKind for Upper<V> {
    type Params = MarkParams;
    const NAME: &'static str = "upper";
    const VERSION: u32 = V;

    fn ports(&self, _: &MarkParams) -> Ports {
        ports(&["in"], PortType::Table)
    }

    fn run(&self, params: &MarkParams, cx: &mut StageContext) -> Result<(), StageError> {
        self.0.ran(cx);
        write(cx, &read(cx, "in")?.iter().map(|l| l.to_uppercase() + &params.mark).collect::<Vec<_>>())
    }
}

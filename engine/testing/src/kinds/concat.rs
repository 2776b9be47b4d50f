//! All columns of `a` (which may be gathered) and `b`, as texts.

use arrow::array::ArrayRef;
use pipe_engine::{
    context::StageContext,
    kind::{PortType, Ports, StageError, StageKind},
};

use crate::{
    kinds::MarkParams,
    probe::Probe,
    texts::{ports, write},
};

pub(crate) struct Concat(pub(crate) Probe);

impl StageKind for Concat {
    type Params = MarkParams;
    const NAME: &'static str = "concat";
    const VERSION: u32 = 1;

    fn ports(&self, _: &MarkParams) -> Ports {
        let mut ports = ports(&["a", "b"], PortType::Table);
        ports.inputs[1].required = false;
        ports
    }

    fn run(&self, _: &MarkParams, cx: &mut StageContext) -> Result<(), StageError> {
        self.0.ran(cx);
        let mut lines = Vec::new();
        for table in [Some(cx.table("a")?), cx.optional_table("b")?].into_iter().flatten() {
            for batch in table.batches() {
                let batch = batch?;
                for row in 0..batch.num_rows() {
                    let cell = |c: &ArrayRef| arrow::util::display::array_value_to_string(c, row).unwrap();
                    lines.push(batch.columns().iter().map(cell).collect::<Vec<_>>().join("|"));
                }
            }
        }
        write(cx, &lines)
    }
}

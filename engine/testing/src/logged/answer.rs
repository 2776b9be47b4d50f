//! One output row per input row.

use pipe_engine::{
    context::StageContext,
    kind::{Increment, PortType, Ports, StageError, StageKind},
};

use super::{BATCH, Params, Work};
use crate::texts::{batch, ports, schema, texts};

pub(crate) struct Answer(pub(crate) Work);

impl StageKind for Answer {
    type Params = Params;
    const NAME: &'static str = "answer";
    const VERSION: u32 = 1;
    const INCREMENT: Increment = Increment::RowWise { primary: "rows" };

    fn ports(&self, _: &Params) -> Ports {
        ports(&["rows"], PortType::Table)
    }

    fn run(&self, params: &Params, cx: &mut StageContext) -> Result<(), StageError> {
        let mapped = cx.map_rows(&cx.table("rows")?, &schema(), |pending, sink| {
            for start in (0..pending.len()).step_by(BATCH) {
                cx.check_cancelled()?;
                let range = sink.begin_range(start..pending.len().min(start + BATCH));
                if range.is_empty() {
                    break;
                }
                let rows = texts(&pending.slice(range.clone())?);
                self.0.pause();
                for row in &rows {
                    self.0.note(&format!("row {} {row}", params.tag))?;
                }
                let answers = batch(rows.iter().map(|row| format!("{}({row})", params.tag)));
                sink.emit(&range.collect::<Vec<_>>(), &answers)?;
            }
            Ok(())
        })?;
        cx.write_batches("out", &schema(), &mapped.batches).map(drop)
    }
}

//! Row by row.

use std::path::PathBuf;

use pipe_engine::{
    context::StageContext,
    kind::{Increment, PortType, Ports, Source, StageError, StageKind},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    pace::{Pace, one},
    probe::Probe,
    texts::{batch, ports, schema, texts},
};

pub(crate) struct Map<const V: u32 = 1, const R: u32 = 1>(pub(crate) Probe);

/// Parameters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MapParams {
    /// Put behind each row.
    #[serde(default)]
    mark: String,
    /// Rows per call.
    #[serde(default = "one")]
    #[schemars(extend("x-operational" = true))]
    batch: usize,
    /// Emits in reverse order.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    backwards: bool,
    /// Output rows per input row.
    #[serde(default = "one")]
    times: usize,
    /// A file whose text is put behind each row, too.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    file: Option<PathBuf>,
    /// How it passes its time.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pace: Pace,
}

impl<const V: u32, const R: u32> StageKind for Map<V, R> {
    type Params = MapParams;
    const NAME: &'static str = "map";
    const VERSION: u32 = V;
    const RECIPE_VERSION: u32 = R;
    const INCREMENT: Increment = Increment::RowWise { primary: "in" };

    fn ports(&self, _: &MapParams) -> Ports {
        let mut ports = ports(&["in", "side"], PortType::Table);
        ports.inputs[1].required = false;
        ports
    }

    fn sources(&self, params: &MapParams) -> Result<Vec<Source>, StageError> {
        Ok(params.file.iter().map(|path| Source::Text { label: "file".into(), path: path.clone() }).collect())
    }

    fn run(&self, params: &MapParams, cx: &mut StageContext) -> Result<(), StageError> {
        self.0.ran(cx);
        params.pace.begin();
        let mut done = 0;
        let side = cx.optional_table("side")?.map_or(0, |t| t.num_rows());
        let file = params.file.as_ref().map(|path| std::fs::read_to_string(cx.base_dir().join(path)).unwrap());
        let mark = params.mark.clone() + &file.unwrap_or_default();
        let rows = cx.map_rows(&cx.table("in")?, &schema(), |pending, sink| {
            let mut order: Vec<usize> = (0..pending.len()).collect();
            if params.backwards {
                order.reverse();
            }
            for chunk in order.chunks(params.batch) {
                let chunk: Vec<usize> = chunk.iter().copied().filter(|&row| sink.begin(row)).collect();
                let mut out = Vec::new();
                for &row in &chunk {
                    let text = texts(&pending.slice(row..row + 1)?).remove(0);
                    cx.check_cancelled()?;
                    self.0.spend()?;
                    params.pace.row(done)?;
                    done += 1;
                    self.0.rows.lock().unwrap().push(text.clone());
                    out.extend((0..params.times).map(|_| format!("{text}{mark}/{side}")));
                }
                sink.emit_many(&chunk, &vec![params.times as u32; chunk.len()], &batch(&out))?;
            }
            Ok(())
        })?;
        cx.counter("rows_out", rows.counts.iter().map(|n| u64::from(*n)).sum());
        cx.write_batches("out", &schema(), &rows.batches).map(drop)
    }
}

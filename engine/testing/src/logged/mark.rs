//! The whole table at once, with a mark at every row.

use pipe_engine::{
    context::StageContext,
    kind::{Memory, PortType, Ports, Preview, SourceHost, StageError, StageKind},
};

use super::{Params, Work};
use crate::texts::{ports, read, write};

pub(crate) struct Mark(pub(crate) Work);

impl StageKind for Mark {
    type Params = Params;
    const NAME: &'static str = "mark";
    const VERSION: u32 = 1;

    fn ports(&self, _: &Params) -> Ports {
        ports(&["rows"], PortType::Table)
    }

    fn preview(&self, params: &Params, _: &dyn SourceHost) -> Result<Preview, StageError> {
        let memory = Memory { least: params.takes, most: params.takes, weights: 0 };
        Ok(Preview { memory: Some(memory).filter(|_| params.takes > 0), ..Preview::default() })
    }

    fn run(&self, params: &Params, cx: &mut StageContext) -> Result<(), StageError> {
        let rows = read(cx, "rows")?;
        self.0.pause();
        self.0.note(&format!("stage {}", params.tag))?;
        write(cx, &rows.into_iter().map(|row| format!("{row} {}", params.tag)).collect::<Vec<_>>())
    }
}

//! `count` attempts of which every third is kept.

use pipe_engine::{
    context::{StageContext, Wanted},
    kind::{Increment, PortType, Ports, StageError, StageKind},
};

use super::{BATCH, Params, Work};
use crate::texts::{batch, ports, schema, texts, write};

pub(crate) struct Thirds(pub(crate) Work);

impl StageKind for Thirds {
    type Params = Params;
    const NAME: &'static str = "thirds";
    const VERSION: u32 = 1;
    const INCREMENT: Increment = Increment::Stream { extent: "count" };

    fn ports(&self, _: &Params) -> Ports {
        ports(&[], PortType::Table)
    }

    fn run(&self, params: &Params, cx: &mut StageContext) -> Result<(), StageError> {
        let mut kept = Vec::new();
        let wanted = |kept: usize| Wanted { rows: params.count - kept as u64, attempts: u64::MAX };
        cx.stream(
            &schema(),
            wanted(0),
            |attempt| {
                if attempt.index.is_multiple_of(3) {
                    kept.push(texts(&attempt.batch.slice(attempt.row, 1)).remove(0));
                }
                Ok(wanted(kept.len()))
            },
            |sink| {
                loop {
                    let attempts: Vec<u64> = sink.next_attempts(BATCH)?.collect();
                    if attempts.is_empty() {
                        return Ok(());
                    }
                    self.0.pause();
                    for i in &attempts {
                        self.0.note(&format!("attempt {} {i}", params.tag))?;
                    }
                    sink.emit(&attempts, &batch(attempts.iter().map(|i| format!("{} {i}", params.tag))))?;
                }
            },
        )?;
        write(cx, &kept)
    }
}

//! A stream of numbers drawn from the recipe, of which those that repeat a last digit are left out.

use arrow::array::AsArray;
use pipe_engine::{
    context::{Attempt, StageContext, Wanted},
    kind::{Increment, PortType, Ports, StageError, StageKind},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    pace::{Pace, one},
    probe::Probe,
    texts::{batch, ports, schema, write},
};

pub(crate) struct Numbers(pub(crate) Probe);

/// Parameters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NumbersParams {
    /// How many to keep.
    count: usize,
    /// Attempts per call.
    #[serde(default = "one")]
    #[schemars(extend("x-operational" = true))]
    batch: usize,
    /// Emits each batch in reverse order.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    backwards: bool,
    /// Another sequence.
    #[serde(default)]
    seed: u64,
    /// Leaves out numbers that end so, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    without: Option<char>,
    /// How it passes its time.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pace: Pace,
}

impl StageKind for Numbers {
    type Params = NumbersParams;
    const NAME: &'static str = "numbers";
    const VERSION: u32 = 1;
    const INCREMENT: Increment = Increment::Stream { extent: "count" };
    const AFTERWARDS: &'static [&'static str] = &["without"];

    fn ports(&self, _: &NumbersParams) -> Ports {
        ports(&[], PortType::Table)
    }

    fn run(&self, params: &NumbersParams, cx: &mut StageContext) -> Result<(), StageError> {
        self.0.ran(cx);
        params.pace.begin();
        let mut done = 0;
        let wanted = |rows: usize| Wanted { rows: rows as u64, attempts: u64::MAX };
        let mut kept: Vec<String> = Vec::new();
        let fold = |attempt: Attempt<'_>| {
            let text = attempt.batch.column(0).as_string::<i32>().value(attempt.row).to_owned();
            let end = text.chars().last();
            if kept.last().is_none_or(|last| last.chars().last() != end) && end != params.without {
                kept.push(text);
            }
            Ok(wanted(params.count - kept.len()))
        };
        cx.stream(&schema(), wanted(params.count), fold, |sink| {
            loop {
                let mut attempts: Vec<u64> = sink.next_attempts(params.batch)?.collect();
                if attempts.is_empty() {
                    return Ok(());
                }
                if params.backwards {
                    attempts.reverse();
                }
                let mut out = Vec::new();
                for attempt in &attempts {
                    cx.check_cancelled()?;
                    self.0.spend()?;
                    params.pace.row(done)?;
                    done += 1;
                    self.0.rows.lock().unwrap().push(format!("{attempt:04}"));
                    let drawn = pipe_cache::Hasher::new("numbers").digest(cx.recipe()).u64(*attempt).finish();
                    out.push(format!("{attempt}:{}", drawn.as_bytes()[0] % 4));
                }
                sink.emit(&attempts, &batch(&out))?;
            }
        })?;
        write(cx, &kept)
    }
}

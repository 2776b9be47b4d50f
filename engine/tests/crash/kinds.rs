//! Kinds that take a little time and write down, outside the store, every piece of work they do.

use std::{
    fs::File,
    io::Write as _,
    path::PathBuf,
    sync::Arc,
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arrow::{
    array::{Array, AsArray, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use pipe_engine::{
    context::{StageContext, Wanted},
    kind::{Increment, InputPort, OutputPort, PortType, Ports, Registry, StageError, StageKind},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rows and attempts per batch.
const BATCH: usize = 5;

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// What all kinds share.
#[derive(Clone)]
struct Work {
    journal: PathBuf,
    pause: Duration,
}

impl Work {
    /// One appended line is one write: it is there whole, or not at all.
    fn note(&self, line: &str) -> Result<(), StageError> {
        let file = File::options().create(true).append(true).open(&self.journal);
        file.and_then(|mut f| f.write_all(format!("{} {line}\n", now()).as_bytes()))
            .map_err(|e| StageError::other("note work", e))
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    #[serde(default)]
    tag: String,
    #[serde(default)]
    count: u64,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, false)]))
}

fn table(texts: impl IntoIterator<Item = String>) -> RecordBatch {
    let texts: StringArray = texts.into_iter().map(Some).collect();
    RecordBatch::try_new(schema(), vec![Arc::new(texts)]).unwrap()
}

fn texts(batch: &RecordBatch) -> Vec<String> {
    let column = batch.column(0).as_string::<i32>();
    (0..column.len()).map(|i| column.value(i).to_owned()).collect()
}

fn ports(inputs: &[&'static str]) -> Ports {
    let input = |name: &&'static str| InputPort::new(*name, PortType::Table, true);
    let outputs = vec![OutputPort::new("out", PortType::Table)];
    Ports { inputs: inputs.iter().map(input).collect(), open_inputs: false, outputs }
}

/// `count` attempts of which every third is kept.
struct Numbers(Work);

impl StageKind for Numbers {
    type Params = Params;
    const NAME: &'static str = "numbers";
    const VERSION: u32 = 1;
    const INCREMENT: Increment = Increment::Stream { extent: "count" };

    fn ports(&self, _: &Params) -> Ports {
        ports(&[])
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
                    sleep(self.0.pause);
                    for i in &attempts {
                        self.0.note(&format!("attempt {} {i}", params.tag))?;
                    }
                    sink.emit(&attempts, &table(attempts.iter().map(|i| format!("{} {i}", params.tag))))?;
                }
            },
        )?;
        let batch = table(kept);
        cx.write_batches("out", batch.schema_ref(), [&batch])?;
        Ok(())
    }
}

/// One output row per input row.
struct Answer(Work);

impl StageKind for Answer {
    type Params = Params;
    const NAME: &'static str = "answer";
    const VERSION: u32 = 1;
    const INCREMENT: Increment = Increment::RowWise { primary: "rows" };

    fn ports(&self, _: &Params) -> Ports {
        ports(&["rows"])
    }

    fn run(&self, params: &Params, cx: &mut StageContext) -> Result<(), StageError> {
        let mapped = cx.map_rows(&cx.table("rows")?, &schema(), |pending, sink| {
            for start in (0..pending.len()).step_by(BATCH) {
                cx.check_cancelled()?;
                let range = start..pending.len().min(start + BATCH);
                let rows = texts(&pending.slice(range.clone())?);
                sleep(self.0.pause);
                for row in &rows {
                    self.0.note(&format!("row {} {row}", params.tag))?;
                }
                let answers = table(rows.iter().map(|row| format!("{}({row})", params.tag)));
                sink.emit(&range.collect::<Vec<_>>(), &answers)?;
            }
            Ok(())
        })?;
        cx.write_batches("out", &schema(), &mapped.batches)?;
        Ok(())
    }
}

/// The whole table at once, with a mark at every row.
struct Mark(Work);

impl StageKind for Mark {
    type Params = Params;
    const NAME: &'static str = "mark";
    const VERSION: u32 = 1;

    fn ports(&self, _: &Params) -> Ports {
        ports(&["rows"])
    }

    fn run(&self, params: &Params, cx: &mut StageContext) -> Result<(), StageError> {
        let rows = cx.table("rows")?.read()?;
        sleep(self.0.pause);
        self.0.note(&format!("stage {}", params.tag))?;
        let batch = table(texts(&rows).into_iter().map(|row| format!("{row} {}", params.tag)));
        cx.write_batches("out", batch.schema_ref(), [&batch])?;
        Ok(())
    }
}

/// The kinds, writing down what they do in `journal`.
pub(crate) fn registry(journal: PathBuf) -> Registry {
    let work = Work { journal, pause: Duration::from_millis(2) };
    Registry::default().with(Numbers(work.clone())).with(Answer(work.clone())).with(Mark(work))
}

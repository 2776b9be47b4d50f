//! Small kinds that exercise every part of the stage interface, and note what they do.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use pipe_engine::{
    context::{StageContext, Wanted},
    kind::{Increment, InputPort, OutputPort, PortType, Ports, Registry, Source, StageError, StageKind},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the kinds of one test share with it.
#[derive(Clone, Default)]
pub(crate) struct Probe {
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
    rows: Arc<Mutex<Vec<String>>>,
    /// How often `flaky` still fails.
    pub failures: Arc<AtomicUsize>,
    /// `gate` stages wait here.
    gate: Arc<(Mutex<bool>, Condvar)>,
    running: Arc<AtomicUsize>,
    pub most_running: Arc<AtomicUsize>,
    /// `map` and `numbers` fail after so many rows, when not 0.
    pub budget: Arc<AtomicUsize>,
}

impl Probe {
    fn ran(&self, cx: &StageContext) {
        *self.counts.lock().unwrap().entry(cx.label().to_owned()).or_default() += 1;
    }

    /// The stages that ran since the last call, sorted; `stage x2` for two times.
    pub(crate) fn take(&self) -> Vec<String> {
        let counts = std::mem::take(&mut *self.counts.lock().unwrap());
        counts.into_iter().map(|(label, n)| if n == 1 { label } else { format!("{label} x{n}") }).collect()
    }

    /// The rows that `map` and `numbers` computed since the last call.
    pub(crate) fn take_rows(&self) -> Vec<String> {
        let mut rows = std::mem::take(&mut *self.rows.lock().unwrap());
        rows.sort();
        rows
    }

    fn spend(&self) -> Result<(), StageError> {
        let left = self.budget.load(Ordering::SeqCst);
        if left == 1 {
            return Err(StageError::user("out of budget"));
        }
        self.budget.store(left.saturating_sub(1), Ordering::SeqCst);
        Ok(())
    }

    pub(crate) fn open_gate(&self) {
        *self.gate.0.lock().unwrap() = true;
        self.gate.1.notify_all();
    }
}

pub(crate) fn registry(probe: &Probe) -> Registry {
    versioned::<1>(probe)
}

/// The registry with another version of `upper`.
pub(crate) fn versioned<const V: u32>(probe: &Probe) -> Registry {
    Registry::default()
        .with(Lines(probe.clone()))
        .with(FileLines(probe.clone()))
        .with(Upper::<V>(probe.clone()))
        .with(Dedup(probe.clone()))
        .with(Concat(probe.clone()))
        .with(Map::<1, 1>(probe.clone()))
        .with(Numbers(probe.clone()))
        .with(Trouble(probe.clone()))
        .with(Gate(probe.clone()))
        .with(Trainer(probe.clone()))
}

/// The registry with other versions of `map` and of its recipe.
pub(crate) fn map_versioned<const V: u32, const R: u32>(probe: &Probe) -> Registry {
    registry(probe).with(Map::<V, R>(probe.clone()))
}

pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, false)]))
}

pub(crate) fn batch(texts: impl IntoIterator<Item = impl AsRef<str>>) -> RecordBatch {
    let column: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    RecordBatch::try_new(schema(), vec![column]).unwrap()
}

pub(crate) fn texts(batch: &RecordBatch) -> Vec<String> {
    let column = batch.column_by_name("text").unwrap().as_string::<i32>();
    (0..column.len()).map(|i| column.value(i).to_owned()).collect()
}

fn read(cx: &StageContext, port: &str) -> Result<Vec<String>, StageError> {
    Ok(texts(&cx.table(port)?.read()?))
}

fn write(cx: &StageContext, lines: &[String]) -> Result<(), StageError> {
    cx.write_batches("out", &schema(), [&batch(lines)]).map(drop)
}

fn input(name: &'static str) -> InputPort {
    InputPort::new(name, PortType::Table, true)
}

fn ports(inputs: &[&'static str], produces: PortType) -> Ports {
    Ports {
        inputs: inputs.iter().map(|name| input(name)).collect(),
        open_inputs: false,
        outputs: vec![OutputPort::new("out", produces)],
    }
}

/// Rows from the parameters.
struct Lines(Probe);

/// Parameters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LinesParams {
    /// The rows.
    lines: Vec<String>,
    /// Added to each.
    #[serde(default)]
    suffix: String,
    /// Changes nothing.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    threads: u32,
}

impl StageKind for Lines {
    type Params = LinesParams;
    const NAME: &'static str = "lines";
    const VERSION: u32 = 1;

    fn ports(&self, _: &LinesParams) -> Ports {
        ports(&[], PortType::Table)
    }

    fn run(&self, params: &LinesParams, cx: &mut StageContext) -> Result<(), StageError> {
        self.0.ran(cx);
        write(cx, &params.lines.iter().map(|l| format!("{l}{}", params.suffix)).collect::<Vec<_>>())
    }
}

/// Rows from a file.
struct FileLines(Probe);

/// Parameters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FileParams {
    /// Which file; its content is in the key.
    #[schemars(extend("x-operational" = true))]
    path: PathBuf,
    /// An environment variable whose value is put in front.
    #[serde(default)]
    greet: Option<String>,
}

impl StageKind for FileLines {
    type Params = FileParams;
    const NAME: &'static str = "file";
    const VERSION: u32 = 1;

    fn ports(&self, _: &FileParams) -> Ports {
        ports(&[], PortType::Table)
    }

    fn sources(&self, params: &FileParams) -> Result<Vec<Source>, StageError> {
        let mut sources = vec![Source::Path { label: "path".into(), path: params.path.clone() }];
        sources.extend(params.greet.clone().map(|name| Source::Env { name }));
        Ok(sources)
    }

    fn run(&self, params: &FileParams, cx: &mut StageContext) -> Result<(), StageError> {
        self.0.ran(cx);
        let path = cx.base_dir().join(&params.path);
        let text = std::fs::read_to_string(&path).map_err(|e| StageError::other("read", e))?;
        let greeting = params.greet.as_ref().and_then(|name| cx.env(name)).unwrap_or_default();
        write(cx, &text.lines().map(|l| format!("{greeting}{l}")).collect::<Vec<_>>())
    }
}

/// No parameters but one.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MarkParams {
    /// Put behind each row.
    #[serde(default)]
    mark: String,
}

/// Upper case.
struct Upper<const V: u32>(Probe);

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

/// Sorted, each row once: the stage whose output often stays the same.
struct Dedup(Probe);

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

/// All columns of `a` (which may be gathered) and `b`, as texts.
struct Concat(Probe);

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

/// Row by row.
struct Map<const V: u32 = 1, const R: u32 = 1>(Probe);

/// Parameters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MapParams {
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

/// What tests of stages that run at the same time arrange.
#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Pace {
    /// Milliseconds before it begins.
    wait: u64,
    /// Milliseconds per row.
    row: u64,
    /// It fails at the row after so many, when not 0.
    fail_after: usize,
}

impl Pace {
    fn begin(self) {
        std::thread::sleep(Duration::from_millis(self.wait));
    }

    fn row(self, done: usize) -> Result<(), StageError> {
        std::thread::sleep(Duration::from_millis(self.row));
        if self.fail_after > 0 && done >= self.fail_after { Err(StageError::user("had enough")) } else { Ok(()) }
    }
}

fn one() -> usize {
    1
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
        Ok(params.file.iter().map(|path| Source::Path { label: "file".into(), path: path.clone() }).collect())
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
                let mut out = Vec::new();
                for &row in chunk {
                    let text = texts(&pending.slice(row..row + 1)?).remove(0);
                    cx.check_cancelled()?;
                    self.0.spend()?;
                    params.pace.row(done)?;
                    done += 1;
                    self.0.rows.lock().unwrap().push(text.clone());
                    out.extend((0..params.times).map(|_| format!("{text}{mark}/{side}")));
                }
                sink.emit_many(chunk, &vec![params.times as u32; chunk.len()], &batch(&out))?;
            }
            Ok(())
        })?;
        cx.counter("rows_out", rows.counts.iter().map(|n| u64::from(*n)).sum());
        cx.write_batches("out", &schema(), &rows.batches).map(drop)
    }
}

/// A stream of numbers drawn from the recipe, of which those that repeat a last digit are left out.
struct Numbers(Probe);

/// Parameters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NumbersParams {
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
        let fold = |attempt: pipe_engine::context::Attempt<'_>| {
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

/// Fails in many ways.
struct Trouble(Probe);

/// Parameters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TroubleParams {
    /// What to do.
    how: How,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum How {
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

/// Waits until the test opens the gate; counts how many run at once.
struct Gate(Probe);

/// Parameters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GateParams {
    /// Tells stages apart.
    #[serde(default)]
    id: u32,
    /// How long to wait without a gate.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    millis: Option<u64>,
}

impl StageKind for Gate {
    type Params = GateParams;
    const NAME: &'static str = "gate";
    const VERSION: u32 = 1;

    fn ports(&self, _: &GateParams) -> Ports {
        ports(&[], PortType::Table)
    }

    fn run(&self, params: &GateParams, cx: &mut StageContext) -> Result<(), StageError> {
        self.0.ran(cx);
        let running = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_running.fetch_max(running, Ordering::SeqCst);
        cx.note("at the gate");
        if let Some(millis) = params.millis {
            std::thread::sleep(Duration::from_millis(millis));
        } else {
            let mut open = self.0.gate.0.lock().unwrap();
            while !*open {
                open = self.0.gate.1.wait_timeout(open, Duration::from_millis(5)).unwrap().0;
                cx.check_cancelled()?;
            }
        }
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        write(cx, &[format!("gate {}", params.id)])
    }
}

/// Counts to `steps` with a checkpoint after each, and leaves a directory.
struct Trainer(Probe);

/// Parameters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TrainerParams {
    /// How far to count.
    steps: u32,
}

impl StageKind for Trainer {
    type Params = TrainerParams;
    const NAME: &'static str = "trainer";
    const VERSION: u32 = 1;

    fn ports(&self, _: &TrainerParams) -> Ports {
        ports(&[], PortType::Files)
    }

    fn run(&self, params: &TrainerParams, cx: &mut StageContext) -> Result<(), StageError> {
        self.0.ran(cx);
        let io = |e| StageError::other("keep a checkpoint", e);
        let checkpoint = cx.checkpoint_dir()?.join("step");
        let begun = std::fs::read_to_string(&checkpoint).ok().and_then(|t| t.parse().ok()).unwrap_or(0);
        for step in begun..params.steps {
            self.0.spend()?;
            self.0.rows.lock().unwrap().push(format!("step {step}"));
            std::fs::write(&checkpoint, (step + 1).to_string()).map_err(io)?;
        }
        std::fs::write(cx.workdir()?.join("scratch"), "x").map_err(io)?;
        std::fs::write(cx.output_dir("out")?.join("weights"), format!("after {} steps", params.steps)).map_err(io)
    }
}

//! What a run costs that finds everything done: keys, lookups, references, the journal. Resolving the YAML is not
//! included.

use std::{fmt::Write, path::Path, sync::OnceLock};

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use divan::Bencher;
use pipe_cache::{Store, StoreOptions};
use pipe_engine::{
    context::StageContext,
    execute::{RunOptions, run},
    kind::{InputPort, OutputPort, PortType, Ports, Registry, StageError, StageKind},
    pipeline::Pipeline,
    resolve::{Overrides, resolve},
    spec,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One row that says which stage and level this is.
struct Step;

/// Parameters.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StepParams {
    /// The stage.
    stage: u32,
    /// The level of the factor.
    level: u32,
    /// As many parameters as real kinds have.
    #[serde(default)]
    temperature: f64,
    /// Another.
    #[serde(default)]
    model: String,
}

impl StageKind for Step {
    type Params = StepParams;
    const NAME: &'static str = "step";
    const VERSION: u32 = 1;

    fn ports(&self, _: &StepParams) -> Ports {
        Ports {
            inputs: vec![InputPort::new("in", PortType::Table, false)],
            open_inputs: false,
            outputs: vec![OutputPort::new("out", PortType::Table)],
        }
    }

    fn run(&self, params: &StepParams, cx: &mut StageContext) -> Result<(), StageError> {
        let schema = std::sync::Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, false)]));
        let text: ArrayRef = std::sync::Arc::new(StringArray::from(vec![format!("{} {}", params.stage, params.level)]));
        let batch = RecordBatch::try_new(schema.clone(), vec![text]).map_err(|e| StageError::other("make a row", e))?;
        cx.write_batches("out", &schema, [&batch]).map(drop)
    }
}

struct World {
    dir: tempfile::TempDir,
    pipeline: Pipeline,
}

/// A hundred stages in chains of ten, in as many variants as give `nodes` nodes.
fn world(nodes: usize) -> World {
    let mut yaml = String::from("pipeline: p\nvars: { level: 0 }\nablate: { level: [");
    yaml.push_str(&(0..nodes / 100).map(|i| i.to_string()).collect::<Vec<_>>().join(", "));
    yaml.push_str("] }\nstages:\n");
    for stage in 0..100 {
        let inputs = if stage % 10 == 0 { String::new() } else { format!(" inputs: {{ in: s{} }},", stage - 1) };
        writeln!(yaml, "  s{stage}: {{ kind: step,{inputs} params: {{ stage: {stage}, level: '${{level}}' }} }}")
            .expect("a text grows");
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("pipeline.yaml");
    std::fs::write(&path, yaml).expect("the pipeline file is written");
    let pipeline = load(&path);
    assert_eq!(pipeline.graph.node_count(), nodes);
    let world = World { dir, pipeline };
    world.run(&world.open());
    world
}

impl World {
    fn open(&self) -> Store {
        Store::open(self.dir.path().join("store"), StoreOptions::default()).expect("the store opens")
    }

    fn run(&self, store: &Store) {
        let options = RunOptions { results: Some(self.dir.path().join("results")), ..RunOptions::default() };
        let summary = run(&self.pipeline, store, &options, &mut |_| {}).expect("the run begins");
        assert_eq!(summary.failed + summary.skipped, 0);
    }
}

fn shared(nodes: usize) -> &'static World {
    static SMALL: OnceLock<World> = OnceLock::new();
    static LARGE: OnceLock<World> = OnceLock::new();
    match nodes {
        1_000 => SMALL.get_or_init(|| world(nodes)),
        _ => LARGE.get_or_init(|| world(nodes)),
    }
}

/// Opening the store, and running.
#[divan::bench(args = [1_000, 10_000], sample_count = 20, sample_size = 1)]
fn no_op(bencher: Bencher<'_, '_>, nodes: usize) {
    let world = shared(nodes);
    bencher.bench(|| world.run(&world.open()));
}

/// Running with a store that is open.
#[divan::bench(args = [1_000, 10_000], sample_count = 20, sample_size = 1)]
fn no_op_open_store(bencher: Bencher<'_, '_>, nodes: usize) {
    let world = shared(nodes);
    let store = world.open();
    bencher.bench(|| world.run(&store));
}

/// 300 trivial stages, ten wide and thirty deep, from nothing.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn cold_300(bencher: Bencher<'_, '_>) {
    let stage = |i: usize| {
        let inputs = if i < 10 { String::new() } else { format!(" inputs: {{ in: s{} }},", i - 10) };
        format!("  s{i}: {{ kind: step,{inputs} params: {{ stage: {i}, level: 0 }} }}\n")
    };
    let yaml = format!("pipeline: p\nstages:\n{}", (0..300).map(stage).collect::<String>());
    bencher
        .with_inputs(|| {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let path = dir.path().join("pipeline.yaml");
            std::fs::write(&path, &yaml).expect("the pipeline file is written");
            World { pipeline: load(&path), dir }
        })
        .bench_values(|world| {
            world.run(&world.open());
            world
        });
}

fn load(path: &Path) -> Pipeline {
    match resolve(&spec::load(path), &Registry::default().with(Step), &Overrides::default()) {
        Ok(resolved) => resolved.pipeline,
        Err(problems) => panic!("{:?}", problems.items),
    }
}

fn main() {
    divan::main();
}

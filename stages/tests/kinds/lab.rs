//! A folder with tables, models, a pipeline file and a store, and what happened in it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type},
    json::LineDelimitedWriter,
};
use pipe_cache::{ArtifactRef, Digest, Manifest, ReadOptions, Store, StoreOptions};
use pipe_engine::{
    context::CancelToken,
    diag::Diagnostics,
    events::{Event, EventKind, NodeStats, RunSummary},
    execute::{RunOptions, run},
    pipeline::Pipeline,
    resolve::{Overrides, resolve},
    spec,
};
use pipe_lm::{
    fresh::{Architecture, save},
    tokenizer::train_bpe,
    train::{Budget, Dataset, Example, Surroundings, TooLong, TrainConfig, train},
};
use serde_json::Value;

/// The lab.
pub(crate) struct Lab {
    dir: tempfile::TempDir,
    store: Store,
    options: RunOptions,
}

/// One run: how it ended, and what happened.
pub(crate) struct Ran {
    pub summary: RunSummary,
    pub events: Vec<Event>,
}

impl Ran {
    /// The events that `pick` picks.
    pub(crate) fn pick<T>(&self, pick: impl Fn(&EventKind) -> Option<T>) -> Vec<T> {
        self.events.iter().filter_map(|e| pick(&e.kind)).collect()
    }

    /// `label: error`, for each failure.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.pick(|e| match e {
            EventKind::Failed { node, error, .. } => Some(format!("{}: {}", node.label, error.join(": "))),
            _ => None,
        })
    }

    /// The one failure.
    pub(crate) fn failure(&self) -> String {
        let mut failures = self.failures();
        assert_eq!(failures.len(), 1, "{failures:?}");
        failures.remove(0)
    }

    /// What a stage that was computed says of itself.
    pub(crate) fn stats(&self, stage: &str) -> NodeStats {
        let of_stage = |e: &EventKind| match e {
            EventKind::Finished { node, stats, .. } if node.label.to_string() == stage => Some(stats.clone()),
            _ => None,
        };
        self.pick(of_stage).pop().unwrap_or_else(|| panic!("{stage} did not run: {:?}", self.failures()))
    }

    /// The labels of the stages that were computed, sorted. Nothing failed.
    pub(crate) fn computed(&self) -> Vec<String> {
        assert_eq!(self.failures(), [""; 0]);
        let mut labels =
            self.pick(|e| if let EventKind::Finished { node, .. } = e { Some(node.label.to_string()) } else { None });
        labels.sort();
        labels
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store"), StoreOptions::default()).unwrap();
        Self { dir, store, options: RunOptions::default() }
    }

    /// A variable of the environment that the runs see.
    pub(crate) fn env(&mut self, name: &str, value: &str) {
        Arc::make_mut(&mut self.options.env).insert(name.into(), value.into());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn jsonl(&self, name: &str, rows: impl IntoIterator<Item = Value>) {
        self.write(name, &rows.into_iter().map(|row| format!("{row}\n")).collect::<Vec<_>>().concat());
    }

    pub(crate) fn lines(&self, name: &str) -> Vec<Value> {
        fs::read_to_string(self.path(name)).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A small Llama, with a tokenizer of its own, that was trained to answer (prompt, completion) pairs.
    pub(crate) fn base_model(&self, name: &str, pairs: &[(String, String)], context: usize) {
        let tokenizer =
            train_bpe(pairs.iter().map(|(prompt, completion)| format!("{prompt}{completion}")), 400).unwrap();
        let architecture = Architecture {
            hidden_size: 48,
            intermediate_size: 96,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            max_position_embeddings: context,
        };
        let decoder = architecture.decoder(&tokenizer, 5).unwrap();
        let tokens = |text: &str| tokenizer.encode(text, false).unwrap();
        let example = |(prompt, completion): &(String, String)| {
            Example::completion(prompt, tokens(prompt), tokens(completion), tokenizer.eos())
        };
        let data = pairs.iter().map(example).collect();
        let data = Dataset::new(data, context, TooLong::Truncate, tokenizer.len()).unwrap();
        let config = TrainConfig {
            budget: Budget::Steps(100),
            micro_batch_size: 16,
            learning_rate: 0.01,
            ..TrainConfig::default()
        };
        train(&decoder, &data, &config, Surroundings::default(), &mut ()).unwrap();
        fs::create_dir(self.path(name)).unwrap();
        save(&self.path(name), &decoder, &tokenizer, candle_core::DType::F32).unwrap();
    }

    fn pipeline(&self, stages: &str) -> Result<Pipeline, Diagnostics> {
        self.write("p.yaml", &format!("pipeline: p\nstages:\n{stages}"));
        resolve(&spec::load(&self.path("p.yaml")), &pipe_stages::registry(), &Overrides::default()).map(|r| r.pipeline)
    }

    /// What is wrong with these `stages:`.
    pub(crate) fn problems(&self, stages: &str) -> String {
        self.pipeline(stages).err().map_or_else(String::new, |problems| problems.to_string())
    }

    /// Runs `stages:` of a pipeline.
    pub(crate) fn run(&self, stages: &str) -> Ran {
        self.run_until(stages, |_| false)
    }

    /// Runs, and cancels at the first event for which `stop` is true.
    pub(crate) fn run_until(&self, stages: &str, stop: impl Fn(&EventKind) -> bool) -> Ran {
        let pipeline = self.pipeline(stages).map_err(|d| d.to_string()).unwrap();
        let cancel = CancelToken::new();
        let options = RunOptions { cancel: cancel.clone(), ..self.options.clone() };
        let mut events = Vec::new();
        let mut report = |event: &Event| {
            if stop(&event.kind) {
                cancel.cancel();
            }
            events.push(event.clone());
        };
        let summary = run(&pipeline, &self.store, &options, &mut report).unwrap();
        Ran { summary, events }
    }

    fn manifest(&self, stage: &str) -> Manifest {
        self.store.manifest(&self.store.refs("p").unwrap()["baseline"][stage]).unwrap().unwrap()
    }

    /// The artifact `stage.output`.
    fn artifact(&self, name: &str) -> ArtifactRef {
        let (stage, port) = name.split_once('.').unwrap();
        let outputs = self.manifest(stage).outputs;
        outputs.iter().find(|o| o.port == port).unwrap_or_else(|| panic!("no output {name}")).artifact
    }

    /// The names of a stage's outputs.
    pub(crate) fn ports(&self, stage: &str) -> Vec<String> {
        self.manifest(stage).outputs.iter().map(|output| output.port.clone()).collect()
    }

    pub(crate) fn digest(&self, name: &str) -> Digest {
        self.artifact(name).digest
    }

    pub(crate) fn table(&self, name: &str) -> RecordBatch {
        self.store.open_table(&self.artifact(name), &ReadOptions::default()).unwrap().read_all().unwrap()
    }

    pub(crate) fn rows(&self, name: &str) -> Vec<Value> {
        let mut lines = Vec::new();
        LineDelimitedWriter::new(&mut lines).write(&self.table(name)).unwrap();
        serde_json::Deserializer::from_slice(&lines).into_iter().map(Result::unwrap).collect()
    }

    pub(crate) fn counter(&self, stage: &str, name: &str) -> u64 {
        self.manifest(stage).provenance.counters[name]
    }

    /// `outcome -> count` of a yield table; checks that the outcomes add up.
    pub(crate) fn yields(&self, stage: &str) -> Vec<(String, i64)> {
        let batch = self.table(&format!("{stage}.yield"));
        let (names, counts) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
        let lines: Vec<_> = (0..batch.num_rows()).map(|i| (names.value(i).to_owned(), counts.value(i))).collect();
        assert_eq!(lines[0].0, "attempted");
        assert_eq!(lines[0].1, lines[1..].iter().map(|(_, n)| n).sum::<i64>(), "{lines:?}");
        lines
    }

    pub(crate) fn count(&self, stage: &str, outcome: &str) -> i64 {
        self.yields(stage).iter().find(|(name, _)| name == outcome).unwrap().1
    }
}

/// A column of numbers without nulls.
pub(crate) fn numbers(table: &RecordBatch, column: &str) -> Vec<f64> {
    let column = table.column_by_name(column).unwrap_or_else(|| panic!("no column {column}"));
    cast(column, &DataType::Float64).unwrap().as_primitive::<Float64Type>().values().to_vec()
}

/// Writes a random model with a context of 96 tokens.
pub(crate) fn random_model(dir: &Path, seed: u64) {
    let texts = (0..80).map(|i| format!("Instruction: What is item {i}?\nOutput: It is thing {i}.\n"));
    let tokenizer = train_bpe(texts, 300).unwrap();
    let architecture = Architecture {
        hidden_size: 32,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 96,
    };
    let decoder = architecture.decoder(&tokenizer, seed).unwrap();
    save(dir, &decoder, &tokenizer, candle_core::DType::F32).unwrap();
}

/// Twelve seeds.
pub(crate) fn seeds() -> String {
    let things =
        ["apple", "bone", "cell", "drug", "enzyme", "fever", "gene", "heart", "insulin", "joint", "kidney", "lung"];
    let line = |(i, thing): (usize, &&str)| {
        format!(
            "{{\"id\": \"s{i}\", \"instruction\": \"What is the {thing}?\", \"output\": \"It is {thing} number \
             {i}.\"}}\n"
        )
    };
    things.iter().enumerate().map(line).collect()
}

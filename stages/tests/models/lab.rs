//! A folder with a pipeline, a store and a small model, and what happened in it.

use std::{fs, path::PathBuf};

use arrow::{
    array::{AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type},
    json::LineDelimitedWriter,
};
use pipe_cache::{ArtifactRef, Digest, Manifest, ReadOptions, Store, StoreOptions};
use pipe_engine::{
    cancel::CancelToken,
    events::{Event, EventKind, RunSummary},
    execute::{RunOptions, run},
    resolve::{Overrides, resolve},
    spec,
};
use pipe_lm::{
    scratch::{Architecture, save},
    tokenizer::train_bpe,
    train::{Budget, Dataset, Example, Surroundings, TooLong, TrainConfig, train},
};
use serde_json::Value;

/// The lab.
pub struct Lab {
    dir: tempfile::TempDir,
    store: Store,
}

/// One run: how it ended, and what happened.
pub struct Ran {
    pub summary: RunSummary,
    pub events: Vec<Event>,
}

impl Ran {
    /// The events that `pick` picks.
    pub fn pick<T>(&self, pick: impl Fn(&EventKind) -> Option<T>) -> Vec<T> {
        self.events.iter().filter_map(|e| pick(&e.kind)).collect()
    }

    /// `label: error`, for each failure.
    pub fn failures(&self) -> Vec<String> {
        self.pick(|e| match e {
            EventKind::Failed { node, error, .. } => Some(format!("{}: {}", node.label, error.join(": "))),
            _ => None,
        })
    }

    /// The labels of the stages that were computed, sorted.
    pub fn computed(&self) -> Vec<String> {
        assert_eq!(self.failures(), [""; 0]);
        let mut labels =
            self.pick(|e| if let EventKind::Finished { node, .. } = e { Some(node.label.to_string()) } else { None });
        labels.sort();
        labels
    }
}

impl Lab {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store"), StoreOptions::default()).unwrap();
        Self { dir, store }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn jsonl(&self, name: &str, rows: impl IntoIterator<Item = Value>) {
        self.write(name, &rows.into_iter().map(|row| format!("{row}\n")).collect::<Vec<_>>().concat());
    }

    pub fn lines(&self, name: &str) -> Vec<Value> {
        fs::read_to_string(self.path(name)).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A small Llama, with a tokenizer of its own, that was trained to answer (prompt, completion) pairs.
    pub fn base_model(&self, name: &str, pairs: &[(String, String)], context: usize) {
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

    pub fn run(&self, yaml: &str) -> Ran {
        self.run_until(yaml, |_| false)
    }

    /// Runs, and cancels at the first event for which `stop` is true.
    pub fn run_until(&self, yaml: &str, stop: impl Fn(&EventKind) -> bool) -> Ran {
        self.write("p.yaml", yaml);
        let spec = spec::load(&self.path("p.yaml"));
        let resolved = resolve(&spec, &pipe_stages::registry(), &Overrides::default());
        let pipeline = resolved.map_err(|d| format!("{:?}", d.items)).unwrap().pipeline;
        let cancel = CancelToken::new();
        let options = RunOptions { cancel: cancel.clone(), ..RunOptions::default() };
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

    pub fn digest(&self, name: &str) -> Digest {
        self.artifact(name).digest
    }

    pub fn table(&self, name: &str) -> RecordBatch {
        self.store.open_table(&self.artifact(name), &ReadOptions::default()).unwrap().read_all().unwrap()
    }

    pub fn rows(&self, name: &str) -> Vec<Value> {
        let mut lines = Vec::new();
        LineDelimitedWriter::new(&mut lines).write(&self.table(name)).unwrap();
        serde_json::Deserializer::from_slice(&lines).into_iter().map(Result::unwrap).collect()
    }

    pub fn counter(&self, stage: &str, name: &str) -> u64 {
        self.manifest(stage).provenance.counters[name]
    }
}

/// A column of numbers without nulls.
pub fn numbers(table: &RecordBatch, column: &str) -> Vec<f64> {
    let column = table.column_by_name(column).unwrap_or_else(|| panic!("no column {column}"));
    cast(column, &DataType::Float64).unwrap().as_primitive::<Float64Type>().values().to_vec()
}

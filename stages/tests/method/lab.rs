//! A folder with a model, tables, a pipeline file and a store.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Int64Type,
    json::ArrayWriter,
};
use pipe_cache::{ReadOptions, Store, StoreOptions};
use pipe_engine::{
    events::{EventKind, NodeStats},
    execute::{RunOptions, run},
    resolve::{Overrides, resolve},
    spec,
};
use pipe_lm::{
    scratch::{Architecture, save},
    tokenizer::train_bpe,
};
use serde_json::Value;

pub struct Lab {
    dir: tempfile::TempDir,
    store: Store,
    pub options: RunOptions,
}

/// What one run did: `stage -> stats` of those computed, and `stage: error` of those that failed.
#[derive(Debug, Default)]
pub struct Ran {
    stats: Vec<(String, NodeStats)>,
    pub failures: Vec<String>,
}

impl Ran {
    /// Stages that were computed, in the order in which they ended.
    pub fn stages(&self) -> Vec<&str> {
        self.stats.iter().map(|(stage, _)| &**stage).collect()
    }

    pub fn stats(&self, stage: &str) -> &NodeStats {
        &self.stats.iter().find(|(s, _)| s == stage).unwrap_or_else(|| panic!("{stage} did not run: {self:?}")).1
    }

    /// The one failure.
    pub fn failure(&self) -> &str {
        assert_eq!(self.failures.len(), 1, "{:?}", self.failures);
        &self.failures[0]
    }
}

/// Writes a random model with a context of 96 tokens.
pub fn random_model(dir: &Path, seed: u64) {
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

impl Lab {
    /// A folder with a random model in `model`.
    pub fn new() -> Self {
        let lab = Self::empty();
        random_model(&lab.path("model"), 1);
        lab
    }

    pub fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store"), StoreOptions::default()).unwrap();
        fs::create_dir(dir.path().join("model")).unwrap();
        Self { dir, store, options: RunOptions::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn env(&mut self, name: &str, value: &str) {
        Arc::make_mut(&mut self.options.env).insert(name.into(), value.into());
    }

    /// Runs `stages:` of a pipeline.
    pub fn run(&self, stages: &str) -> Ran {
        self.write("pipeline.yaml", &format!("pipeline: p\nstages:\n{stages}"));
        let spec = spec::load(&self.path("pipeline.yaml"));
        let resolved = resolve(&spec, &pipe_stages::registry(), &Overrides::default());
        let pipeline = resolved.map_err(|d| d.to_string()).unwrap().pipeline;
        let mut ran = Ran::default();
        run(&pipeline, &self.store, &self.options, &mut |event| match &event.kind {
            EventKind::Finished { node, stats, .. } => ran.stats.push((node.label.to_string(), stats.clone())),
            EventKind::Failed { node, error, .. } => ran.failures.push(format!("{}: {}", node.label, error.join(": "))),
            _ => {}
        })
        .unwrap();
        ran
    }

    /// What is wrong with the file, if anything.
    pub fn problems(&self, stages: &str) -> String {
        self.write("pipeline.yaml", &format!("pipeline: p\nstages:\n{stages}"));
        let spec = spec::load(&self.path("pipeline.yaml"));
        match resolve(&spec, &pipe_stages::registry(), &Overrides::default()) {
            Ok(_) => String::new(),
            Err(problems) => problems.to_string(),
        }
    }

    /// An output table of a stage.
    pub fn table(&self, stage: &str, output: &str) -> RecordBatch {
        let key = self.store.refs("p").unwrap()["baseline"][stage];
        let manifest = self.store.manifest(&key).unwrap().unwrap();
        let output = manifest.outputs.iter().find(|o| o.port == output).unwrap();
        self.store.open_table(&output.artifact, &ReadOptions::default()).unwrap().read_all().unwrap()
    }

    /// Its rows as JSON.
    pub fn rows(&self, stage: &str, output: &str) -> Vec<Value> {
        let batch = self.table(stage, output);
        let mut writer = ArrayWriter::new(Vec::new());
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let text = writer.into_inner();
        if text.is_empty() { Vec::new() } else { serde_json::from_slice(&text).unwrap() }
    }

    /// `outcome -> count` of a yield table; checks that the outcomes add up.
    pub fn yields(&self, stage: &str) -> Vec<(String, i64)> {
        let batch = self.table(stage, "yield");
        let (names, counts) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
        let lines: Vec<_> = (0..batch.num_rows()).map(|i| (names.value(i).to_owned(), counts.value(i))).collect();
        assert_eq!(lines[0].0, "attempted");
        assert_eq!(lines[0].1, lines[1..].iter().map(|(_, n)| n).sum::<i64>(), "{lines:?}");
        lines
    }

    pub fn count(&self, stage: &str, outcome: &str) -> i64 {
        self.yields(stage).iter().find(|(name, _)| name == outcome).unwrap().1
    }
}

/// Twelve seeds.
pub fn seeds() -> String {
    let things =
        ["apple", "bone", "cell", "drug", "enzyme", "fever", "gene", "heart", "insulin", "joint", "kidney", "lung"];
    let line = |(i, thing): (usize, &&str)| {
        format!(
            "{{\"id\": \"s{i}\", \"instruction\": \"What is the {thing}?\", \"output\": \"It is {thing} number {i}.\"}}\n"
        )
    };
    things.iter().enumerate().map(line).collect()
}

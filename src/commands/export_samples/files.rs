//! The files of an exam: `results_<time>.json`, and `samples_<task>_<time>.jsonl` for every task.

use std::{collections::HashSet, fmt::Write as _};

use arrow::datatypes::DataType;
use chrono::DateTime;
use indexmap::IndexMap;
use pipe_cache::{Digest, Manifest, ReadOptions, Store};
use pipe_engine::keys::ResultRecord;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::{commands::values, error::CliError};

/// What the harness calls answers that nothing was done to.
const FILTER: &str = "none";

/// One result of `evaluate`.
pub(super) struct Exam<'a> {
    name: &'a str,
    stage: &'a str,
    manifest: &'a Manifest,
    record: &'a ResultRecord,
    /// The columns of `predictions` that are scores.
    metrics: Vec<String>,
    predictions: Vec<Value>,
    /// Over all items, and by task.
    scores: Vec<Value>,
    tasks: Vec<Value>,
}

impl<'a> Exam<'a> {
    pub(super) fn read(
        store: &Store,
        name: &'a str,
        manifest: &'a Manifest,
        record: &'a ResultRecord,
    ) -> Result<Self, CliError> {
        let mut metrics = Vec::new();
        let mut read = |port: &str, with_metrics: bool| -> Result<Vec<Value>, CliError> {
            let Some(output) = manifest.outputs.iter().find(|output| output.port == port) else {
                return Ok(Vec::new());
            };
            let table = store.open_table(&output.artifact, &ReadOptions::default())?.read_all()?;
            if with_metrics {
                let scores = table.schema_ref().fields().iter().filter(|f| *f.data_type() == DataType::Float64);
                metrics = scores.map(|field| field.name().clone()).collect();
            }
            Ok(values::rows(&table)?)
        };
        let (predictions, scores, tasks) = (read("predictions", true)?, read("scores", false)?, read("tasks", false)?);
        let stage = name.rsplit_once('/').map_or(name, |(_, stage)| stage);
        let stage = stage.split_once('@').map_or(stage, |(stage, _)| stage);
        Ok(Self { name, stage, manifest, record, metrics, predictions, scores, tasks })
    }

    /// The folder, as the harness names it after a model.
    pub(super) fn folder(&self) -> String {
        let mut name = String::new();
        for c in self.name.chars() {
            match c {
                '"' | '<' | '>' | ':' | '/' | '|' | '\\' | '?' | '*' | '[' | ']' if name.ends_with("__") => {}
                '"' | '<' | '>' | ':' | '/' | '|' | '\\' | '?' | '*' | '[' | ']' => name.push_str("__"),
                c => name.push(c),
            }
        }
        name
    }

    /// How many items it has.
    pub(super) fn samples(&self) -> usize {
        self.predictions.len()
    }

    /// The names of files and what stands in them.
    pub(super) fn files(&self, key: &Digest) -> Vec<(String, String)> {
        let provenance = &self.manifest.provenance;
        let started = DateTime::from_timestamp_millis(i64::try_from(provenance.started_ms).unwrap_or_default());
        let time = started.unwrap_or_default().format("%Y-%m-%dT%H-%M-%S%.6f").to_string();
        let mut by_task: IndexMap<&str, Vec<&Value>> = IndexMap::new();
        for row in &self.predictions {
            by_task.entry(row["task"].as_str().unwrap_or(self.stage)).or_default().push(row);
        }
        let (mut files, mut taken) = (Vec::new(), HashSet::new());
        let (mut hashes, mut results, mut groups) = (Map::new(), Map::new(), Map::new());
        let [mut configs, mut versions, mut shots, mut higher, mut counts, mut subtasks] =
            std::array::from_fn(|_| Map::new());
        let num_fewshot = &self.record.key.params["num_fewshot"];
        let num_fewshot = num_fewshot.as_u64().unwrap_or_default();
        for (task, rows) in &by_task {
            let samples: Vec<Value> = rows.iter().enumerate().map(|(place, row)| self.sample(place, row)).collect();
            let its_hashes: String = samples
                .iter()
                .flat_map(|s| ["doc_hash", "prompt_hash", "target_hash"].map(|h| &s[h]))
                .filter_map(Value::as_str)
                .collect();
            // Results and files of a task go by one name.
            let mut name = file_name(task);
            while !taken.insert(name.clone()) {
                name.push('_');
            }
            hashes.insert(name.clone(), json!(sha256(&its_hashes)));
            let mut lines = String::new();
            for sample in &samples {
                let _ = writeln!(lines, "{sample}");
            }
            files.push((format!("samples_{name}_{time}.jsonl"), lines));
            // Items without a task have no line of their own, unless they are all items.
            let all = self.scores.first().filter(|_| by_task.len() == 1);
            let summed = self.tasks.iter().find(|row| row["task"] == **task).or(all);
            results.insert(name.clone(), self.summary(&name, task, summed, rows.len()));
            configs.insert(name.clone(), self.config(&name, num_fewshot));
            versions.insert(name.clone(), json!(self.record.key.version));
            shots.insert(name.clone(), json!(num_fewshot));
            higher.insert(name.clone(), self.higher());
            let scored = summed.and_then(|row| row["n"].as_u64()).unwrap_or_default();
            counts.insert(name.clone(), json!({ "original": rows.len(), "effective": scored }));
            subtasks.insert(name, json!([]));
        }
        if !(by_task.len() == 1 && by_task.contains_key(self.stage)) {
            let names: Vec<String> = results.keys().cloned().collect();
            // All items together: a group, which may be called as no task is.
            let mut group = self.stage.to_owned();
            while taken.contains(&group) {
                group.push_str("_all");
            }
            let summed = self.summary(&group, self.stage, self.scores.first(), self.predictions.len());
            results.insert(group.clone(), summed.clone());
            groups.insert(group.clone(), summed);
            versions.insert(group.clone(), json!(self.record.key.version));
            shots.insert(group.clone(), json!(num_fewshot));
            higher.insert(group.clone(), self.higher());
            subtasks.insert(group, json!(names));
        }
        let mut told = json!({
            "results": results, "group_subtasks": subtasks, "configs": configs, "versions": versions,
            "n-shot": shots, "higher_is_better": higher, "n-samples": counts,
            "config": {
                "model": "pipe", "model_args": { "pretrained": self.name }, "batch_size": null, "batch_sizes": [],
                "device": null, "use_cache": null, "limit": null,
                "bootstrap_iters": self.record.key.params["bootstrap"]["resamples"],
                "gen_kwargs": self.sampling(),
                "random_seed": self.record.key.params["seed"],
                "fewshot_seed": self.record.key.params["fewshot_seed"],
            },
            "git_hash": null, "date": provenance.started_ms as f64 / 1000.0,
            "task_hashes": hashes, "model_source": "pipe", "model_name": self.name,
            "model_name_sanitized": self.folder(), "system_instruction": null, "system_instruction_sha": null,
            "fewshot_as_multiturn": null, "chat_template": null, "chat_template_sha": null,
            "total_evaluation_time_seconds": provenance.seconds.to_string(),
            "pipe": { "key": key, "software": provenance.software, "parameters": self.record.key.params,
                      "signature": self.scores.first().map(|row| row["signature"].clone()) },
        });
        if !groups.is_empty() {
            told["groups"] = Value::Object(groups);
        }
        files.push((format!("results_{time}.json"), format!("{told:#}\n")));
        files
    }

    /// A row as the harness keeps it. What was asked is the question: a template around it is not told.
    fn sample(&self, place: usize, row: &Value) -> Value {
        const ASKED: [&str; 5] = ["id", "task", "instruction", "input", "references"];
        let doc: Map<String, Value> =
            ASKED.iter().filter_map(|name| Some(((*name).to_owned(), row.get(*name)?.clone()))).collect();
        let doc = Value::Object(doc);
        let target = match row["references"].as_array().map_or(&[][..], Vec::as_slice) {
            [] => String::new(),
            [only] => only.as_str().unwrap_or_default().to_owned(),
            several => json!(several).to_string(),
        };
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let prompt = match text("input") {
            "" => text("instruction").to_owned(),
            input => format!("{}\n\n{input}", text("instruction")),
        };
        let answer = text("prediction");
        let mut sample = json!({
            "doc_id": place, "doc": doc, "target": target,
            "arguments": { "gen_args_0": { "arg_0": prompt, "arg_1": self.sampling() } },
            "resps": [[answer]], "filtered_resps": [answer], "filter": FILTER, "metrics": self.metrics,
            "doc_hash": sha256(&format!("{doc:#}")), "prompt_hash": sha256(&prompt), "target_hash": sha256(&target),
        });
        for metric in &self.metrics {
            sample[metric] = row[metric].clone();
        }
        sample
    }

    /// The line of a task, or of all.
    fn summary(&self, name: &str, alias: &str, row: Option<&Value>, all: usize) -> Value {
        let mut line = json!({ "name": name, "alias": alias, "sample_len": all });
        for metric in &self.metrics {
            let cell = |column: &str| row.and_then(|row| row.get(column)).filter(|cell| cell.is_number()).cloned();
            if let Some(mean) = cell(metric) {
                line[format!("{metric},{FILTER}")] = mean;
                let error = cell(&format!("{metric}_stderr"));
                line[format!("{metric}_stderr,{FILTER}")] = error.unwrap_or_else(|| json!("N/A"));
            }
        }
        line
    }

    fn config(&self, task: &str, num_fewshot: u64) -> Value {
        let metrics = self.metrics.iter();
        let metrics: Vec<Value> =
            metrics.map(|of| json!({ "metric": of, "aggregation": "mean", "higher_is_better": true })).collect();
        json!({
            "task": task, "output_type": "generate_until", "num_fewshot": num_fewshot, "metric_list": metrics,
            "generation_kwargs": self.sampling(), "repeats": 1,
            "metadata": { "version": self.record.key.version },
        })
    }

    fn sampling(&self) -> Value {
        let params = &self.record.key.params;
        let stop = params["stop"].as_array().cloned().unwrap_or_default();
        json!({
            "until": stop, "max_gen_toks": params["max_new_tokens"], "temperature": params["temperature"],
            "do_sample": params["temperature"].as_f64().is_some_and(|temperature| temperature > 0.0),
        })
    }

    /// All metrics that there are get better as they grow.
    fn higher(&self) -> Value {
        Value::Object(self.metrics.iter().map(|metric| (metric.clone(), json!(true))).collect())
    }
}

/// As `hashlib.sha256` prints it.
fn sha256(text: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in digest(&SHA256, text.as_bytes()).as_ref() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// A task's name as a part of a file's.
fn file_name(task: &str) -> String {
    task.chars().map(|c| if c.is_alphanumeric() || "-_.+".contains(c) { c } else { '_' }).collect()
}

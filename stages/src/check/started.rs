//! Which programs a run would start: those of the pipeline's author, and servers.

use pipe_engine::{diag::redact, pipeline::Pipeline};
use serde::Serialize;
use serde_json::Value;

/// A program that a stage would start on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Started {
    /// The stage.
    pub stage: String,
    /// The parameter that says so: `argv`, `shell`, `engine`, or that of a model with `serve`.
    pub parameter: String,
    /// The program and its arguments, as they are written, without credentials.
    pub program: String,
}

/// All of them, each once however many variants start it, in the order of the stages.
pub(super) fn started(pipeline: &Pipeline) -> Vec<Started> {
    let mut all: Vec<Started> = Vec::new();
    for node in pipeline.graph.node_weights() {
        let stage = &pipeline.stages[node.placements[0].1 as usize].name;
        for (parameter, value) in node.params_json.as_object().into_iter().flatten() {
            let Some(program) = program(parameter, value) else { continue };
            let program = redact(&program).into_owned();
            let entry = Started { stage: stage.clone(), parameter: parameter.clone(), program };
            if !all.contains(&entry) {
                all.push(entry);
            }
        }
    }
    all
}

/// What a parameter starts. A kind that starts programs calls its parameters so.
fn program(parameter: &str, value: &Value) -> Option<String> {
    let words = |value: &Value| -> Option<String> {
        let words: Vec<&str> = value.as_array()?.iter().filter_map(Value::as_str).collect();
        (!words.is_empty()).then(|| words.join(" "))
    };
    match parameter {
        "argv" => words(value),
        // Of a script its first line says enough.
        "shell" => Some(format!("sh: {}", value.as_str()?.trim().lines().next()?)),
        "engine" => words(value.get("program")?),
        _ => {
            let text = |name: &str| value.get(name).and_then(Value::as_str);
            let usual = match text("serve")? {
                "llama_cpp" => "llama-server",
                other => other,
            };
            let program = text("program").unwrap_or(usual);
            let model = text("model").map(|model| format!(" with {model}")).unwrap_or_default();
            let arguments = value.get("args").and_then(words).map(|words| format!(" ({words})")).unwrap_or_default();
            Some(format!("the server {program}{model}{arguments}"))
        }
    }
}

//! Parameters and sources that differ between arms, read from the key records of all stages below their scores: the
//! proof that nothing else was changed.

use std::collections::{BTreeMap, BTreeSet};

use pipe_cache::StoreError;
use pipe_engine::{
    keys::{KeyRecord, ResultRecord, SourceContent},
    pipeline::NodeId,
};
use pipe_report::Differing;
use serde_json::Value;

use super::{Looked, study::STAGE};
use crate::comparison::Arms;

/// Under what the stages with scores stand, however they are called.
const SCORES: &str = "scores";
/// What stands in front of sources.
const SOURCE: &str = "source ";

/// What a record says of one parameter or source, by stage and name.
type Told = BTreeMap<(String, String), Value>;

/// What differs between the baseline and any other arm, in one draw.
pub(super) fn parameters(
    looked: &Looked<'_>,
    arms: &Arms,
    nodes: &[Vec<(String, NodeId)>],
) -> Result<Vec<Differing>, StoreError> {
    let first: Vec<Option<NodeId>> = nodes.iter().map(|nodes| nodes.first().map(|&(_, node)| node)).collect();
    let told: Vec<Option<Told>> =
        first.iter().map(|node| node.map(|node| told(looked, node)).transpose()).collect::<Result<_, _>>()?;
    let Some(baseline) = told.first().and_then(Option::as_ref) else { return Ok(Vec::new()) };
    let names: BTreeSet<&(String, String)> = told.iter().flatten().flat_map(BTreeMap::keys).collect();
    let mut found = Vec::new();
    for name in names {
        let of = |told: &Option<Told>| told.as_ref().and_then(|told| told.get(name).cloned());
        let values: Vec<Option<Value>> = told.iter().map(of).collect();
        let differs =
            |(value, told): (&Option<Value>, &Option<Told>)| told.is_some() && value.as_ref() != baseline.get(name);
        if !values.iter().zip(&told).any(differs) {
            continue;
        }
        let factor = factor(looked, arms, &first, &values).or_else(|| of_paths(looked, arms, &first, name));
        let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), text);
        found.push(Differing {
            stage: name.0.clone(),
            parameter: name.1.clone(),
            values: values.iter().map(shown).collect(),
            factor,
        });
    }
    Ok(found)
}

/// The factor that a source follows: paths are no part of keys, and say which content is meant.
fn of_paths(
    looked: &Looked<'_>,
    arms: &Arms,
    nodes: &[Option<NodeId>],
    (stage, name): &(String, String),
) -> Option<String> {
    if !name.starts_with(SOURCE) {
        return None;
    }
    let all: Vec<Told> =
        nodes.iter().map(|node| node.map(|node| written(looked, node, stage)).unwrap_or_default()).collect();
    let names = all.iter().flat_map(Told::keys).collect::<BTreeSet<_>>();
    names.into_iter().find_map(|name| {
        let values: Vec<Option<Value>> = all.iter().map(|told| told.get(name).cloned()).collect();
        let differs = values.iter().any(|value| *value != values[0]);
        differs.then(|| factor(looked, arms, nodes, &values)).flatten()
    })
}

/// All parameters of a stage below a node, those that enter no key among them.
fn written(looked: &Looked<'_>, node: NodeId, stage: &str) -> Told {
    let pipeline = looked.pipeline;
    let (variant, scoring) = pipeline.graph[node].placements[0];
    let place = match stage {
        SCORES => Some(scoring as usize),
        stage => pipeline.stages.iter().position(|of| of.name == stage),
    };
    let mut told = Told::new();
    if let Some(of) = place.and_then(|place| pipeline.node(variant as usize, place)) {
        let params = (*pipeline.graph[of].params_json).clone();
        flatten("", params, &mut |name, value| told.insert((stage.to_owned(), name), value));
    }
    told
}

/// The factor that a parameter follows: its values are those of a variable which differs between the same arms, alone
/// or as a part of a text. Arms that are other stages differ by what those say.
fn factor(looked: &Looked<'_>, arms: &Arms, nodes: &[Option<NodeId>], values: &[Option<Value>]) -> Option<String> {
    let variant = |node: NodeId| &looked.pipeline.variants[looked.pipeline.graph[node].placements[0].0 as usize];
    let (base, base_arm) = (variant(nodes[0]?), &arms.all[0]);
    let (mut factors, mut of_stages): (BTreeSet<String>, bool) = (BTreeSet::new(), false);
    for ((node, value), arm) in nodes.iter().zip(values).zip(&arms.all) {
        let Some(node) = node.filter(|_| *value != values[0]) else { continue };
        // What a whole stage has that an arm of another one does without goes with that stage.
        if arm.input != base_arm.input {
            of_stages = true;
            if value.is_some() {
                factors.insert(STAGE.to_owned());
            }
            continue;
        }
        let of = variant(node);
        let follows = |name: &&String| {
            let (Some(before), Some(now)) = (base.vars.get(*name), of.vars.get(*name)) else { return false };
            before != now && carries(values[0].as_ref(), before) && carries(value.as_ref(), now)
        };
        let by = of.vars.keys().find(follows)?;
        // A variable may be set by a level of a factor that is called otherwise.
        let is_factor = arm.factors.contains_key(by);
        let differing = arm.factors.iter().find(|(name, level)| base_arm.factors.get(*name) != Some(*level));
        factors.insert(match differing {
            Some((name, _)) if !is_factor => name.clone(),
            _ => by.clone(),
        });
    }
    if factors.is_empty() && of_stages {
        factors.insert(STAGE.to_owned());
    }
    (!factors.is_empty()).then(|| factors.into_iter().collect::<Vec<_>>().join(", "))
}

/// Whether a value is that of a variable, or a text with it inside. A variable that is null leaves the parameter out.
fn carries(value: Option<&Value>, variable: &Value) -> bool {
    match (value, variable) {
        (None | Some(Value::Null), variable) => variable.is_null(),
        (Some(value), variable) if value == variable => true,
        (Some(value), Value::Object(members)) => members.values().any(|member| carries(Some(value), member)),
        (Some(Value::Number(value)), Value::Number(variable)) => value.as_f64() == variable.as_f64(),
        (Some(Value::String(value)), variable) => {
            let part = text(variable);
            !part.is_empty() && value.contains(&part)
        }
        _ => false,
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What the records of a node and of all below it say.
fn told(looked: &Looked<'_>, node: NodeId) -> Result<Told, StoreError> {
    let pipeline = looked.pipeline;
    let (variant, scoring) = pipeline.graph[node].placements[0];
    let upstream = pipeline.upstream([node]);
    let mut told = Told::new();
    for stage in 0..pipeline.stages.len() {
        let Some(of) = pipeline.node(variant as usize, stage).filter(|of| upstream[of.index()]) else { continue };
        let Some(entry) = looked.entry(of) else { continue };
        // Scoring stages of different names are one row.
        let name = if stage == scoring as usize { SCORES.to_owned() } else { pipeline.stages[stage].name.clone() };
        let manifest = looked.store.manifest(&entry.key)?;
        let record = manifest.and_then(|of| serde_json::from_value::<ResultRecord>(of.provenance.record).ok());
        match record {
            Some(record) => leaves(&name, record.key, &mut told),
            // Of what has none it is not known that it is the same.
            None => {
                told.insert((name, "record".to_owned()), Value::from(format!("none under {}", entry.key.short())));
            }
        }
    }
    Ok(told)
}

fn leaves(stage: &str, record: KeyRecord, told: &mut Told) {
    let mut put = |name: String, value: Value| told.insert((stage.to_owned(), name), value);
    put("kind".to_owned(), Value::from(format!("{} {}", record.kind, record.version)));
    for source in record.sources {
        let value = match source.content {
            SourceContent::Content(digest) => Value::from(digest.short()),
            SourceContent::Files(files) => {
                Value::from(files.iter().map(|file| file.digest.short()).collect::<Vec<_>>().join(" "))
            }
            SourceContent::Value(value) => value,
            SourceContent::Env(value) => Value::from(set(value.as_deref())),
        };
        put(format!("{SOURCE}{}", source.label), value);
    }
    flatten("", record.params, &mut put);
}

/// What is told of a variable of the environment: people pass the page on.
pub(super) fn set(value: Option<&str>) -> &'static str {
    if value.is_some() { "set" } else { "not set" }
}

/// Parameters inside of parameters get names with dots.
fn flatten(prefix: &str, value: Value, put: &mut impl FnMut(String, Value) -> Option<Value>) {
    match value {
        Value::Object(members) if !members.is_empty() || prefix.is_empty() => {
            for (name, value) in members {
                let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                flatten(&name, value, put);
            }
        }
        Value::Array(members) if !members.is_empty() => {
            for (place, value) in members.into_iter().enumerate() {
                flatten(&format!("{prefix}.{place}"), value, put);
            }
        }
        value => {
            put(prefix.to_owned(), value);
        }
    }
}

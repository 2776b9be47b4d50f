//! Names of results: `stage`, `stage@variant`, `stage.output@variant`, or the beginning of a key.

use std::collections::{BTreeMap, BTreeSet};

use pipe_cache::{Digest, Store};
use pipe_engine::diag::one_of;

use crate::{error::CliError, output};

/// A result that was asked for.
pub(crate) struct Target {
    /// Its key.
    pub key: Digest,
    /// The output that was named, if one was.
    pub port: Option<String>,
    /// How it is called in front of people.
    pub label: String,
}

/// The parts of `stage.output@variant`.
struct Name<'a> {
    stage: &'a str,
    port: Option<&'a str>,
    variant: Option<&'a str>,
}

impl<'a> Name<'a> {
    fn parse(text: &'a str) -> Self {
        let (stage, variant) = text.split_once('@').map_or((text, None), |(stage, variant)| (stage, Some(variant)));
        let (stage, port) = stage.split_once('.').map_or((stage, None), |(stage, port)| (stage, Some(port)));
        Self { stage, port, variant }
    }
}

/// The pipelines that have results, or the one that was named.
pub(super) fn pipelines(store: &Store, wanted: Option<&str>) -> Result<Vec<String>, CliError> {
    let mut pipelines = store.pipelines()?;
    if let Some(wanted) = wanted {
        if !pipelines.iter().any(|p| p == wanted) {
            let help = one_of(wanted, "the pipelines are", pipelines.iter().map(String::as_str));
            return Err(CliError::NotFound { message: format!("there is no pipeline `{wanted}` in the store"), help });
        }
        pipelines.retain(|p| p == wanted);
    }
    Ok(pipelines)
}

/// What to say where no result was named: which there are.
pub(crate) fn unnamed(store: &Store, pipeline: Option<&str>) -> Result<CliError, CliError> {
    let mut stages = BTreeSet::new();
    for pipeline in pipelines(store, pipeline)? {
        stages.extend(store.refs(&pipeline)?.into_values().flat_map(BTreeMap::into_keys));
    }
    let help = match stages.len() {
        0 => "run a pipeline first: nothing is in the store".to_owned(),
        _ => format!(
            "name a stage: {}; `pipe ls` lists their results",
            stages.into_iter().collect::<Vec<_>>().join(", ")
        ),
    };
    Ok(CliError::Usage { message: "no result is named".to_owned(), help: Some(help) })
}

/// Finds what is meant, among the stages of `pipeline` or of all pipelines, and then among keys.
pub(crate) fn find(store: &Store, pipeline: Option<&str>, text: &str) -> Result<Target, CliError> {
    let name = Name::parse(text);
    let pipelines = pipelines(store, pipeline)?;
    // (pipeline, variant, key) of every stage of that name.
    let mut found: Vec<(String, String, Digest)> = Vec::new();
    let mut known: Vec<String> = Vec::new();
    for pipeline in pipelines {
        for (variant, stages) in store.refs(&pipeline)? {
            if let Some(key) = stages.get(name.stage) {
                found.push((pipeline.clone(), variant, *key));
            }
            known.extend(stages.into_keys());
        }
    }
    if found.is_empty() {
        if let Some(key) = by_key(store, text)? {
            return Ok(Target { key, port: None, label: key.short() });
        }
        known.sort();
        known.dedup();
        let help = one_of(name.stage, "the stages are", known.iter().map(String::as_str));
        return Err(CliError::NotFound { message: format!("there is no result `{text}`"), help });
    }
    let first_pipeline = found[0].0.clone();
    if let Some((other, ..)) = found.iter().find(|(p, ..)| *p != first_pipeline) {
        return Err(CliError::Usage {
            message: format!("several pipelines have a stage `{}`: `{first_pipeline}`, `{other}`", name.stage),
            help: Some("say which one with --pipeline".to_owned()),
        });
    }
    let port = name.port.map(str::to_owned);
    if let Some(wanted) = name.variant {
        let variants: Vec<&str> = found.iter().map(|(_, variant, _)| variant.as_str()).collect();
        let hit = found.iter().find(|(_, variant, _)| variant == wanted).ok_or_else(|| CliError::NotFound {
            message: format!("stage `{}` has no result in a variant `{wanted}`", name.stage),
            help: one_of(wanted, "the variants are", variants.iter().copied()),
        })?;
        return Ok(Target { key: hit.2, port, label: text.to_owned() });
    }
    let chosen = found.iter().find(|(_, variant, _)| variant == "baseline").unwrap_or(&found[0]);
    let label = if found.iter().all(|(.., key)| *key == chosen.2) {
        text.to_owned()
    } else {
        let distinct = found.iter().map(|(.., key)| key).collect::<BTreeSet<_>>().len();
        output::say(format_args!("{distinct} different results; this is {text}@{}", chosen.1));
        format!("{text}@{}", chosen.1)
    };
    Ok(Target { key: chosen.2, port, label })
}

/// The key that begins so, if it is one only.
fn by_key(store: &Store, text: &str) -> Result<Option<Digest>, CliError> {
    if text.len() < 4 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let mut keys: Vec<Digest> = store.keys()?.into_iter().filter(|key| key.to_string().starts_with(text)).collect();
    if keys.len() > 1 {
        return Err(CliError::Usage {
            message: format!("{} keys begin with `{text}`", keys.len()),
            help: Some("give more of it".to_owned()),
        });
    }
    Ok(keys.pop())
}

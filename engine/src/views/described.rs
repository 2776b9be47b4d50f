//! What variants are, kept in the store for those who have no pipeline at hand: `runs/variants/<pipeline>.json`.

use std::{fs, io, path::PathBuf};

use indexmap::IndexMap;
use pipe_cache::{Store, put_file};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ViewError;
use crate::{
    context::{Draws, GatheredFrom},
    diag::{redact, redacted},
    pipeline::{Pipeline, Variant},
};

/// A variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Described {
    /// The name under which its results are kept.
    pub variant: String,
    /// The same without `replicate` factors; `None` where it is not known.
    pub arm: Option<String>,
    /// Which draw of its arm it is; `None` where an arm is one variant.
    pub draw: Option<String>,
    /// The trial that it belongs to.
    pub trial: Option<String>,
    /// All factors with their values.
    pub factors: IndexMap<String, Value>,
}

impl Described {
    /// One that no run has described.
    pub(super) fn unknown(variant: &str) -> Self {
        Self { variant: variant.to_owned(), arm: None, draw: None, trial: None, factors: IndexMap::new() }
    }
}

/// The variants of a pipeline, in their order.
pub(super) fn of(pipeline: &Pipeline) -> Vec<Described> {
    let trial = &pipeline.trial;
    let gathered: Vec<GatheredFrom> = pipeline.variants.iter().map(Variant::gathered).collect();
    let draws = Draws::of(&gathered);
    let variants = pipeline.variants.iter().zip(&gathered).enumerate();
    let described = variants.map(|(place, (variant, from))| Described {
        variant: pipeline.kept_as(place),
        arm: Some(match trial {
            Some(trial) => format!("{}+{trial}", variant.arm),
            None => variant.arm.clone(),
        }),
        draw: draws.name(from).map(|draw| redact(&draw).into_owned()),
        trial: trial.clone(),
        factors: variant.factors.iter().map(|(name, value)| (name.clone(), redacted(value))).collect(),
    });
    described.collect()
}

fn path(store: &Store, pipeline: &str) -> PathBuf {
    store.layout().runs().join("variants").join(format!("{pipeline}.json"))
}

/// What the store says of the variants of a pipeline: those of its file first. Nothing, where that cannot be read: the
/// next run writes it anew.
pub(super) fn read(store: &Store, pipeline: &str) -> Result<Vec<Described>, ViewError> {
    let path = path(store, pipeline);
    match fs::read(&path) {
        Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(ViewError::Io { action: "read", path, source }),
    }
}

/// Puts the variants of a pipeline in the place of those that it had, or that the same trial of it had; of other trials
/// it keeps those that still have results.
pub(super) fn keep(store: &Store, pipeline: &Pipeline) -> Result<(), ViewError> {
    let before = read(store, &pipeline.name)?;
    let refs = store.refs(&pipeline.name)?;
    let own = of(pipeline);
    let others = before.iter().filter(|d| d.trial != pipeline.trial && refs.contains_key(&d.variant)).cloned();
    let mut all: Vec<Described> = own.into_iter().chain(others).collect();
    all.sort_by(|a, b| a.trial.cmp(&b.trial));
    if all == before {
        return Ok(());
    }
    let path = path(store, &pipeline.name);
    let written = serde_json::to_vec(&all).map_err(io::Error::from).and_then(|text| put_file(&path, &text));
    written.map_err(|source| ViewError::Io { action: "write", path, source })
}

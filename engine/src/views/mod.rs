//! Results as tables of a database: one view per stage and output over all variants, in DuckDB's SQL.
//!
//! Views name the objects of the store, so that nothing is copied; what a variant is (its arm, its draw, its factors)
//! stands in a file of the store that every run of the pipeline brings up to date.

mod described;
mod names;
mod sql;

use std::{
    collections::{BTreeMap, HashMap, hash_map},
    fs, io,
    path::{Path, PathBuf},
};

use pipe_cache::{ArtifactKind, Column, Digest, Hasher, Lookup, Output, Store, StoreError, put_file};

pub use self::described::Described;
use self::names::Names;
use crate::pipeline::Pipeline;

/// The file of a pipeline's views, beside the links of its variants.
pub const FILE: &str = "views.sql";

/// Of the text: another one is written when it changes, although no result did.
const FORMAT: u32 = 1;

/// Why there are no views.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file could not be read or written.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// Completes "failed to ...".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// SQL is text.
    #[error("{} is not UTF-8, and cannot be named in SQL", .0.display())]
    Path(PathBuf),
}

/// The views of some pipelines.
#[derive(Debug)]
pub struct Views {
    pipelines: Vec<PipelineViews>,
}

/// The views of a pipeline.
#[derive(Debug)]
struct PipelineViews {
    name: String,
    /// Names of factors, in the order of columns.
    factors: Vec<String>,
    views: Vec<View>,
    /// Variants that nothing is known of but their names: no run has described them.
    unknown: Vec<String>,
}

/// An output of a stage over all variants that have it.
#[derive(Debug)]
struct View {
    name: String,
    stage: String,
    /// Whether it is the first of its stage's outputs, in all variants.
    first: bool,
    /// One after the other by the first of their variants.
    rows: Vec<Row>,
    /// The tables that the rows name, by digest.
    objects: HashMap<Digest, Object>,
}

/// An output in a variant.
#[derive(Debug)]
struct Row {
    variant: Described,
    key: Digest,
    object: Digest,
}

/// A table in the store.
#[derive(Debug)]
struct Object {
    path: String,
    columns: Vec<Column>,
}

impl Views {
    /// What stands in the store of these pipelines, trials included.
    pub fn read(store: &Store, pipelines: &[String]) -> Result<Self, ViewError> {
        let views = pipelines.iter().map(|name| PipelineViews::read(store, name));
        Ok(Self { pipelines: views.collect::<Result<_, _>>()? })
    }

    /// Pipelines with variants whose arm and factors are not known: they were run by an earlier version alone.
    pub fn unknown(&self) -> impl Iterator<Item = (&str, &[String])> {
        let unknown = self.pipelines.iter().filter(|pipeline| !pipeline.unknown.is_empty());
        unknown.map(|pipeline| (pipeline.name.as_str(), &pipeline.unknown[..]))
    }

    /// Whether there is no view at all.
    pub fn is_empty(&self) -> bool {
        self.pipelines.iter().all(|pipeline| pipeline.views.is_empty())
    }

    /// The views as SQL. Those of several pipelines are in schemas, named after the pipelines.
    pub fn sql(&self) -> String {
        sql::write(&self.pipelines)
    }
}

impl View {
    fn of(stage: &str, port: &str) -> Self {
        Self {
            name: format!("{stage}.{port}"),
            stage: stage.to_owned(),
            first: true,
            rows: Vec::new(),
            objects: HashMap::new(),
        }
    }
}

impl PipelineViews {
    fn read(store: &Store, name: &str) -> Result<Self, ViewError> {
        let refs = store.refs(name)?;
        let described = described::read(store, name)?;
        let mut factors: Vec<String> = Vec::new();
        for factor in described.iter().filter(|d| refs.contains_key(&d.variant)).flat_map(|d| d.factors.keys()) {
            if !factors.contains(factor) {
                factors.push(factor.clone());
            }
        }
        let known: HashMap<&str, usize> = described.iter().enumerate().map(|(i, d)| (d.variant.as_str(), i)).collect();
        let unknown: Vec<String> = refs.keys().filter(|name| !known.contains_key(name.as_str())).cloned().collect();
        let mut variants: Vec<Described> = refs
            .keys()
            .map(|name| match known.get(name.as_str()) {
                Some(&place) => described[place].clone(),
                None => Described::unknown(name),
            })
            .collect();
        variants.sort_by_key(|variant| known.get(variant.variant.as_str()).copied().unwrap_or(usize::MAX));
        let mut views: BTreeMap<(&str, String), View> = BTreeMap::new();
        let mut outputs: HashMap<Digest, Vec<Output>> = HashMap::new();
        for variant in &variants {
            for (stage, key) in &refs[&variant.variant] {
                if !outputs.contains_key(key) {
                    // What gc has taken has no table to be read from.
                    let is_there = matches!(store.lookup(key)?, Lookup::Hit(_));
                    let manifest = if is_there { store.manifest(key)? } else { None };
                    outputs.insert(*key, manifest.map(|manifest| manifest.outputs).unwrap_or_default());
                }
                for (place, Output { port, artifact, columns, .. }) in outputs[key].iter().enumerate() {
                    if artifact.kind != ArtifactKind::Table {
                        continue;
                    }
                    let view = views.entry((stage, port.clone())).or_insert_with(|| View::of(stage, port));
                    view.first &= place == 0;
                    if let hash_map::Entry::Vacant(place) = view.objects.entry(artifact.object) {
                        let path = store.layout().artifact(artifact);
                        let path = path.to_str().map(str::to_owned).ok_or(ViewError::Path(path))?;
                        place.insert(Object { path, columns: columns.clone() });
                    }
                    view.rows.push(Row { variant: variant.clone(), key: *key, object: artifact.object });
                }
            }
        }
        let mut views: Vec<View> = views.into_values().collect();
        // The first output is called as its stage, as its link is, unless the variants differ in which one is first.
        let firsts = |stage: &str| views.iter().filter(|view| view.first && view.stage == stage).count();
        let plain: Vec<bool> = views.iter().map(|view| view.first && firsts(&view.stage) == 1).collect();
        for (view, _) in views.iter_mut().zip(plain).filter(|(_, plain)| *plain) {
            view.name.clone_from(&view.stage);
        }
        Ok(Self { name: name.to_owned(), factors, views, unknown })
    }
}

/// The state of the results together with all else that the text of the views depends on.
pub(crate) fn stamped(state: Digest, pipeline: &Pipeline) -> Digest {
    let mut h = Hasher::new("pipe.views");
    h.digest(&state).str(&FORMAT.to_string());
    h.str(&serde_json::to_string(&described::of(pipeline)).unwrap_or_default());
    h.finish()
}

/// Brings up to date what the store says of the variants, and with it the views of the pipeline at `path`, which is
/// written when it says something new.
pub(crate) fn put(store: &Store, path: &Path, pipeline: &Pipeline) -> Result<(), ViewError> {
    described::keep(store, pipeline)?;
    let views = Views::read(store, std::slice::from_ref(&pipeline.name))?;
    let io = |action: &'static str| move |source| ViewError::Io { action, path: path.to_owned(), source };
    if views.is_empty() {
        return match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io("remove")(e)),
            _ => Ok(()),
        };
    }
    let text = views.sql();
    if fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    put_file(path, text.as_bytes()).map_err(io("write"))
}

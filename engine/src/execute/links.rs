//! Links to results, for people, and beside them where they come from: `results/<pipeline>/<variant>/`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use pipe_cache::{ArtifactKind, ArtifactRef, Digest, Entry, Provenance, ResultLink, Store, StoreError, put_file};
use serde::{Deserialize, Serialize};

use super::kept::Kept;
use crate::pipeline::{NodeId, Pipeline};

/// The file that says where the results beside it come from.
const PROVENANCE: &str = "provenance.json";

/// Where one result comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Origin {
    pipeline: String,
    variant: String,
    stage: String,
    kind: String,
    version: u32,
    key: Digest,
    /// Name, version and commit of the program that computed it.
    software: String,
    run: String,
    started_ms: u64,
    seconds: f64,
    /// By the name of the link.
    outputs: BTreeMap<String, ArtifactRef>,
}

/// Where all of a pipeline lies, below the results folder.
pub fn results_folder(pipeline: &Pipeline) -> PathBuf {
    file_name(&pipeline.name).into()
}

/// Where the links of a variant lie, below the results folder.
pub(super) fn folder(pipeline: &Pipeline, variant: usize) -> PathBuf {
    results_folder(pipeline).join(file_name(&pipeline.kept_as(variant)))
}

/// Makes the links of all results, and removes those of what is no longer one.
pub(super) fn put(store: &Store, results: &Path, kept: &Kept<'_>) -> Result<(), StoreError> {
    let pipeline = kept.pipeline;
    let mut all: Vec<ResultLink> = Vec::new();
    let mut origins: Vec<BTreeMap<String, Origin>> = vec![BTreeMap::new(); pipeline.variants.len()];
    let mut names: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for variant in 0..pipeline.variants.len() {
        names.insert(folder(pipeline, variant), BTreeSet::new());
    }
    let before: BTreeMap<PathBuf, BTreeMap<String, Origin>> =
        names.keys().map(|folder| (folder.clone(), read(&results.join(folder)))).collect();
    for (variant, stage, node, entry) in kept.placements() {
        let dir = folder(pipeline, variant);
        let outputs: BTreeMap<String, ArtifactRef> =
            links(&pipeline.stages[stage].name, entry).map(|(name, artifact)| (name, *artifact)).collect();
        all.extend(outputs.iter().map(|(name, artifact)| ResultLink { path: dir.join(name), artifact: *artifact }));
        if let Some(names) = names.get_mut(&dir) {
            names.extend(outputs.keys().cloned());
        }
        let stage = pipeline.stages[stage].name.clone();
        let known = before.get(&dir).and_then(|origins| origins.get(&stage)).filter(|o| o.key == entry.key);
        let origin = match known {
            Some(origin) => Origin { outputs, ..origin.clone() },
            None => origin(&provenance(store, entry)?, pipeline, (variant, &stage, node), entry, outputs),
        };
        origins[variant].insert(stage, origin);
    }
    store.link_results(results, &all)?;
    for (variant, origins) in origins.iter().enumerate() {
        let dir = folder(pipeline, variant);
        let at = results.join(&dir);
        if origins.is_empty() {
            let _ = fs::remove_file(at.join(PROVENANCE));
        } else if before.get(&dir) != Some(origins) {
            write(&at, origins)?;
        }
    }
    sweep(store, results, pipeline, &names)
}

/// Where results come from that were computed since that was last written down.
#[derive(Default)]
pub(super) struct Unwritten {
    /// By folder and stage.
    origins: BTreeMap<PathBuf, BTreeMap<String, Origin>>,
    /// When it is written down next: the files are written whole, so that not much of the time may go into them.
    due: Option<Instant>,
}

impl Unwritten {
    /// How long people wait for it at least.
    const PAUSE: Duration = Duration::from_secs(1);
    /// What writing takes of the time, at most: one part in so many.
    const SHARE: u32 = 20;

    /// Writes it down, if enough time has gone by.
    pub(super) fn write_if_due(&mut self, results: &Path) -> Result<(), StoreError> {
        let begun = Instant::now();
        if self.origins.is_empty() || self.due.is_some_and(|due| begun < due) {
            return Ok(());
        }
        let written = self.write(results);
        self.due = Some(Instant::now() + (begun.elapsed() * Self::SHARE).max(Self::PAUSE));
        written
    }

    /// Writes it down, beside what others have written.
    pub(super) fn write(&mut self, results: &Path) -> Result<(), StoreError> {
        for (folder, origins) in std::mem::take(&mut self.origins) {
            let at = results.join(folder);
            let mut all = read(&at);
            if origins.iter().any(|(stage, origin)| all.get(stage) != Some(origin)) {
                all.extend(origins);
                write(&at, &all)?;
            }
        }
        Ok(())
    }
}

/// Makes the links of a result that has just been computed, because people look at them while the run goes on. Where it
/// comes from is still to be written down.
pub(super) fn put_one(
    store: &Store,
    results: &Path,
    pipeline: &Pipeline,
    (node, entry): (NodeId, &Entry),
    unwritten: &mut Unwritten,
) -> Result<(), StoreError> {
    let provenance = provenance(store, entry)?;
    let (mut all, mut origins) = (Vec::new(), Vec::new());
    for &(variant, stage) in &pipeline.graph[node].placements {
        let (variant, stage) = (variant as usize, &pipeline.stages[stage as usize].name);
        let dir = folder(pipeline, variant);
        let outputs: BTreeMap<String, ArtifactRef> =
            links(stage, entry).map(|(name, artifact)| (name, *artifact)).collect();
        all.extend(outputs.iter().map(|(name, artifact)| ResultLink { path: dir.join(name), artifact: *artifact }));
        origins.push((dir, origin(&provenance, pipeline, (variant, stage, node), entry, outputs)));
    }
    store.link_more_results(results, &all)?;
    for (dir, origin) in origins {
        unwritten.origins.entry(dir).or_default().insert(origin.stage.clone(), origin);
    }
    Ok(())
}

/// Removes links to what is no longer a result of the pipeline.
fn sweep(
    store: &Store,
    results: &Path,
    pipeline: &Pipeline,
    names: &BTreeMap<PathBuf, BTreeSet<String>>,
) -> Result<(), StoreError> {
    let parent = file_name(&pipeline.name);
    let folders = match fs::read_dir(results.join(&parent)) {
        Ok(entries) => {
            // Files beside the folders are not links.
            let folders = entries.filter_map(Result::ok).filter(|e| e.file_type().is_ok_and(|of| of.is_dir()));
            folders.filter_map(|folder| folder.file_name().into_string().ok()).collect()
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(StoreError::Io { action: "list", path: results.join(&parent), source }),
    };
    for folder in folders {
        let dir = Path::new(&parent).join(&folder);
        let at = results.join(&dir);
        if let Some(names) = names.get(&dir) {
            store.unlink_results(&at, &|name| names.contains(name))?;
        } else if !pipeline.stages.iter().any(|stage| pipeline.may_keep(&folder, &stage.name)) {
            let _ = fs::remove_file(at.join(PROVENANCE));
            store.unlink_results(&at, &|_| false)?;
        }
    }
    Ok(())
}

fn provenance(store: &Store, entry: &Entry) -> Result<Provenance, StoreError> {
    Ok(store.manifest(&entry.key)?.map(|manifest| manifest.provenance).unwrap_or_default())
}

fn origin(
    provenance: &Provenance,
    pipeline: &Pipeline,
    (variant, stage, node): (usize, &str, NodeId),
    entry: &Entry,
    outputs: BTreeMap<String, ArtifactRef>,
) -> Origin {
    let kind = &pipeline.graph[node].kind;
    Origin {
        pipeline: pipeline.name.clone(),
        variant: pipeline.kept_as(variant),
        stage: stage.to_owned(),
        kind: kind.name().to_owned(),
        version: kind.version(),
        key: entry.key,
        software: provenance.software.clone(),
        run: provenance.run_id.clone(),
        started_ms: provenance.started_ms,
        seconds: entry.seconds,
        outputs,
    }
}

/// The names of a stage's links: `<stage>.parquet` for the first output, `<stage>.<port>.parquet` for the others;
/// directories have no extension.
fn links<'a>(stage: &str, entry: &'a Entry) -> impl Iterator<Item = (String, &'a ArtifactRef)> {
    entry.outputs.iter().enumerate().map(move |(i, (port, artifact))| (link(stage, (i, port), artifact.kind), artifact))
}

/// The link of a stage's output, by its place and port.
fn link(stage: &str, (place, port): (usize, &str), kind: ArtifactKind) -> String {
    let mut name = if place == 0 { stage.to_owned() } else { format!("{stage}.{port}") };
    if kind == ArtifactKind::Table {
        name.push_str(".parquet");
    }
    file_name(&name)
}

/// Where the link of a stage's output lies, below the folder of results: `<pipeline>/<variant>/<name>`.
pub fn link_path(
    pipeline: &Pipeline,
    variant: usize,
    stage: &str,
    output: (usize, &str),
    kind: ArtifactKind,
) -> PathBuf {
    folder(pipeline, variant).join(link(stage, output, kind))
}

/// What the file of an earlier run says; nothing, where there is none that can be read: it is made anew then.
fn read(folder: &Path) -> BTreeMap<String, Origin> {
    fs::read(folder.join(PROVENANCE)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn write(folder: &Path, origins: &BTreeMap<String, Origin>) -> Result<(), StoreError> {
    let path = folder.join(PROVENANCE);
    let text = serde_json::to_vec_pretty(origins).expect("origins are plain data");
    put_file(&path, &text).map_err(|source| StoreError::Io { action: "write", path, source })
}

/// A name as one component of a path.
fn file_name(name: &str) -> String {
    let name: String = name.chars().map(|c| if c == '/' || c == '\\' || c.is_control() { '_' } else { c }).collect();
    if name == "." || name == ".." || name.is_empty() { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_results_come_from_is_written_down_now_and_then_and_at_the_end() {
        let results = tempfile::tempdir().unwrap();
        let folder = Path::new("p/baseline");
        let mut unwritten = Unwritten::default();
        let add = |stage: &str, unwritten: &mut Unwritten| {
            let origin = Origin {
                pipeline: "p".to_owned(),
                variant: "baseline".to_owned(),
                stage: stage.to_owned(),
                kind: "table".to_owned(),
                version: 1,
                key: Digest::of_bytes(stage.as_bytes()),
                software: String::new(),
                run: "r".to_owned(),
                started_ms: 0,
                seconds: 0.5,
                outputs: BTreeMap::new(),
            };
            unwritten.origins.entry(folder.to_owned()).or_default().insert(stage.to_owned(), origin);
        };
        let written = || read(&results.path().join(folder)).into_keys().collect::<Vec<_>>().join(" ");
        add("a", &mut unwritten);
        unwritten.write_if_due(results.path()).unwrap();
        assert_eq!(written(), "a");
        add("b", &mut unwritten);
        unwritten.write_if_due(results.path()).unwrap();
        assert_eq!(written(), "a", "it was written just now");
        unwritten.write(results.path()).unwrap();
        assert_eq!(written(), "a b");
    }
}

//! Finds what a command is about: the project's root, its store, the pipeline.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use pipe_cache::{Store, StoreError, StoreOptions};
use pipe_engine::{
    pipeline::Pipeline,
    resolve::{Overrides, resolve},
    spec,
};

use crate::{
    cli::{Global, PipelineArgs},
    diagnostics,
    error::CliError,
    output,
};

/// The store's name in the project's root.
const STORE: &str = ".pipe";

/// Reads and resolves a pipeline file; warnings go to stderr.
pub fn load(args: &PipelineArgs) -> Result<Pipeline, CliError> {
    let _span = tracing::info_span!("load", file = %args.pipeline.display()).entered();
    let spec = spec::load(&args.pipeline);
    let overrides = Overrides { set: args.set.clone() };
    let resolved = resolve(&spec, &pipe_stages::registry(), &overrides).map_err(CliError::Pipeline)?;
    if !resolved.warnings.items.is_empty() {
        diagnostics::print(&resolved.warnings);
    }
    let mut pipeline = resolved.pipeline;
    // Programs run in this folder, and `p.yaml` has none in its name.
    pipeline.base_dir = absolute(&pipeline.base_dir);
    Ok(pipeline)
}

/// The path from the root on; an empty one is the current folder.
fn absolute(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The nearest folder from `start` upwards that has a store or is a repository's root; `start` itself if there is none.
fn root(start: &Path) -> PathBuf {
    let start = absolute(start);
    let marked = |dir: &&Path| dir.join(STORE).is_dir() || dir.join(".git").exists();
    start.ancestors().find(marked).unwrap_or(&start).to_owned()
}

/// Where the store of a pipeline in `folder` lies.
pub fn store_path(global: &Global, folder: &Path) -> PathBuf {
    global.store.clone().unwrap_or_else(|| root(folder).join(STORE))
}

/// Where links to results are made: beside the store.
pub fn results_path(store: &Store) -> PathBuf {
    store.layout().root().with_file_name("results")
}

/// Opens the store for a pipeline in `folder`, making it where it is missing. One on a read-only file system serves
/// what it has.
pub fn open_store(global: &Global, folder: &Path) -> Result<Store, CliError> {
    let path = store_path(global, folder);
    match Store::open(&path, StoreOptions::default()) {
        Err(StoreError::ReadOnly { .. }) => {
            output::warning(format_args!("{} is read-only: results are reused, and none can be added", path.display()));
            Ok(Store::open(&path, StoreOptions { read_only: true })?)
        }
        opened => Ok(opened?),
    }
}

/// Opens the store of the current folder's project, which must be there.
pub fn existing_store(global: &Global) -> Result<Store, CliError> {
    let path = store_path(global, Path::new("."));
    if !path.is_dir() {
        return Err(CliError::NotFound {
            message: format!("there is no store {}", path.display()),
            help: Some("run a pipeline first, or name the store with --store".to_owned()),
        });
    }
    open_store(global, Path::new("."))
}

/// A snapshot of the environment for stages that declare what they need of it.
pub fn environment() -> Arc<BTreeMap<String, String>> {
    let readable =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Arc::new(readable.collect())
}

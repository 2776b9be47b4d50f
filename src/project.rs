//! Finds what a command is about: the pipeline's file, the project's root, its store and its remote.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use pipe_cache::{Remote, Store, StoreError, StoreOptions};
use pipe_engine::{
    diag::{list_names, plain},
    spec::{self, PipelineSpec},
};

use crate::{
    cli::global::Global,
    error::CliError,
    output,
    settings::{self, Settings},
};

/// The store's name in the project's root.
const STORE: &str = ".pipe";

/// Reads a pipeline file, which may be a built-in one.
pub(crate) fn spec(file: &Path) -> PipelineSpec {
    spec::load_among(file, pipe_stages::builtin::BUILTINS)
}

/// The path from the root on; an empty one is the current folder.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The nearest folder from `start` upwards that has a store or settings, or is a repository's root; `start` itself if
/// there is none.
/// A folder that is called as a store and is none is passed over, and, with `tell`, told of.
fn root(start: &Path, tell: bool) -> PathBuf {
    let start = absolute(start);
    let marked = |dir: &&Path| {
        let store = dir.join(STORE);
        if tell && store.is_dir() && !may_be_store(&store) && *dir != start {
            output::warning(format_args!("{} is not a store, and is passed over", store.display()));
        }
        may_be_store(&store) || dir.join(settings::FILE).is_file() || dir.join(".git").exists()
    };
    start.ancestors().find(marked).unwrap_or(&start).to_owned()
}

/// Whether a folder is a store, or is empty and may become one.
fn may_be_store(folder: &Path) -> bool {
    // In this order: what another process makes first in a folder that was empty tells that it is a store.
    let is_empty = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    is_empty || Store::is_at(folder)
}

/// What the project of a folder says of itself.
pub(crate) fn settings(folder: &Path) -> Result<Settings, CliError> {
    Settings::load(&root(folder, false))
}

/// Where the store of a pipeline in `folder` is said to lie: by `--store` or the environment, which is `named`, or else
/// by the project's settings.
fn said_of_store(named: Option<&Path>, folder: &Path) -> Result<Option<PathBuf>, CliError> {
    match named {
        Some(path) => Ok(Some(path.to_owned())),
        None => Ok(settings(folder)?.store().map(Path::to_owned)),
    }
}

/// Where the store of a pipeline in `folder` lies; `named` is what `--store` or the environment says.
fn store_path(named: Option<&Path>, folder: &Path, tell: bool) -> Result<PathBuf, CliError> {
    let said = said_of_store(named, folder)?;
    let is_said = said.is_some();
    let path = said.unwrap_or_else(|| root(folder, tell).join(STORE));
    // Whoever names a folder may mean one that holds other things, too.
    let other = if is_said { !path.is_dir() } else { !may_be_store(&path) };
    if other && path.symlink_metadata().is_ok() {
        return Err(CliError::Usage {
            message: format!("{} is not a store", path.display()),
            help: Some("move it away, or name another place with --store".to_owned()),
        });
    }
    Ok(path)
}

/// Where links to results are made: beside the store.
pub(crate) fn results_path(store: &Store) -> PathBuf {
    store.layout().root().with_file_name("results")
}

/// The store of a pipeline in `folder`. Where commands without a pipeline would look elsewhere, it is said which it is.
fn store_of_pipeline(global: &Global, folder: &Path) -> Result<PathBuf, CliError> {
    let path = store_path(global.store.as_deref(), folder, true)?;
    if said_of_store(global.store.as_deref(), folder)?.is_none()
        && !global.quiet
        && path.parent() != Some(&root(Path::new("."), false))
    {
        output::say(format_args!("the store is {}", from_here(&path)));
    }
    Ok(path)
}

/// The store of a command that names no pipeline, which must be there: that of the current folder's project; where that
/// has none, the only one below, as that of a pipeline which was run from here. With `tell`, what is not obvious is
/// said.
pub(crate) fn store_from_here(named: Option<PathBuf>, tell: bool) -> Result<PathBuf, CliError> {
    let path = store_path(named.as_deref(), Path::new("."), tell)?;
    if Store::is_at(&path) {
        return Ok(path);
    }
    let is_said = said_of_store(named.as_deref(), Path::new("."))?.is_some();
    let below = if is_said { Vec::new() } else { stores_below(&absolute(Path::new("."))) };
    match &below[..] {
        [only] => {
            if tell {
                output::say(format_args!("the store is {}", from_here(only)));
            }
            Ok(only.clone())
        }
        [] => Err(CliError::NotFound {
            message: format!("there is no store {}", path.display()),
            help: Some("run a pipeline first, or name the store with --store".to_owned()),
        }),
        several => Err(CliError::Usage {
            message: format!("there is no store {}, and there are several below", path.display()),
            help: Some(format!("name one with --store: {}", listed(several))),
        }),
    }
}

fn listed(stores: &[PathBuf]) -> String {
    let names: Vec<String> = stores.iter().map(|path| from_here(path)).collect();
    list_names(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Stores in the folders below, nearest first. Looks no further than people nest projects.
fn stores_below(folder: &Path) -> Vec<PathBuf> {
    const DEPTH: usize = 3;
    const MAX_FOLDERS: usize = 2_000;
    let (mut found, mut looked_at) = (Vec::new(), 0);
    let mut level = vec![folder.to_owned()];
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for folder in level {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.filter_map(Result::ok) {
                let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                // Links are not followed: they would lead out, or round.
                if !hidden && looked_at < MAX_FOLDERS && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    looked_at += 1;
                    next.push(entry.path());
                }
            }
        }
        next.sort();
        found.extend(next.iter().map(|folder| folder.join(STORE)).filter(|store| Store::is_at(store)));
        level = next;
    }
    found
}

/// A path as one would write it here.
pub(crate) fn from_here(path: &Path) -> String {
    let path = plain(path);
    path.strip_prefix(absolute(Path::new("."))).unwrap_or(&path).display().to_string()
}

/// Opens the store for a pipeline in `folder`, making it where it is missing. One that may not be written to serves
/// what it has.
pub(crate) fn open_store(global: &Global, folder: &Path) -> Result<Store, CliError> {
    open_as_far_as_may_be(&store_of_pipeline(global, folder)?, "results are reused, and none can be added")
}

/// Opens a store to write to it, or, where that may not be, to read it; then people are told what comes of that.
fn open_as_far_as_may_be(path: &Path, so: &str) -> Result<Store, CliError> {
    match Store::open(path, writing()) {
        Err(StoreError::ReadOnly { .. }) => {
            output::warning(format_args!("{} is read-only: {so}", path.display()));
            Ok(Store::open(path, READ_ONLY)?)
        }
        opened => Ok(opened?),
    }
}

/// Opens the store for a pipeline in `folder` to look into it: nothing is written, and one that is missing is empty.
pub(crate) fn look_into_store(global: &Global, folder: &Path) -> Result<Store, CliError> {
    Ok(Store::open(store_of_pipeline(global, folder)?, READ_ONLY)?)
}

/// Opens the store for a pipeline in `folder` to change what it notes of workers.
pub(crate) fn existing_store_of(global: &Global, folder: &Path) -> Result<Store, CliError> {
    let path = store_of_pipeline(global, folder)?;
    if Store::is_at(&path) {
        return Ok(Store::open(path, writing())?);
    }
    Err(CliError::NotFound { message: format!("there is no store {}", path.display()), help: None })
}

/// Where a store lies, or would: what is asked about its place may be asked before there is one.
pub(crate) fn store_to_check(global: &Global) -> Result<PathBuf, CliError> {
    store_path(global.store.as_deref(), Path::new("."), true)
}

/// Opens the store of a command that names no pipeline, which must be there.
pub(crate) fn existing_store(global: &Global, options: StoreOptions) -> Result<Store, CliError> {
    Ok(Store::open(store_from_here(global.store.clone(), !global.quiet)?, options)?)
}

/// The same for one that takes notes there, and can do without.
pub(crate) fn existing_store_to_note(global: &Global) -> Result<Store, CliError> {
    let path = store_from_here(global.store.clone(), !global.quiet)?;
    open_as_far_as_may_be(&path, "what is sent is not noted, and looked for again the next time")
}

/// Whether commands that are given here and name no store find this one.
pub(crate) fn is_found_here(store: &Store) -> bool {
    let named = std::env::var_os("PIPE_STORE").map(PathBuf::from);
    let Ok(here) = store_path(named.as_deref(), Path::new("."), false) else { return false };
    let canonical = |path: &Path| path.canonicalize().ok();
    canonical(&here).is_some() && canonical(&here) == canonical(store.layout().root())
}

/// The remote of a pipeline's project, if it has one.
pub(crate) fn remote(folder: &Path, env: &BTreeMap<String, String>) -> Result<Option<Remote>, CliError> {
    settings(folder)?.remote(env)
}

/// What commands open the store with that only read it.
pub(crate) const READ_ONLY: StoreOptions = StoreOptions::READ_ONLY;

/// What commands open the store with that write to it; `PIPE_STORE_LOCKS=none` does without locks of files.
pub(crate) fn writing() -> StoreOptions {
    let no_locks = std::env::var_os("PIPE_STORE_LOCKS").is_some_and(|locks| locks == "none");
    StoreOptions { no_locks, ..StoreOptions::default() }
}

/// A snapshot of the environment for stages that declare what they need of it.
pub(crate) fn environment() -> Arc<BTreeMap<String, String>> {
    let readable =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Arc::new(readable.collect())
}

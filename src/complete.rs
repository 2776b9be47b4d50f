//! What a shell proposes for the word that is being typed: pipelines, their stages and variants, what is in the store.
//!
//! The shell calls the program with `COMPLETE` set and the words typed so far. Nothing is said where something is
//! wrong: there is then nothing to propose.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter};
use pipe_cache::Store;
use pipe_engine::{
    events::Journal,
    pipeline::Pipeline,
    resolve::{Overrides, resolve},
};

use crate::project;

/// The variable by which a shell asks.
pub(crate) const VARIABLE: &str = "COMPLETE";
/// Runs that are proposed, the last ones first.
const RUNS: usize = 20;

/// Answers a shell that asks about `program`; `false` where none asks.
pub(crate) fn answer(program: fn() -> clap::Command) -> bool {
    if env::var_os(VARIABLE).is_none_or(|shell| shell.is_empty() || shell == "0") {
        return false;
    }
    let folder = env::current_dir().ok();
    let asked = clap_complete::CompleteEnv::with_factory(program).var(VARIABLE);
    // An unknown shell is told of nothing, too.
    asked.try_complete(env::args_os(), folder.as_deref()).unwrap_or(true)
}

/// Pipeline files, and the folders that may hold some.
pub(crate) fn pipeline_files() -> ArgValueCompleter {
    let is_yaml = |path: &Path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    ArgValueCompleter::new(PathCompleter::any().filter(is_yaml))
}

/// Stages of the pipeline that is named on the command line; behind an `@`, their variants.
pub(crate) fn stages() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let Some(pipeline) = pipeline() else { return Vec::new() };
        let behind = current.to_str().and_then(|text| text.split_once('@'));
        let names: Vec<Proposal> = match behind {
            Some((stage, _)) => {
                variants_of(&pipeline).into_iter().map(|(name, about)| (format!("{stage}@{name}"), about)).collect()
            }
            None => pipeline.stages.iter().map(|stage| (stage.name.clone(), String::new())).collect(),
        };
        matching(current, names)
    })
}

/// Variants of the pipeline that is named on the command line.
pub(crate) fn variants() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        matching(current, pipeline().map(|pipeline| variants_of(&pipeline)).unwrap_or_default())
    })
}

/// Variables of the pipeline that is named on the command line, as `name=`.
pub(crate) fn variables() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let Some(file) = pipeline_file(&words()) else { return Vec::new() };
        let spec = project::spec(&file);
        matching(current, spec.vars.keys().map(|name| (format!("{name}="), String::new())).collect())
    })
}

/// Results in the store: `stage`, and behind an `@` the variants that have it.
pub(crate) fn results() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| matching(current, results_like(current).unwrap_or_default()))
}

/// Pipelines that have results in the store.
pub(crate) fn pipelines() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let names = store().and_then(|store| store.pipelines().ok()).unwrap_or_default();
        matching(current, names.into_iter().map(|name| (name, String::new())).collect())
    })
}

/// Runs, the last one first.
pub(crate) fn runs() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| matching(current, past_runs()))
}

/// Variants with results, and runs.
pub(crate) fn sides() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        let known = store().map(|store| known_stages(&store)).unwrap_or_default();
        for (pipeline, variant, _) in known {
            names.entry(variant).or_insert(pipeline);
        }
        matching(current, names.into_iter().chain(past_runs()).collect())
    })
}

/// Stage kinds, with what they do.
pub(crate) fn kinds() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let registry = pipe_stages::registry();
        let about = |schema: &serde_json::Value| schema["description"].as_str().unwrap_or_default().to_owned();
        let kind = |kind: &std::sync::Arc<dyn pipe_engine::kind::DynKind>| {
            let about = about(kind.schema().as_value());
            (kind.name().to_owned(), about.split(". ").next().unwrap_or_default().replace('\n', " "))
        };
        matching(current, registry.iter().map(kind).collect())
    })
}

/// A word, and what it is.
type Proposal = (String, String);

fn matching(current: &OsStr, all: Vec<Proposal>) -> Vec<CompletionCandidate> {
    let typed = current.to_string_lossy();
    let fits = all.into_iter().filter(|(name, _)| name.starts_with(&*typed));
    fits.map(|(name, about)| {
        let help = (!about.is_empty()).then(|| about.into());
        CompletionCandidate::new(name).help(help)
    })
    .collect()
}

/// The words of the command line that is being typed.
fn words() -> Vec<OsString> {
    env::args_os().skip_while(|word| word != "--").skip(1).collect()
}

/// The first word that names a pipeline file.
fn pipeline_file(words: &[OsString]) -> Option<PathBuf> {
    let is_pipeline = |path: &PathBuf| path.extension().is_some_and(|e| e == "yaml" || e == "yml") && path.is_file();
    words.iter().skip(1).map(PathBuf::from).find(is_pipeline)
}

/// What stands behind an option, `--name value` or `--name=value`, every time.
fn values(words: &[OsString], option: &str) -> Vec<String> {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let behind = words.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1].to_owned());
    let joined = words.iter().filter_map(|word| Some(word.strip_prefix(option)?.strip_prefix('=')?.to_owned()));
    behind.chain(joined).collect()
}

fn pipeline() -> Option<Pipeline> {
    let words = words();
    let spec = project::spec(&pipeline_file(&words)?);
    let mut set = values(&words, "--set");
    // The one that is being typed has no value yet.
    set.retain(|text| text.contains('='));
    let overrides = Overrides { set, name: None, folder: env::current_dir().ok()? };
    Some(resolve(&spec, &pipe_stages::registry(), &overrides).ok()?.pipeline)
}

fn variants_of(pipeline: &Pipeline) -> Vec<Proposal> {
    pipeline.variants.iter().map(|variant| (variant.name.clone(), String::new())).collect()
}

/// The store that the command would look into, if there is one.
fn store() -> Option<Store> {
    let words = words();
    let named =
        values(&words, "--store").pop().map(PathBuf::from).or_else(|| env::var_os("PIPE_STORE").map(Into::into));
    Store::open(project::store_from_here(named, false).ok()?, project::READ_ONLY).ok()
}

/// Pipeline, variant and stage of all results that pipelines stand at.
fn known_stages(store: &Store) -> Vec<(String, String, String)> {
    let mut known = Vec::new();
    for pipeline in store.pipelines().unwrap_or_default() {
        for (variant, stages) in store.refs(&pipeline).into_iter().flatten() {
            known.extend(stages.into_keys().map(|stage| (pipeline.clone(), variant.clone(), stage)));
        }
    }
    known
}

fn results_like(current: &OsStr) -> Option<Vec<Proposal>> {
    let known = known_stages(&store()?);
    let typed = current.to_str()?;
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for (pipeline, variant, stage) in known {
        match typed.split_once('@') {
            // An output may be named: `stage.output@variant`.
            Some((name, _)) if name.split('.').next() == Some(&*stage) => {
                names.insert(format!("{name}@{variant}"), pipeline);
            }
            Some(_) => {}
            None => drop(names.insert(stage, pipeline)),
        }
    }
    Some(names.into_iter().collect())
}

fn past_runs() -> Vec<Proposal> {
    let Some(store) = store() else { return Vec::new() };
    let runs = Journal::new(&store).runs().unwrap_or_default();
    let name = |(back, run): (usize, String)| match back {
        0 => ("last".to_owned(), run),
        back => (format!("last~{back}"), run),
    };
    runs.into_iter().take(RUNS).enumerate().map(name).collect()
}

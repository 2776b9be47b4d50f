//! From what the file says to what will be computed.
//!
//! ```text
//! vars      --set applied, references followed, baseline values         vars.rs, template.rs
//! variants  factors expanded; each variable a column of value numbers    variants.rs, names.rs
//! stages    parameters rendered, checked against the kind's schema,      stage.rs, kinds.rs, check/, phrases.rs,
//!           parsed: once per distinct set of values a stage looks at     operational.rs
//! link      inputs checked, cycles found, equal pairs made one node      link.rs, inputs.rs, order.rs
//! ```
//!
//! Every step reports what it finds and goes on with the rest, so that all problems of a pipeline come out together.
//! What could not be worked out is marked broken, and whoever depends on it stays quiet.

mod around;
mod check;
mod inputs;
mod kinds;
mod link;
mod names;
mod operational;
mod order;
mod phrases;
mod placing;
mod scope;
mod stage;
mod template;
mod variants;
mod vars;

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use pipe_cache::{Digest, Hasher};
use serde_json::Value;

use crate::{
    diag::{Diagnostic, Diagnostics, Span, TextId, did_you_mean, redact},
    kind::Registry,
    pipeline::{Pipeline, StageName},
    spec::PipelineSpec,
};

use around::Around;
use kinds::Kinds;
use stage::Stage;

/// Most (variant, stage) pairs of one pipeline.
const MAX_PAIRS: usize = 2_000_000;

/// Unused variables that are told one by one.
const MAX_UNUSED: usize = 10;

/// What the command line changes.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The arguments of `--set`, each `name=value`; of several for one variable, the last counts.
    pub set: Vec<String>,
    /// What the run is called instead of after what `set` changes; see [`Pipeline::trial`].
    pub name: Option<String>,
    /// The working folder: what paths in `set` are relative to, and the path of the pipeline file itself.
    pub folder: PathBuf,
}

/// A pipeline that can be planned.
pub struct Resolved {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// What is probably not meant.
    pub warnings: Diagnostics,
}

/// Resolves a pipeline against the known kinds.
///
/// # Errors
/// Everything that is wrong, the file's own problems ([`PipelineSpec::problems`]) and warnings included, in file order.
pub fn resolve(spec: &PipelineSpec, registry: &Registry, overrides: &Overrides) -> Result<Resolved, Diagnostics> {
    let mut texts = (*spec.texts).clone();
    let mut problems = spec.problems.clone();
    let mut warnings = Vec::new();
    let graph = resolve_parts(spec, registry, overrides, &mut texts, &mut problems, &mut warnings);
    let texts = Arc::new(texts);
    match graph {
        Some(pipeline) if problems.is_empty() => Ok(Resolved { pipeline, warnings: Diagnostics::new(warnings, texts) }),
        _ => {
            problems.extend(warnings);
            Err(Diagnostics::new(problems, texts))
        }
    }
}

fn resolve_parts(
    spec: &PipelineSpec,
    registry: &Registry,
    overrides: &Overrides,
    texts: &mut crate::diag::Texts,
    problems: &mut Vec<Diagnostic>,
    warnings: &mut Vec<Diagnostic>,
) -> Option<Pipeline> {
    let room = scope::Room::default();
    let vars = vars::Vars::new(spec.vars.clone(), overrides, &room, registry.synonyms(), texts, problems);
    let start = Span::new(TextId::default(), 0, 0);
    let mut kinds = Kinds::default();
    let stages: Vec<Stage<'_>> = spec
        .stages
        .iter()
        .map(|(name, stage)| Stage::new(name, stage, &vars, registry, &mut kinds, problems))
        .collect();
    let folders = placing::Folders::new(texts, &overrides.folder);
    let paths = placing::PathVars::new(&vars, &folders, stages.iter().filter_map(Stage::params));
    let variants = variants::expand(&spec.factors, &vars, &paths, &room, start, problems, warnings);
    unused(spec, &vars, &stages, problems, warnings);
    if variants.list.len().saturating_mul(stages.len()) > MAX_PAIRS {
        problems.push(
            Diagnostic::error(
                "graph::too_large",
                format!("{} variants of {} stages are too many", variants.list.len(), stages.len()),
            )
            .at(spec.factors.first().map_or(start, |f| f.span), "")
            .help(format!("a pipeline has at most {MAX_PAIRS} (variant, stage) pairs")),
        );
        return None;
    }
    let names: Vec<&str> = stages.iter().map(|s| s.name).collect();
    let by_name: HashMap<&str, usize> = names.iter().enumerate().map(|(i, name)| (*name, i)).collect();
    let cx =
        Around { vars: &vars, variants: &variants, names: &names, stages: &by_name, folders: &folders, room: &room };
    let configured: Vec<_> = stages.iter().map(|stage| stage.configure(&cx, problems)).collect();
    let linked = link::link(&stages, &configured, variants.list.len(), problems)?;
    Some(Pipeline {
        name: spec.name.clone(),
        about: spec.about.clone(),
        base_dir: placing::absolute(&overrides.folder, &spec.base_dir),
        files: spec.files.clone(),
        digest: digest(spec),
        overrides: overrides.set.iter().map(|text| redact(text).into_owned()).collect(),
        trial: trial(spec, &vars, overrides),
        variants: variants.list,
        stages: stages
            .iter()
            .map(|s| StageName {
                name: s.name.to_owned(),
                kind: s.spec.kind.as_ref().map_or_else(String::new, |(kind, _)| kind.clone()),
            })
            .collect(),
        graph: linked.graph,
        node_of: linked.node_of,
    })
}

/// The digest of all files' texts.
fn digest(spec: &PipelineSpec) -> Digest {
    let mut hasher = Hasher::new("pipe.file.v1");
    for file in spec.texts.files() {
        hasher.str(&file.text);
    }
    hasher.finish()
}

/// What a run with these overrides is called: after the variables that are set to another value than the file's.
fn trial(spec: &PipelineSpec, vars: &vars::Vars, overrides: &Overrides) -> Option<String> {
    if let Some(name) = &overrides.name {
        return Some(names::value_name(&Value::String(name.clone())));
    }
    let mut set: Vec<usize> = vars.set.iter().map(|&(var, _)| var).collect();
    set.sort_unstable();
    let changed = set.into_iter().filter(|&var| {
        let written = spec.vars.get(vars.name(var)).map(|def| def.value.to_json());
        written.as_ref() != Some(&vars.baseline[var])
    });
    let parts: Vec<String> =
        changed.map(|var| format!("{}={}", vars.name(var), names::value_name(&vars.baseline[var]))).collect();
    (!parts.is_empty()).then(|| names::trial(&parts))
}

/// Factors that change nothing, and variables of the file that is run which nobody uses.
fn unused(
    spec: &PipelineSpec,
    vars: &vars::Vars,
    stages: &[Stage<'_>],
    problems: &mut Vec<Diagnostic>,
    warnings: &mut Vec<Diagnostic>,
) {
    let is_broken = !problems.is_empty();
    let used = vars.used(stages.iter().flat_map(Stage::deps));
    let is_used = |name: &str| vars.defs.get_index_of(name).is_none_or(|i| used[i]);
    let mut reported = HashSet::new();
    for factor in &spec.factors {
        let mut set = factor.levels.iter().flat_map(|l| &l.settings).map(|s| s.var.as_str()).peekable();
        if set.peek().is_some() && !set.any(is_used) {
            problems.push(
                Diagnostic::error("factors::unused", format!("no stage uses the factor `{}`", factor.name))
                    .at(factor.span, "all its variants would be the same")
                    .help(format!(
                        "use `\"${{{}}}\"` in a stage, or remove the factor",
                        factor.levels[0].settings[0].var
                    )),
            );
            reported.extend(factor.levels.iter().flat_map(|l| &l.settings).map(|s| s.var.as_str()));
        }
    }
    let unused: Vec<(&String, Span)> = (spec.vars.iter())
        .filter(|(name, def)| def.span.text == TextId::default() && !is_used(name))
        .map(|(name, def)| (name, def.span))
        .filter(|(name, _)| !reported.contains(name.as_str()))
        .collect();
    // A stage that is wrong may be the one that uses them.
    if is_broken {
        return;
    }
    let warning = |message: String| Diagnostic::warning("vars::unused", message);
    if unused.len() > MAX_UNUSED {
        let mut all = warning(format!("nothing uses {} of the variables", unused.len()));
        for (_, span) in unused.iter().take(MAX_UNUSED) {
            all = all.at(*span, "unused");
        }
        warnings.push(all.help("use them in stages, or remove them"));
        return;
    }
    // Whoever misspells a variable of an included file gets its default instead: that is no matter for a warning. One
    // that this file sets itself was not meant, and one that an included file has is spelt rightly.
    let is_set_here = |name: &str| spec.vars.get(name).is_some_and(|def| def.span.text == TextId::default());
    let known = || vars.defs.keys().map(String::as_str).filter(|name| is_used(name) && !is_set_here(name));
    let (misspelt, unused): (Vec<_>, Vec<_>) = unused
        .into_iter()
        .map(|(name, span)| {
            let is_shared = spec.vars.get(name).is_some_and(|def| def.is_shared);
            (name, span, did_you_mean(name, known()).filter(|_| !is_shared))
        })
        .partition(|(.., m)| m.is_some());
    problems.extend(misspelt.into_iter().filter_map(|(name, span, meant)| {
        let message = format!("nothing uses the variable `{name}`; did you mean `{}`?", meant?);
        let help = format!("write `{}`, or remove it: it changes nothing", meant?);
        Some(Diagnostic::error("vars::misspelt", message).at(span, "unused").help(help))
    }));
    let unused: Vec<(&String, Span)> = unused.into_iter().map(|(name, span, _)| (name, span)).collect();
    warnings.extend(unused.into_iter().map(|(name, span)| {
        warning(format!("nothing uses the variable `{name}`"))
            .at(span, "unused")
            .help(format!("use it as `\"${{{name}}}\"`, or remove it"))
    }));
}

//! From what the file says to what will be computed.
//!
//! ```text
//! vars      --set applied, references followed, baseline values         vars.rs, template.rs
//! variants  factors expanded; each variable a column of value numbers    variants.rs, names.rs
//! stages    parameters rendered, checked against the kind's schema,      stage.rs, check.rs, words.rs, operational.rs
//!           parsed: once per distinct set of values a stage looks at
//! link      inputs checked, cycles found, equal pairs made one node      link.rs, inputs.rs, order.rs
//! ```
//!
//! Every step reports what it finds and goes on with the rest, so that all problems of a pipeline come out together. What could
//! not be worked out is marked broken, and whoever depends on it stays quiet.

mod check;
mod inputs;
mod link;
mod names;
mod operational;
mod order;
mod stage;
mod template;
mod variants;
mod vars;
mod words;

use std::{collections::HashMap, sync::Arc};

use crate::{
    diag::{Diagnostic, Diagnostics, SourceId, Span},
    kind::Registry,
    pipeline::{Pipeline, StageName},
    spec::PipelineSpec,
};

use stage::{Context, Kinds, Stage};

/// Most (variant, stage) pairs of one pipeline.
const MAX_PAIRS: usize = 2_000_000;

/// What the command line changes.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The arguments of `--set`, each `name=value`; of several for one variable, the last counts.
    pub set: Vec<String>,
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
    let mut sources = (*spec.sources).clone();
    let mut problems = spec.problems.clone();
    let mut warnings = Vec::new();
    let graph = resolve_parts(spec, registry, overrides, &mut sources, &mut problems, &mut warnings);
    let sources = Arc::new(sources);
    match graph {
        Some(pipeline) if problems.is_empty() => {
            Ok(Resolved { pipeline, warnings: Diagnostics::new(warnings, sources) })
        }
        _ => {
            problems.extend(warnings);
            Err(Diagnostics::new(problems, sources))
        }
    }
}

fn resolve_parts(
    spec: &PipelineSpec,
    registry: &Registry,
    overrides: &Overrides,
    sources: &mut crate::diag::SourceMap,
    problems: &mut Vec<Diagnostic>,
    warnings: &mut Vec<Diagnostic>,
) -> Option<Pipeline> {
    let vars = vars::Vars::new(spec.vars.clone(), &overrides.set, sources, problems);
    let start = Span::new(SourceId::default(), 0, 0);
    let variants = variants::expand(&spec.factors, &vars, start, problems, warnings);
    let mut kinds = Kinds::default();
    let stages: Vec<Stage<'_>> = spec
        .stages
        .iter()
        .map(|(name, stage)| Stage::new(name, stage, &vars, registry, &mut kinds, problems))
        .collect();
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
    let by_name: HashMap<&str, usize> = stages.iter().enumerate().map(|(i, s)| (s.name, i)).collect();
    let cx = Context { vars: &vars, variants: &variants, stages: &by_name };
    let configured: Vec<_> = stages.iter().map(|stage| stage.configure(&cx, problems)).collect();
    let linked = link::link(&stages, &configured, variants.list.len(), problems)?;
    Some(Pipeline {
        name: spec.name.clone(),
        about: spec.about.clone(),
        base_dir: spec.base_dir.clone(),
        files: spec.files.clone(),
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

/// Factors that change nothing, and variables of the file that is run which nobody uses.
fn unused(
    spec: &PipelineSpec,
    vars: &vars::Vars,
    stages: &[Stage<'_>],
    problems: &mut Vec<Diagnostic>,
    warnings: &mut Vec<Diagnostic>,
) {
    let used = vars.used(stages.iter().flat_map(Stage::deps));
    let is_used = |name: &str| vars.defs.get_index_of(name).is_none_or(|i| used[i]);
    let mut reported = Vec::new();
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
    for (name, def) in &spec.vars {
        let own_file = def.span.source == SourceId::default();
        if own_file && !is_used(name) && !reported.contains(&name.as_str()) {
            warnings.push(
                Diagnostic::warning("vars::unused", format!("nothing uses the variable `{name}`"))
                    .at(def.span, "unused")
                    .help(format!("use it as `\"${{{name}}}\"`, or remove it")),
            );
        }
    }
}

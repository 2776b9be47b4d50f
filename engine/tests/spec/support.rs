//! Resolving texts and folders.

use std::{io, path::Path};

use pipe_engine::{
    diag::Diagnostics,
    pipeline::Pipeline,
    resolve::{Overrides, Resolved, resolve},
    spec::load_with,
};
use pipe_testing::shapes::registry;

/// Resolves the first of these files; `include:` finds the others.
pub(crate) fn resolve_files(files: &[(&str, &str)], set: &[&str]) -> Result<Resolved, Diagnostics> {
    let read = |path: &Path| {
        let path = path.strip_prefix(".").unwrap_or(path);
        let file = files.iter().find(|(name, _)| Path::new(name) == path);
        file.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    };
    let overrides = Overrides { set: set.iter().map(|&s| s.to_owned()).collect(), ..Overrides::default() };
    resolve(&load_with(Path::new(files[0].0), &read), &registry(), &overrides)
}

/// A pipeline that must resolve.
pub(crate) fn resolved(text: &str) -> Pipeline {
    match resolve_files(&[("p.yaml", text)], &[]) {
        Ok(resolved) => resolved.pipeline,
        Err(problems) => panic!("{problems}"),
    }
}

/// The one-line form of everything that is wrong with a text.
pub(crate) fn problems(text: &str) -> String {
    problems_of(&[("p.yaml", text)], &[])
}

/// The same, for several files and `--set`.
pub(crate) fn problems_of(files: &[(&str, &str)], set: &[&str]) -> String {
    match resolve_files(files, set) {
        Ok(_) => panic!("this should not resolve"),
        Err(problems) => problems.to_string(),
    }
}

/// The nodes of a stage, by variant.
pub(crate) fn nodes<'p>(pipeline: &'p Pipeline, stage: &str) -> Vec<&'p pipe_engine::pipeline::Node> {
    let index = pipeline.stages.iter().position(|s| s.name == stage).expect("the stage exists");
    let of = |variant: usize| pipeline.node(variant, index);
    (0..pipeline.variants.len()).map(|v| &pipeline.graph[of(v).expect("every variant has every stage")]).collect()
}

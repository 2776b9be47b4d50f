//! `pipe diff`.

mod text;

use pipe_cache::Store;
use pipe_engine::{diag::one_of, inspect};

use super::runs;
use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output, project,
};

pub(crate) fn diff(global: &cli::Global, args: &cli::Diff) -> Result<Exit, CliError> {
    let store = project::existing_store(global, project::READ_ONLY)?;
    let diff = match pipeline_of(&store, args)? {
        Some(pipeline) => inspect::diff_variants(&store, &pipeline, &args.left, &args.right)?,
        None => inspect::diff_runs(&store, &runs::expect(&store, &args.left)?, &runs::expect(&store, &args.right)?)?,
    };
    match args.format {
        Format::Json => output::json(&diff)?,
        Format::Text => text::write(&diff, args.all, &mut output::prose())?,
    }
    Ok(Exit::Success)
}

/// The pipeline whose variants are meant; `None` when both names are runs.
fn pipeline_of(store: &Store, args: &cli::Diff) -> Result<Option<String>, CliError> {
    if args.pipeline.is_some() {
        return Ok(args.pipeline.clone());
    }
    let mut having = Vec::new();
    let mut variants = Vec::new();
    for pipeline in store.pipelines()? {
        let refs = store.refs(&pipeline)?;
        if refs.contains_key(&args.left) && refs.contains_key(&args.right) {
            having.push(pipeline);
        }
        variants.extend(refs.into_keys());
    }
    let are_runs = || -> Result<bool, CliError> {
        let named = runs::is_age(&args.left) || runs::is_age(&args.right);
        Ok(named || runs::find(store, &args.left)?.is_some() && runs::find(store, &args.right)?.is_some())
    };
    match having.as_slice() {
        [] if are_runs()? => Ok(None),
        [] => {
            let unknown = if variants.contains(&args.left) { &args.right } else { &args.left };
            variants.sort();
            variants.dedup();
            Err(CliError::NotFound {
                message: format!("no pipeline has both variants, and `{unknown}` is no run either"),
                help: one_of(unknown, "the variants are", variants.iter().map(String::as_str)),
            })
        }
        [one] => Ok(Some(one.clone())),
        several => Err(CliError::Usage {
            message: format!("several pipelines have these variants: {}", several.join(", ")),
            help: Some("say which one with --pipeline".to_owned()),
        }),
    }
}

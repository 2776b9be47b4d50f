//! `pipe kinds`: the documentation that the kinds carry.

use std::io::Write;

use pipe_engine::diag::one_of;
use serde_json::{Value, json};

use super::files::write_new;
use crate::{
    cli::{self, Format},
    docs::{KindDoc, described, document, list},
    error::CliError,
    exit::Exit,
    output::{self, color_on_stdout},
};

pub(crate) fn kinds(global: &cli::Global, args: &cli::Kinds) -> Result<Exit, CliError> {
    let registry = pipe_stages::registry();
    let mut out = output::stdout();
    if let Some(name) = &args.kind {
        let kind = registry.get(name).ok_or_else(|| CliError::NotFound {
            message: format!("there is no kind `{name}`"),
            help: one_of(name, "the kinds are", registry.iter().map(|kind| kind.name())),
        })?;
        let example = registry.example(name);
        if let (Some(dir), Some(example)) = (&args.write, example) {
            let pipeline = format!("{name}.yaml");
            let inside = example.files();
            let inside = inside.iter().map(|(name, text)| (*name, text.as_bytes()));
            write_new(dir, [(&*pipeline, example.0.as_bytes())].into_iter().chain(inside))?;
            if !global.quiet {
                output::say(format_args!("wrote {pipeline}: pipe run {}", dir.join(&pipeline).display()));
            }
            return Ok(Exit::Success);
        }
        match args.format {
            _ if args.example => write!(out, "{}", example.map_or("", |example| example.0))?,
            Format::Json => output::json(&described(kind.as_ref(), &registry))?,
            Format::Text => document(&KindDoc::new(kind.as_ref(), &registry), color_on_stdout(), &mut out)?,
        }
        return Ok(Exit::Success);
    }
    match args.format {
        Format::Json => {
            let kinds: Vec<Value> = registry
                .iter()
                .map(|kind| {
                    let params = described(kind.as_ref(), &registry);
                    json!({ "name": kind.name(), "version": kind.version(), "params": params })
                })
                .collect();
            output::json(&kinds)?;
        }
        Format::Text => {
            let kinds: Vec<KindDoc> = registry.iter().map(|kind| KindDoc::new(kind.as_ref(), &registry)).collect();
            list(&kinds, color_on_stdout(), &mut out)?;
        }
    }
    Ok(Exit::Success)
}

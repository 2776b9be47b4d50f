//! `pipe kinds`: the documentation that the kinds carry.

use std::{fs, io::Write, path::Path};

use pipe_engine::{diag::one_of, kind::Example};
use serde_json::{Value, json};

use crate::{
    cli::{self, Format},
    docs::{KindDoc, described, document, list},
    error::CliError,
    exit::Exit,
    output::{self, color_on_stdout},
};

pub(crate) fn kinds(args: &cli::Kinds) -> Result<Exit, CliError> {
    let registry = pipe_stages::registry();
    let mut out = output::stdout();
    if let Some(name) = &args.kind {
        let kind = registry.get(name).ok_or_else(|| CliError::NotFound {
            message: format!("there is no kind `{name}`"),
            help: one_of(name, "the kinds are", registry.iter().map(|kind| kind.name())),
        })?;
        let example = registry.example(name);
        if let (Some(dir), Some(example)) = (&args.write, example) {
            write_example(dir, name, example)?;
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

/// The example as files to run; what is there already stays.
fn write_example(dir: &Path, name: &str, example: Example) -> Result<(), CliError> {
    let pipeline = (format!("{name}.yaml"), example.0.to_owned());
    let files = example.files().into_iter().map(|(name, text)| (name.to_owned(), text));
    let files: Vec<(String, String)> = [pipeline].into_iter().chain(files).collect();
    if let Some((there, _)) = files.iter().find(|(name, _)| dir.join(name).exists()) {
        return Err(CliError::Usage {
            message: format!("{} is there already", dir.join(there).display()),
            help: Some("name another folder".to_owned()),
        });
    }
    for (name, text) in &files {
        let path = dir.join(name);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
        written.map_err(|source| CliError::Io { action: "write", path, source })?;
    }
    output::say(format_args!("wrote {}: pipe run {}", files[0].0, dir.join(&files[0].0).display()));
    Ok(())
}

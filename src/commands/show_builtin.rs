//! `pipe show-builtin`.

use std::{
    io::{self, Write},
    path::Path,
};

use pipe_engine::spec::{BUILTIN, Builtin, Content};
use pipe_stages::builtin::BUILTINS;
use serde_json::{Value, json};

use super::files::write_new;
use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, Table, bytes, color_on_stdout, say},
};

pub(crate) fn show(global: &cli::Global, args: &cli::ShowBuiltin) -> Result<Exit, CliError> {
    let Some(name) = &args.name else {
        match &args.to {
            Some(folder) => write_to(global, folder, BUILTINS.0)?,
            None => list(args.format)?,
        }
        return Ok(Exit::Success);
    };
    let found = BUILTINS.find(name).map_err(|e| CliError::NotFound { message: e.message, help: e.help })?;
    match (&args.to, found.content) {
        (Some(folder), _) => write_to(global, folder, std::slice::from_ref(found))?,
        (None, _) if args.format == Format::Json => output::json(&told(found))?,
        (None, Content::File(text)) => io::stdout().lock().write_all(text)?,
        (None, Content::Folder(files)) => {
            let mut table = Table::new(&["file", ">size"]);
            for (file, content) in files {
                table.row([format!("{}/{file}", found.name), bytes(content.len() as u64)]);
            }
            table.write(&mut output::stdout(), color_on_stdout())?;
            say(format_args!("`--to DIR` writes them to a folder"));
        }
    }
    Ok(Exit::Success)
}

/// `method.yaml@1`.
fn versioned(builtin: &Builtin) -> String {
    format!("{}@{}", builtin.name, builtin.revision)
}

fn told(builtin: &Builtin) -> Value {
    let files = match builtin.content {
        Content::File(_) => Vec::new(),
        Content::Folder(files) => files.iter().map(|(name, _)| *name).collect(),
    };
    json!({
        "name": builtin.name, "revision": builtin.revision, "about": builtin.about, "files": files,
        "bytes": size(builtin.content),
    })
}

fn size(content: Content) -> u64 {
    match content {
        Content::File(bytes) => bytes.len() as u64,
        Content::Folder(files) => files.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
    }
}

fn list(format: Format) -> Result<(), CliError> {
    if format == Format::Json {
        return Ok(output::json(&BUILTINS.0.iter().map(told).collect::<Vec<_>>())?);
    }
    let mut table = Table::new(&["name", ">size", "what it is"]);
    for builtin in BUILTINS.0 {
        table.row([versioned(builtin), bytes(size(builtin.content)), builtin.about.to_owned()]);
    }
    table.write(&mut output::stdout(), color_on_stdout())?;
    say(format_args!(
        "a pipeline says `include: {BUILTIN}method.yaml` and `model: {BUILTIN}nano`; \
         `pipe run {BUILTIN}quickstart.yaml` runs one"
    ));
    Ok(())
}

/// Writes them into a folder, under their names.
fn write_to(global: &cli::Global, folder: &Path, builtins: &[Builtin]) -> Result<(), CliError> {
    let mut files: Vec<(String, &[u8])> = Vec::new();
    for builtin in builtins {
        match builtin.content {
            Content::File(bytes) => files.push((builtin.name.to_owned(), bytes)),
            Content::Folder(inside) => {
                files.extend(inside.iter().map(|(file, bytes)| (format!("{}/{file}", builtin.name), *bytes)));
            }
        }
    }
    write_new(folder, files.iter().map(|(name, bytes)| (&**name, *bytes)))?;
    for (name, _) in files.iter().filter(|_| !global.quiet) {
        say(format_args!("wrote {}", folder.join(name).display()));
    }
    Ok(())
}

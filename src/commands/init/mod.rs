//! `pipe init`: files to begin with. Asks nothing, and touches nothing that is there.

mod domain;

use std::{borrow::Cow, fs, path::Path};

use crate::{cli, error::CliError, exit::Exit, output::say};

const FILES: [(&str, &str); 3] = [
    ("starter.yaml", include_str!("starter/starter.yaml")),
    ("data/questions.jsonl", include_str!("starter/data/questions.jsonl")),
    ("data/weather.jsonl", include_str!("starter/data/weather.jsonl")),
];

pub(crate) fn init(args: &cli::Init) -> Result<Exit, CliError> {
    let own = args.domain.is_some() || args.like.is_some();
    let files: Vec<(&str, Cow<'_, str>)> = if own {
        let files = domain::files(args.domain.as_deref(), args.like.as_deref())?;
        files.into_iter().map(|(name, text)| (name, text.into())).collect()
    } else {
        FILES.into_iter().map(|(name, text)| (name, text.into())).collect()
    };
    // All or nothing: what is there is not touched. A project may well have a .gitignore of its own.
    let keeps = |name: &str| name == ".gitignore" && args.dir.join(name).exists();
    if let Some((name, _)) = files.iter().find(|(name, _)| args.dir.join(name).exists() && !keeps(name)) {
        return Err(CliError::Usage {
            message: format!("{} is there already", args.dir.join(name).display()),
            help: Some("name another folder: `pipe init FOLDER`".to_owned()),
        });
    }
    for (name, text) in files.iter().filter(|(name, _)| !keeps(name)) {
        write(&args.dir.join(name), text)?;
    }
    let pipeline = args.dir.join(files[0].0);
    let pipeline = pipeline.strip_prefix(".").unwrap_or(&pipeline).display();
    if own {
        say(format_args!(
            "wrote {pipeline}, which runs as it is; lines with `<- change` are yours to change. Next:\n  pipe check \
             {pipeline}\n  pipe run {pipeline}\n  pipe show responses"
        ));
    } else {
        say(format_args!("wrote {pipeline}; next:\n  pipe plan {pipeline}\n  pipe run {pipeline}\n  pipe show words"));
    }
    Ok(Exit::Success)
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |source| CliError::Io { action: "write", path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed)
}

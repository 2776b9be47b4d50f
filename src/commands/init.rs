//! `pipe init`.

use std::{fs, path::Path};

use crate::{cli, error::CliError, exit::Exit, output::say};

const FILES: [(&str, &str); 3] = [
    ("starter.yaml", include_str!("starter/starter.yaml")),
    ("data/questions.jsonl", include_str!("starter/data/questions.jsonl")),
    ("data/weather.jsonl", include_str!("starter/data/weather.jsonl")),
];

pub(crate) fn init(args: &cli::Init) -> Result<Exit, CliError> {
    // All or nothing: what is there is not touched.
    if let Some((name, _)) = FILES.iter().find(|(name, _)| args.dir.join(name).exists()) {
        return Err(CliError::Usage {
            message: format!("{} is there already", args.dir.join(name).display()),
            help: Some("name another folder: `pipe init FOLDER`".to_owned()),
        });
    }
    for (name, text) in FILES {
        write(&args.dir.join(name), text)?;
    }
    let pipeline = args.dir.join("starter.yaml");
    say(format_args!("wrote {}; next:\n  pipe plan {0}\n  pipe run {0}\n  pipe show words", pipeline.display()));
    Ok(Exit::Success)
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |source| CliError::Io { action: "write", path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed)
}

//! `pipe init`: files to begin with. Asks nothing, and touches nothing that is there.

mod domain;

use std::{borrow::Cow, fs, path::Path};

use super::files::write_new;
use crate::{cli, error::CliError, exit::Exit, output::say};

const FILES: [(&str, &str); 3] = [
    ("starter.yaml", include_str!("starter/starter.yaml")),
    ("data/questions.jsonl", include_str!("starter/data/questions.jsonl")),
    ("data/weather.jsonl", include_str!("starter/data/weather.jsonl")),
];

pub(crate) fn init(global: &cli::Global, args: &cli::Init) -> Result<Exit, CliError> {
    let own = args.domain.is_some() || args.like.is_some();
    let files: Vec<(&str, Cow<'_, str>)> = if own {
        let files = domain::files(args.domain.as_deref(), args.like.as_deref())?;
        files.into_iter().map(|(name, text)| (name, text.into())).collect()
    } else {
        FILES.into_iter().map(|(name, text)| (name, text.into())).collect()
    };
    // A project may well have a .gitignore of its own.
    let keeps = |name: &str| name == ".gitignore" && args.dir.join(name).exists();
    let new = files.iter().filter(|(name, _)| !keeps(name)).map(|(name, text)| (*name, text.as_bytes()));
    let listed: Vec<&str> = new.clone().map(|(name, _)| name).collect();
    write_new(&args.dir, new)?;
    if global.quiet {
        return Ok(Exit::Success);
    }
    let pipeline = args.dir.join(files[0].0);
    let pipeline = pipeline.strip_prefix(".").unwrap_or(&pipeline).display();
    if own {
        say(format_args!("wrote {}", listed.join(", ")));
        say(format_args!(
            "{pipeline} runs as it is; lines with `<- change` are yours to change. Next:\n  pipe check \
             {pipeline}\n  pipe run {pipeline}\n  pipe show responses"
        ));
        if keeps(".gitignore") && !ignores(&args.dir) {
            say(format_args!("add /.pipe/ and /results/ to your .gitignore: they hold what a run makes"));
        }
    } else {
        say(format_args!("wrote {}; next:", listed.join(", ")));
        say(format_args!("  pipe plan {pipeline}\n  pipe run {pipeline}\n  pipe show words"));
    }
    Ok(Exit::Success)
}

/// Whether a project's .gitignore leaves out what runs make.
fn ignores(folder: &Path) -> bool {
    let text = fs::read_to_string(folder.join(".gitignore")).unwrap_or_default();
    let names = |what: &str| text.lines().any(|line| line.trim().trim_matches('/') == what);
    names(".pipe") && names("results")
}

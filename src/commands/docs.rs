//! `pipe docs`: the reference as Markdown, or as man pages.

use std::path::Path;

use clap::Command;

use super::files::write;
use crate::{
    cli,
    docs::{command, pages},
    error::CliError,
    exit::Exit,
    output,
};

pub(crate) fn docs(global: &cli::Global, args: &cli::Docs) -> Result<Exit, CliError> {
    let mut written = 0;
    if let Some(dir) = &args.man {
        let mut command = command();
        command.build();
        written += man(&command, dir)?;
    }
    if let Some(dir) = &args.dir {
        for (name, text) in pages(&pipe_stages::registry()) {
            write(&dir.join(name), text.as_bytes())?;
            written += 1;
        }
    }
    if !global.quiet {
        output::say(format_args!("wrote {}", output::plural(written, "page")));
    }
    Ok(Exit::Success)
}

/// `pipe.1`, and a page for each command.
fn man(command: &Command, dir: &Path) -> Result<u64, CliError> {
    let commands = command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help");
    let mut written = 0;
    for command in [command].into_iter().chain(commands) {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name());
        let path = dir.join(format!("{name}.1"));
        let mut text = Vec::new();
        let made = clap_mangen::Man::new(command.clone()).render(&mut text);
        made.map_err(|source| CliError::Io { action: "write", path: path.clone(), source })?;
        write(&path, &text)?;
        written += 1;
    }
    Ok(written)
}

//! `pipe completions`.

use std::io::{self, Write};

use clap::CommandFactory;

use crate::{cli, error::CliError, exit::Exit};

pub(crate) fn completions(args: &cli::Completions) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::Cli::command(), "pipe", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(Exit::Success)
}

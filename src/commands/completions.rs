//! `pipe completions`: a script by which a shell asks the program itself what to propose ([`crate::complete`]).

use std::io::{self, Write};

use clap_complete::env::Shells;

use crate::{cli, complete::VARIABLE, error::CliError, exit::Exit};

const PROGRAM: &str = "pipe";

pub(crate) fn completions(args: &cli::Completions) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    if let Some(shell) = Shells::builtins().completer(&args.shell.to_string()) {
        shell.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    }
    io::stdout().lock().write_all(&script)?;
    Ok(Exit::Success)
}

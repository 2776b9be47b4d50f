//! The commands as `--help` prints them, at 80 columns.

use std::fmt::Write as _;

use clap::{Command, CommandFactory};

use crate::cli::Cli;

/// How wide help is in the reference, whatever terminal writes it.
const WIDTH: usize = 80;

/// The whole command line, for documentation: its help does not depend on the terminal.
pub(crate) fn command() -> Command {
    Cli::command().term_width(WIDTH)
}

/// The page of all commands.
pub(super) fn commands_page() -> String {
    let mut command = command();
    command.build();
    let mut text = "# Commands\n\n".to_owned();
    let _ = writeln!(text, "```text\n{}\n```", command.render_long_help().to_string().trim_end());
    for sub in command.get_subcommands_mut().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        let help = sub.clone().term_width(WIDTH).render_long_help().to_string();
        let _ = writeln!(text, "\n## `pipe {}`\n\n```text\n{}\n```", sub.get_name(), help.trim_end());
    }
    text
}

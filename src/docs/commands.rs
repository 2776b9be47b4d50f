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
    let help = |command: &mut Command| {
        let text = command.render_long_help().to_string();
        text.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    };
    let mut text = format!("# Commands\n\n```text\n{}\n```\n", help(&mut command));
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        let shown = help(&mut sub.clone().term_width(WIDTH));
        let _ = writeln!(text, "\n## `pipe {}`\n\n```text\n{shown}\n```", sub.get_name());
    }
    text
}

//! Flags of every command.

use std::path::PathBuf;

use clap::Args;

use crate::output::Color;

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Where results are kept [default: `store` in pipe.toml, or `.pipe` in the project's root: the nearest folder
    /// above with `.pipe`, pipe.toml or `.git`]
    #[arg(long, value_name = "DIR", env = "PIPE_STORE", hide_env_values = true, global = true)]
    pub store: Option<PathBuf>,
    /// Say more on stderr: -v what happens, -vv details, -vvv everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Say only what went wrong
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Write a timeline that ui.perfetto.dev and chrome://tracing open
    #[arg(long, value_name = "FILE", global = true)]
    pub trace: Option<PathBuf>,
    /// Colours
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN", global = true)]
    pub color: Color,
}

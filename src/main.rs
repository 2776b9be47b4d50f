//! The `pipe` command line: the only code of the project that prints, reads arguments and environment, or exits.

mod cli;
mod commands;
mod complete;
mod diagnostics;
mod docs;
mod error;
mod exit;
#[cfg(test)]
#[path = "../tests/cli/pages/markdown.rs"]
mod markdown;
mod output;
mod project;
mod report;
mod settings;
mod signals;
mod trace;

use clap::{CommandFactory, Parser};

/// Resolving thousands of variants is mostly small allocations; this allocator halves the time they take.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    if complete::answer(cli::Cli::command) {
        return exit::Exit::Success.into();
    }
    let cli = cli::Cli::parse();
    output::set_color(cli.global.color);
    let tracing = match trace::start(&cli.global) {
        Ok(tracing) => tracing,
        Err(error) => return error.report().into(),
    };
    let outcome = commands::dispatch(&cli.global, cli.command);
    drop(tracing);
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => error.report().into(),
    }
}

//! Renders the problems of a pipeline file: message, place, snippet, hint.

use std::io::{self, Write};

use miette::{GraphicalReportHandler, GraphicalTheme};
use pipe_engine::diag::{Diagnostics, Severity};

use crate::output::{self, color_on_stderr, plural, say};

/// Prints problems to stderr, and how many there are.
pub(crate) fn print(problems: &Diagnostics) {
    let theme = if color_on_stderr() { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let width = output::stderr_columns().map_or(100, |columns| columns.min(100));
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(width);
    for report in problems.reports() {
        let mut text = String::new();
        // Writing to a string fails only when a source cannot be read, and then the bare message must do.
        if handler.render_report(&mut text, &report).is_err() {
            text = report.to_string();
        }
        // What reports hold is fit to be shown; what is besides is the renderer's.
        let _ = writeln!(io::stderr().lock(), "{}\n", text.trim_matches('\n'));
    }
    if problems.more > 0 {
        say(format_args!("and {} more", problems.more));
    }
    let errors = problems.items.iter().filter(|d| d.severity == Severity::Error).count() as u64;
    if errors > 0 {
        output::error(&[format!("{} in the pipeline", plural(errors, "problem"))], None);
    }
}

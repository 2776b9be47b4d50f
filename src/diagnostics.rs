//! Renders the problems of a pipeline file: message, place, snippet, hint.

use miette::{GraphicalReportHandler, GraphicalTheme};
use pipe_engine::diag::{Diagnostics, Severity};

use crate::output::{self, color_on_stderr, plural, say};

/// Prints all problems to stderr, and how many there are.
pub fn print(problems: &Diagnostics) {
    let theme = if color_on_stderr() { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(100);
    for report in problems.reports() {
        let mut text = String::new();
        // Writing to a string fails only when a source cannot be read, and then the bare message must do.
        if handler.render_report(&mut text, &report).is_err() {
            text = report.to_string();
        }
        say(text.trim_start_matches('\n').trim_end_matches('\n'));
        say("");
    }
    let errors = problems.items.iter().filter(|d| d.severity == Severity::Error).count() as u64;
    if errors > 0 {
        output::error(&[format!("{} in the pipeline", plural(errors, "problem"))], None);
    }
}

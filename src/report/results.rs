//! What a pipeline came to, on standard output.

use std::io::{self, IsTerminal, Write};

use pipe_stages::results::Results;

use super::{
    dots,
    study::{self, Room},
};
use crate::output::{self, color_on_stdout, say};

/// Prints a table for each study, what its signs mean, and its dots. Where there are several, their names stand above.
pub(crate) fn print(results: &Results, wide: bool) -> io::Result<()> {
    let columns = io::stdout().is_terminal().then(|| output::Screen::of_stdout().columns);
    let room = Room { columns, wide, all: wide };
    let (mut left_out, mut without) = (0, Vec::new());
    let many = results.studies.len() > 1;
    for (place, study) in results.studies.iter().filter(|study| !study.arms.is_empty()).enumerate() {
        if place > 0 {
            writeln!(output::stdout())?;
        }
        if many {
            let name = output::paint(&study.comparison.name, output::style::BOLD, color_on_stdout());
            writeln!(output::stdout(), "{name}")?;
        }
        let (table, more, metrics) = study::table(study, room);
        table.write(&mut output::stdout(), color_on_stdout())?;
        for line in study::legend(study) {
            writeln!(output::prose(), "{line}")?;
        }
        let plot = dots::plot(&study.comparison, columns);
        if !plot.is_empty() {
            writeln!(output::stdout())?;
        }
        for line in plot {
            writeln!(output::stdout(), "{line}")?;
        }
        left_out += more;
        without.extend(metrics);
    }
    if left_out > 0 {
        say(format_args!("and {left_out} arms more: `pipe results --wide` shows them"));
    }
    if !without.is_empty() {
        say(format_args!("too narrow for {}: `pipe results --wide` shows them", without.join(", ")));
    }
    Ok(())
}

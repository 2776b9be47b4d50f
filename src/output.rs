//! Words, numbers and tables for people: stdout for data, stderr for everything else.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    sync::OnceLock,
};

use crate::{cli::Color, error::CliError};

static COLOR: OnceLock<Color> = OnceLock::new();

/// Decides about colours for the whole process.
pub fn set_color(color: Color) {
    // The first word counts; there is only one call.
    let _ = COLOR.set(color);
}

fn colored(terminal: bool) -> bool {
    match COLOR.get().unwrap_or(&Color::Auto) {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// Whether stderr takes colours.
pub fn color_on_stderr() -> bool {
    colored(io::stderr().is_terminal())
}

/// Whether stdout takes colours.
pub fn color_on_stdout() -> bool {
    colored(io::stdout().is_terminal())
}

/// Text in a colour (an SGR code), where colours are wanted.
pub fn paint(text: impl Display, code: &str, color: bool) -> String {
    if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
}

/// SGR codes by meaning.
pub mod style {
    pub const ERROR: &str = "31;1";
    pub const WARNING: &str = "33;1";
    pub const GOOD: &str = "32";
    pub const NEW: &str = "36";
    pub const DIM: &str = "2";
    pub const BOLD: &str = "1";
}

/// Says a line on stderr. A closed stderr is nobody's problem.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Says what went wrong, outermost cause first.
pub fn error(causes: &[String], help: Option<&str>) {
    let color = color_on_stderr();
    say(format_args!("{}: {}", paint("error", style::ERROR, color), explained(causes, help, color)));
}

/// Causes one under the other, the outermost first, and what to do about it.
pub fn explained(causes: &[String], help: Option<&str>, color: bool) -> String {
    let mut lines: Vec<String> = causes.iter().map(|cause| cause.replace('\n', "\n    ")).collect();
    for cause in lines.iter_mut().skip(1) {
        cause.insert_str(0, "  because: ");
    }
    lines.extend(help.map(|help| format!("  {}: {help}", paint("help", style::NEW, color))));
    lines.join("\n")
}

/// Says what is probably not meant.
pub fn warning(message: impl Display) {
    say(format_args!("{}: {message}", paint("warning", style::WARNING, color_on_stderr())));
}

/// Prints a value as indented JSON on stdout.
pub fn json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

/// `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2 rows`.
pub fn plural(n: u64, what: &str) -> String {
    format!("{} {what}{}", count(n), if n == 1 { "" } else { "s" })
}

/// `1.5 MB`.
pub fn bytes(n: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// `12ms`, `3.2s`, `4m 10s`, `2h 5m`, `3d 4h`.
pub fn seconds(s: f64) -> String {
    let whole = s.round() as u64;
    match s {
        s if s < 0.0995 => format!("{:.0}ms", s * 1000.0),
        s if s < 59.95 => format!("{s:.1}s"),
        _ if whole < 3600 => format!("{}m {}s", whole / 60, whole % 60),
        _ if whole < 86_400 => format!("{}h {}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d {}h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// `3m ago`.
pub fn ago(then_ms: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    let s = now.saturating_sub(then_ms) as f64 / 1000.0;
    if s < 1.0 { "now".to_owned() } else { format!("{} ago", seconds(s.floor())) }
}

/// The first line, cut to `width` characters.
pub fn clip(text: &str, width: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(width + 1).collect();
    if line.chars().count() <= width {
        line
    } else {
        line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
    }
}

/// Columns aligned for people; numbers to the right.
#[derive(Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// A table with these headings; one that begins with `>` is aligned to the right.
    pub fn new(headings: &[&str]) -> Self {
        let right = headings.iter().map(|h| h.starts_with('>')).collect();
        Self { rows: vec![headings.iter().map(|h| h.trim_start_matches('>').to_owned()).collect()], right }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Writes it, headings dimmed.
    pub fn write(&self, out: &mut impl Write, color: bool) -> io::Result<()> {
        let width = |column: usize| {
            self.rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        for (i, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                if column > 0 {
                    line.push_str("  ");
                }
                let pad = " ".repeat(widths[column] - cell.chars().count());
                if self.right[column] {
                    line += &pad;
                }
                line += cell;
                if !self.right[column] {
                    line += &pad;
                }
            }
            let line = line.trim_end();
            writeln!(out, "{}", if i == 0 { paint(line, style::DIM, color) } else { line.to_owned() })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 999, 1_500, 999_960, 12_345_678_901].map(bytes),
            ["0 B", "999 B", "1.5 kB", "1.0 MB", "12.3 GB"]
        );
        assert_eq!(
            [0.0, 0.0123, 0.5, 59.9, 250.0, 7500.0, 273_600.0].map(seconds),
            ["0ms", "12ms", "0.5s", "59.9s", "4m 10s", "2h 5m", "3d 4h"]
        );
        assert_eq!(clip("two\nlines and more", 9), "two line…");
    }

    #[test]
    fn tables_are_aligned() {
        let mut table = Table::new(&["stage", ">rows"]);
        table.row(["a".into(), "1,000".into()]);
        table.row(["longer".into(), "7".into()]);
        let mut out = Vec::new();
        table.write(&mut out, false).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "stage    rows\na       1,000\nlonger      7\n");
    }
}

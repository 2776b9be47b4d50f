//! Words, numbers and tables for people: stdout for data, stderr for everything else.

mod table;
mod widths;

use std::{
    fmt::{self, Display},
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    sync::OnceLock,
};

use clap::ValueEnum;
use parking_lot::RwLock;
use pipe_cache::ArtifactKind;
use pipe_engine::diag::{is_hostile, redact, shown};

pub(crate) use self::{
    table::Table,
    widths::{broken, clip, cut, fold, visible_width, wide},
};

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set or TERM is `dumb`.
    Auto,
    Always,
    Never,
}

static COLOR: OnceLock<Color> = OnceLock::new();

/// Decides about colours for the whole process.
pub(crate) fn set_color(color: Color) {
    // The first word counts; there is only one call.
    let _ = COLOR.set(color);
}

/// Whether the terminal is one that only takes lines.
pub(crate) fn terminal_is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

fn colored(terminal: bool) -> bool {
    match COLOR.get().unwrap_or(&Color::Auto) {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            terminal && !terminal_is_dumb() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    }
}

/// Whether stderr takes colours.
pub(crate) fn color_on_stderr() -> bool {
    static COLORED: OnceLock<bool> = OnceLock::new();
    *COLORED.get_or_init(|| colored(io::stderr().is_terminal()))
}

/// Whether stdout takes colours.
pub(crate) fn color_on_stdout() -> bool {
    static COLORED: OnceLock<bool> = OnceLock::new();
    *COLORED.get_or_init(|| colored(io::stdout().is_terminal()))
}

/// How much a screen holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    pub columns: usize,
    pub lines: usize,
}

impl Screen {
    /// That of the terminal behind stdout; where there is none, a page.
    pub(crate) fn of_stdout() -> Self {
        let size = terminal_size::terminal_size_of(io::stdout());
        match size {
            Some((width, height)) if width.0 > 0 && height.0 > 0 => {
                Self { columns: width.0.into(), lines: height.0.into() }
            }
            _ => Self { columns: 110, lines: 42 },
        }
    }
}

/// Begins our own colours until the text is written: a code point that is none of any text. What escapes there are
/// besides come from data, and are spelt out.
const OWN: char = '\u{fdd0}';

/// Text in a colour (an SGR code), where colours are wanted.
pub(crate) fn paint(text: impl Display, code: &str, color: bool) -> String {
    if color { format!("{OWN}[{code}m{text}{OWN}[0m") } else { text.to_string() }
}

/// Text as a terminal may have it: our colours work, nothing else does, and credentials are left out.
pub(crate) fn rendered(text: &str) -> String {
    shown(text).replace(OWN, "\x1b")
}

/// SGR codes by meaning.
pub(crate) mod style {
    pub(crate) const ERROR: &str = "31;1";
    pub(crate) const WARNING: &str = "33;1";
    pub(crate) const GOOD: &str = "32";
    pub(crate) const NEW: &str = "36";
    pub(crate) const REMOVED: &str = "31;9";
    pub(crate) const DIM: &str = "2";
    pub(crate) const BOLD: &str = "1";
}

/// Prints a line above what is drawn on the terminal.
type Above = Box<dyn Fn(&str) + Send + Sync>;

/// Set while something is drawn on the terminal.
static ABOVE: RwLock<Option<Above>> = RwLock::new(None);

/// Has lines for people printed by `above` while something is drawn on the terminal: they would stand in the middle of
/// it.
pub(crate) fn say_through(above: Option<Above>) {
    *ABOVE.write() = above;
}

/// Says a line on stderr. A closed stderr is nobody's problem.
pub(crate) fn say(line: impl Display) {
    let line = line.to_string();
    say_whole(match stderr_columns() {
        Some(columns) => broken(&line, columns),
        None => line,
    });
}

/// Says a line that people copy: it is one line, also where the terminal shows it on two.
pub(crate) fn say_whole(line: impl Display) {
    let line = line.to_string();
    match &*ABOVE.read() {
        Some(above) => above(&line),
        None => drop(writeln!(io::stderr().lock(), "{}", rendered(&line))),
    }
}

/// How wide the terminal behind stderr is, where there is one that tells.
pub(crate) fn stderr_columns() -> Option<usize> {
    columns_of(io::stderr())
}

/// How wide the terminal is, where there is one that tells.
fn columns_of(stream: impl AsFd) -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(stream)?;
    (width.0 > 0).then_some(width.0.into())
}

/// Where data for people goes.
pub(crate) struct Shown<W> {
    out: W,
    /// Lines are broken so that they take at most so many columns.
    columns: Option<usize>,
}

/// Standard output for people.
pub(crate) fn stdout() -> Shown<io::StdoutLock<'static>> {
    Shown { out: io::stdout().lock(), columns: None }
}

/// Standard output for sentences: on a terminal they are broken between words. To be written in whole lines.
pub(crate) fn prose() -> Shown<io::StdoutLock<'static>> {
    Shown { columns: columns_of(io::stdout()), ..stdout() }
}

/// Writes text that a program reads to standard output, character by character; only a terminal gets it as it may have
/// it.
pub(crate) fn exactly(text: &str) -> io::Result<()> {
    if io::stdout().is_terminal() {
        return stdout().write_all(text.as_bytes());
    }
    io::stdout().lock().write_all(text.as_bytes())
}

/// Writes a table to standard output, no wider than the terminal.
pub(crate) fn fitted(mut table: Table) -> io::Result<()> {
    let out = prose();
    if let Some(columns) = out.columns {
        table.fit(columns);
    }
    table.write(&mut stdout(), color_on_stdout())
}

impl<W> Shown<W> {
    fn text(&self, text: &str) -> String {
        match self.columns {
            Some(columns) => rendered(&broken(text, columns)),
            None => rendered(text),
        }
    }
}

impl<W: Write> Write for Shown<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(self.text(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    /// Formatted as a whole: an address may come in pieces.
    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        self.out.write_all(self.text(&text.to_string()).as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Says what went wrong, outermost cause first.
pub(crate) fn error(causes: &[String], help: Option<&str>) {
    let color = color_on_stderr();
    say(format_args!("{}: {}", paint("error", style::ERROR, color), explained(causes, help, color)));
}

/// Causes one under the other, the outermost first, and what to do about it.
pub(crate) fn explained(causes: &[String], help: Option<&str>, color: bool) -> String {
    let mut lines: Vec<String> = causes.iter().map(|cause| cause.replace('\n', "\n    ")).collect();
    for cause in lines.iter_mut().skip(1) {
        cause.insert_str(0, "  because: ");
    }
    lines.extend(help.map(|help| format!("  {}: {help}", paint("help", style::NEW, color))));
    lines.join("\n")
}

/// Says what is probably not meant.
pub(crate) fn warning(message: impl Display) {
    say(format_args!("{}: {message}", paint("warning", style::WARNING, color_on_stderr())));
}

/// Prints a value as indented JSON on stdout.
pub(crate) fn json(value: &impl serde::Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    writeln!(io::stdout().lock(), "{}", json_text(&text))?;
    Ok(())
}

/// The same, on one line.
pub(crate) fn json_line(value: &impl serde::Serialize) -> io::Result<()> {
    let text = serde_json::to_string(value)?;
    writeln!(io::stdout().lock(), "{}", json_text(&text))
}

/// JSON of which a terminal obeys nothing. JSON itself escapes the characters below 32; the others are only in its
/// texts.
pub(crate) fn json_text(text: &str) -> String {
    let text = redact(text);
    let hostile = |c: char| c > '\u{7e}' && is_hostile(c);
    if !text.contains(hostile) {
        return text.into_owned();
    }
    text.chars().map(|c| if hostile(c) { format!("\\u{:04x}", c as u32) } else { c.to_string() }).collect()
}

/// `1,234,567`.
pub(crate) fn count(n: u64) -> String {
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
pub(crate) fn plural(n: u64, what: &str) -> String {
    format!("{} {what}{}", count(n), if n == 1 { "" } else { "s" })
}

/// `20 rows` or `2 files`; by name where there are several outputs: `660 rows (predictions), 34 rows (scores)`.
pub(crate) fn amounts<'a>(outputs: impl IntoIterator<Item = (&'a str, ArtifactKind, u64)>) -> String {
    let outputs: Vec<_> = outputs.into_iter().collect();
    let amount = |(port, kind, n): &(&str, ArtifactKind, u64)| {
        let amount = plural(*n, if *kind == ArtifactKind::Table { "row" } else { "file" });
        if outputs.len() == 1 { amount } else { format!("{amount} ({port})") }
    };
    outputs.iter().map(amount).collect::<Vec<_>>().join(", ")
}

/// `1.5 MB`.
pub(crate) fn bytes(n: u64) -> String {
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
pub(crate) fn seconds(s: f64) -> String {
    match s {
        s if s < 0.0995 => format!("{:.0}ms", s * 1000.0),
        s if s < 59.95 => format!("{s:.1}s"),
        s => clock(s.round()),
    }
}

/// `12s`, `4m 10s`, `2h 5m`: whole seconds, which do not flicker.
pub(crate) fn clock(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    match s {
        ..60 => format!("{s}s"),
        60..3600 => format!("{}m {}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d {}h", s / 86_400, s % 86_400 / 3600),
    }
}

/// `3m ago`.
pub(crate) fn ago(then_ms: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
    let s = now.saturating_sub(then_ms) as f64 / 1000.0;
    if s < 1.0 { "now".to_owned() } else { format!("{} ago", clock(s)) }
}

/// The column of which one of this name says how sure it is: `token_f1` of `token_f1_low`.
pub(crate) fn detail_of(name: &str) -> Option<&str> {
    ["_low", "_high", "_stderr"].iter().find_map(|end| name.strip_suffix(end))
}

/// A number as a score, a loss or a mean is read: `0.465`, `1.00e-5`.
pub(crate) fn number(n: f64) -> String {
    match n.abs() {
        0.0 => "0.000".to_owned(),
        0.001..1e6 => format!("{n:.3}"),
        0.0001..0.001 => format!("{n:.4}"),
        _ => format!("{n:.2e}"),
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
        assert_eq!(clip("\x1b[2J", 9), "\\x1b[2J");
        assert_eq!(clip("whole, however long", usize::MAX), "whole, however long");
        let secret = clip("https://user:secret@host/path", 20);
        assert!(!secret.contains("secret"), "{secret}");
    }

    #[test]
    fn only_our_own_colours_reach_a_terminal() {
        let text = format!("{} \x1b[31m\u{9b}2J https://a:b@c", paint("ours \x1b[2J", style::ERROR, true));
        assert_eq!(rendered(&text), "\x1b[31;1mours \\x1b[2J\x1b[0m \\x1b[31m\\u{9b}2J https://***@c");
        let mut out = Shown { out: Vec::new(), columns: None };
        let (scheme, secret) = ("s3", "user:\x07");
        writeln!(out, "{scheme}://{secret}@host").unwrap();
        out.write_all(b"\x1bc").unwrap();
        assert_eq!(String::from_utf8(out.out).unwrap(), "s3://***@host\n\\x1bc");
        assert_eq!(json_text("\"\u{7f}\u{9b} é\u{202e} https://u:p@h\""), "\"\\u007f\\u009b é\\u202e https://***@h\"");
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

//! Names and texts in SQL.

use std::{collections::HashSet, fmt::Write as _};

use pipe_cache::Column;

use crate::diag::is_hostile;

/// Names that are taken. DuckDB does not tell letter case apart.
#[derive(Debug, Default, Clone)]
pub(super) struct Names(HashSet<String>);

impl Names {
    pub(super) fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self(names.into_iter().map(str::to_lowercase).collect())
    }

    /// The columns of a table, under the names that DuckDB gives them: those that only differ in case are numbered.
    pub(super) fn add_columns(&mut self, columns: &[Column]) {
        let mut own = Self::default();
        for Column { name, .. } in columns {
            let numbered = (1..).map(|n| format!("{name}_{n}").to_lowercase());
            let mut names = std::iter::once(name.to_lowercase()).chain(numbered);
            if let Some(free) = names.find(|name| !own.0.contains(name)) {
                own.0.insert(free);
            }
        }
        self.0.extend(own.0);
    }

    /// The name itself, or, where it is taken, with `_` in front as often as it takes.
    pub(super) fn free(&mut self, name: &str) -> String {
        let mut name = name.to_owned();
        while !self.0.insert(name.to_lowercase()) {
            name.insert(0, '_');
        }
        name
    }
}

/// An identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\"").replace('\0', "\u{fffd}"))
}

/// A text. What a terminal would obey, and line ends, are spelt out.
pub(super) fn literal(text: &str) -> String {
    let spelt = |c: char| c == '\n' || is_hostile(c);
    if !text.contains(spelt) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = String::from("concat('");
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            c if spelt(c) => drop(write!(out, "', chr({}), '", c as u32)),
            c => out.push(c),
        }
    }
    out.push_str("')");
    out
}

/// The path of one file, where a pattern is expected.
pub(super) fn file(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '*' | '?' | '[' => pattern.extend(['[', c, ']']),
            c => pattern.push(c),
        }
    }
    literal(&pattern)
}

/// A text as one line of a comment.
pub(super) fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_hostile(c) { ' ' } else { c }).collect()
}

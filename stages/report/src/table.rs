//! Tables of the page, which sort and filter where the page's logic runs.

use serde::Serialize;

use crate::caps;
use crate::svg::Mark;
use crate::text::{count, number, p_value, short, signed};

/// A table.
#[derive(Serialize)]
pub(crate) struct Table {
    pub(crate) id: String,
    pub(crate) caption: String,
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    /// Columns by whose values rows are chosen.
    filters: Vec<usize>,
    /// What is not in it, in words.
    pub(crate) notes: Vec<String>,
    /// The data to download.
    pub(crate) data: Option<String>,
}

#[derive(Serialize)]
struct Column {
    head: String,
    /// What it means.
    title: String,
    numeric: bool,
}

/// A cell.
#[derive(Serialize, Default)]
pub(crate) struct Cell {
    text: String,
    /// By what it is sorted, where not by its text.
    sort: Option<f64>,
    class: &'static str,
    /// A sign before the text, which only repeats it.
    sign: &'static str,
    /// Behind the text, quietly.
    more: String,
    href: Option<String>,
}

impl Table {
    pub(crate) fn new(id: impl Into<String>, caption: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            caption: caption.into(),
            columns: Vec::new(),
            rows: Vec::new(),
            filters: Vec::new(),
            notes: Vec::new(),
            data: None,
        }
    }

    /// A column of words.
    pub(crate) fn words(self, head: &str) -> Self {
        self.column(head, "", false)
    }

    /// A column of words, few of them, by which rows can be chosen.
    pub(crate) fn choice(mut self, head: &str) -> Self {
        self.filters.push(self.columns.len());
        self.column(head, "", false)
    }

    /// A column of numbers, with what they mean.
    pub(crate) fn numbers(self, head: &str, title: &str) -> Self {
        self.column(head, title, true)
    }

    fn column(mut self, head: &str, title: &str, numeric: bool) -> Self {
        self.columns.push(Column { head: short(head, caps::NAME), title: title.to_owned(), numeric });
        self
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "{}", self.caption);
        self.rows.push(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Cell {
    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        let text = short(text.as_ref(), caps::WORD);
        let class = if text.chars().count() > 24 { "long" } else { "" };
        Self { text, class, ..Self::default() }
    }

    pub(crate) fn number(x: Option<f64>) -> Self {
        Self { text: number(x), sort: finite(x), class: "number", ..Self::default() }
    }

    pub(crate) fn signed(x: Option<f64>) -> Self {
        Self { text: signed(x), ..Self::number(x) }
    }

    pub(crate) fn count(n: usize) -> Self {
        Self { text: count(n as u64), sort: Some(n as f64), class: "number", ..Self::default() }
    }

    pub(crate) fn count_of(n: Option<usize>) -> Self {
        n.map_or_else(|| Self::number(None), Self::count)
    }

    pub(crate) fn p(p: Option<f64>) -> Self {
        Self { text: p_value(p), ..Self::number(p) }
    }

    pub(crate) fn interval(low: Option<f64>, high: Option<f64>) -> Self {
        match (finite(low), finite(high)) {
            (None, None) => Self::number(None),
            _ => Self { text: format!("{} to {}", signed(low), signed(high)), ..Self::number(low) },
        }
    }

    pub(crate) fn verdict(verdict: &str, weak: bool) -> Self {
        let mark = Mark::of(verdict);
        let more = if weak { "weak: few draws".to_owned() } else { String::new() };
        Self { sign: mark.sign(), class: mark.class(), more, ..Self::text(verdict) }
    }

    pub(crate) fn class(self, class: &'static str) -> Self {
        Self { class, ..self }
    }

    pub(crate) fn sort(self, by: f64) -> Self {
        Self { sort: finite(Some(by)), ..self }
    }

    pub(crate) fn more(self, more: impl AsRef<str>) -> Self {
        Self { more: short(more.as_ref(), caps::NAME), ..self }
    }

    pub(crate) fn href(self, href: Option<String>) -> Self {
        Self { href, ..self }
    }
}

fn finite(x: Option<f64>) -> Option<f64> {
    x.filter(|x| x.is_finite())
}

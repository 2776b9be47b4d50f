//! Tables for people.

use std::io::{self, Write};

use pipe_engine::diag::shown;
use unicode_width::UnicodeWidthStr;

use super::{fold, paint, style};

/// What a column of texts keeps, however narrow the terminal is.
const NARROWEST: usize = 8;

/// Columns aligned for people; numbers to the right.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
    /// Columns that are never cut: people copy what stands there.
    whole: Vec<bool>,
}

impl Table {
    /// A table with these headings; one that begins with `>` is aligned to the right, and one with `=` is never cut.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let right = headings.iter().map(|h| h.starts_with('>')).collect();
        let whole = headings.iter().map(|h| h.starts_with(['>', '='])).collect();
        Self {
            rows: vec![headings.iter().map(|h| h.trim_start_matches(['>', '=']).to_owned()).collect()],
            right,
            whole,
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        // Here already, so that columns are as wide as what is shown.
        self.rows.push(cells.into_iter().map(|cell| shown(&cell).into_owned()).collect());
    }

    /// Cuts texts in their middles until a row takes at most so many columns, the widest column first. Numbers stay
    /// whole, and of a text enough to tell what it is.
    pub(crate) fn fit(&mut self, columns: usize) {
        loop {
            let widths = self.widths();
            let all: usize = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
            let widest = (0..widths.len()).filter(|&i| !self.whole[i]).max_by_key(|&i| widths[i]);
            let Some(widest) = widest.filter(|&i| all > columns && widths[i] > NARROWEST) else { return };
            let room = widths[widest].saturating_sub(all - columns).max(NARROWEST);
            // Another column may be the widest before this one has given all.
            let next = (0..widths.len()).filter(|&i| !self.whole[i] && i != widest).map(|i| widths[i]).max();
            let room = room.max(next.unwrap_or(0).min(widths[widest] - 1));
            for cell in self.rows.iter_mut().filter_map(|row| row.get_mut(widest)) {
                *cell = fold(cell, room);
            }
        }
    }

    fn widths(&self) -> Vec<usize> {
        let width =
            |column: usize| self.rows.iter().filter_map(|r| r.get(column)).map(|c| c.width()).max().unwrap_or(0);
        (0..self.right.len()).map(width).collect()
    }

    /// Writes it, headings dimmed.
    pub(crate) fn write(&self, out: &mut impl Write, color: bool) -> io::Result<()> {
        self.lines(color).into_iter().try_for_each(|line| writeln!(out, "{line}"))
    }

    /// Its lines, headings dimmed.
    pub(crate) fn lines(&self, color: bool) -> Vec<String> {
        let mut lines = Vec::with_capacity(self.rows.len());
        let widths = self.widths();
        for (i, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                if column > 0 {
                    line.push_str("  ");
                }
                let pad = " ".repeat(widths[column] - cell.width());
                if self.right[column] {
                    line += &pad;
                }
                line += cell;
                if !self.right[column] {
                    line += &pad;
                }
            }
            let line = line.trim_end();
            lines.push(if i == 0 { paint(line, style::DIM, color) } else { line.to_owned() });
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_cut_where_it_is_widest() {
        let mut table = Table::new(&["variant", "stage", ">rows"]);
        table.row(["learning_rate=0.001/n_synthetic=20000", "instructions", "20,000"].map(str::to_owned));
        table.fit(44);
        assert_eq!(table.lines(false)[1], "learning_r…hetic=20000  instructions  20,000");
        table.fit(10);
        assert_eq!(table.lines(false)[1], "lea…0000  ins…ions  20,000");
        let before = table.lines(false);
        table.fit(200);
        assert_eq!(table.lines(false), before);
    }
}

//! Tables of texts: statistics of the columns, and rows one under the other.

use std::io::Write;

use arrow::{
    array::RecordBatch,
    datatypes::DataType,
    util::display::{ArrayFormatter, FormatOptions},
};
use pipe_engine::diag::{escape, shown};
use pipe_stages::tabular::{Unprintable, printable};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::stats::ColumnStats;
use crate::{
    error::CliError,
    output::{self, Table, clip, count, paint, style},
};

/// A frequent value is cut to so many columns.
const TOP_WIDTH: usize = 24;
/// The least room for the column of frequent values: where there is less, it is left out.
const TOP_COLUMN: usize = 16;

/// One line per column of the table, no wider than the screen where that can be.
pub(super) fn stats_table(stats: &[ColumnStats], columns: usize) -> Table {
    let numbers = stats.iter().any(|column| column.mean.is_some());
    let lengths = stats.iter().any(|column| column.lengths.is_some());
    let mut headings = vec!["column", "type", ">nulls", ">distinct"];
    headings.extend(numbers.then_some([">min", ">mean", ">max"]).into_iter().flatten());
    headings.extend(lengths.then_some("length (mean)"));
    let rows: Vec<Vec<String>> = stats.iter().map(|column| cells(column, numbers, lengths)).collect();
    let wide = |place: usize| {
        let heading = headings[place].trim_start_matches('>').len();
        rows.iter().map(|row| row[place].width()).max().unwrap_or(0).max(heading) + 2
    };
    let room = columns.saturating_sub((0..headings.len()).map(wide).sum());
    let tops: Vec<String> = stats.iter().map(most_frequent).collect();
    let with_tops = room >= TOP_COLUMN && tops.iter().any(|top| !top.is_empty());
    headings.extend(with_tops.then_some("most frequent"));
    let mut table = Table::new(&headings);
    for (mut row, top) in rows.into_iter().zip(tops) {
        row.extend(with_tops.then(|| clip(&top, room)));
        table.row(row);
    }
    table
}

fn cells(column: &ColumnStats, numbers: bool, lengths: bool) -> Vec<String> {
    let mut cells = vec![column.name.clone(), column.data_type.clone(), count(column.nulls), count(column.distinct)];
    // The first and the last of texts say nothing.
    let bound = |value: &Option<String>| {
        value.as_ref().filter(|_| column.mean.is_some()).map_or_else(String::new, |v| rounded(v))
    };
    if numbers {
        let mean = column.mean.map_or_else(String::new, |mean| format!("{mean:.3}"));
        cells.extend([bound(&column.min), mean, bound(&column.max)]);
    }
    if lengths {
        let text = column.lengths.map_or_else(String::new, |l| format!("{}..{} ({:.0})", l.min, l.max, l.mean));
        cells.push(text);
    }
    cells
}

/// A number in as many digits as say something.
fn rounded(number: &str) -> String {
    match number.parse::<f64>() {
        Ok(n) if n.fract() != 0.0 && number.len() > 10 => output::number(n),
        _ => number.to_owned(),
    }
}

fn most_frequent(column: &ColumnStats) -> String {
    let top = column.top.iter().map(|(value, n)| format!("{} ×{}", clip(value, TOP_WIDTH), count(*n)));
    top.collect::<Vec<_>>().join(", ")
}

/// Rows one under the other, one line per value: texts are long.
pub(super) fn write_rows(
    batch: &RecordBatch,
    wrap: bool,
    columns: usize,
    color: bool,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let options = FormatOptions::new().with_null("null");
    let batch = printable(batch, Unprintable::AsStored)?;
    let formats = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<Result<Vec<_>, _>>()?;
    let schema = batch.schema();
    let names: Vec<_> = schema.fields().iter().map(|field| escape(field.name())).collect();
    let width = names.iter().map(|name| name.width()).max().unwrap_or(0);
    let room = columns.saturating_sub(width + 4).max(20);
    for row in 0..batch.num_rows() {
        writeln!(out, "\n{}", paint(format!("row {row}"), style::DIM, color))?;
        for ((name, format), column) in names.iter().zip(&formats).zip(batch.columns()) {
            let name = format!("{name}{}", " ".repeat(width - name.width()));
            let text = format.value(row).to_string();
            let text = if column.data_type() == &DataType::Float64 { rounded(&text) } else { text };
            let lines = if wrap { wrapped(&text, room) } else { vec![clip(&text, room)] };
            for (i, line) in lines.iter().enumerate() {
                let name = if i == 0 { paint(&name, style::NEW, color) } else { " ".repeat(width) };
                writeln!(out, "{}", format!("  {name}  {line}").trim_end())?;
            }
        }
    }
    Ok(())
}

/// The text in lines of at most so many columns, broken at white space where there is some.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in shown(text).split('\n') {
        let start = lines.len();
        let mut current = String::new();
        for word in line.split_inclusive(' ') {
            if !current.is_empty() && current.width() + word.trim_end().width() > columns {
                lines.push(std::mem::take(&mut current).trim_end().to_owned());
            }
            for c in word.chars() {
                if current.width() + c.width().unwrap_or(0) > columns {
                    lines.push(std::mem::take(&mut current).trim_end().to_owned());
                }
                if !(current.is_empty() && c == ' ' && lines.len() > start) {
                    current.push(c);
                }
            }
        }
        lines.push(current.trim_end().to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_broken_between_words_and_inside_long_ones() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
        assert_eq!(wrapped("a\n\nb", 8), ["a", "", "b"]);
        assert_eq!(wrapped("日本語", 4), ["日本", "語"]);
        assert_eq!(wrapped("", 4), [""]);
        assert_eq!(wrapped("def f():\n    return 1", 20), ["def f():", "    return 1"]);
    }

    #[test]
    fn numbers_have_the_digits_that_say_something() {
        assert_eq!(["0.46511111111111", "3", "0.25", "1e-9"].map(rounded), ["0.465", "3", "0.25", "1e-9"]);
    }
}

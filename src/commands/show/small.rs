//! Small tables of numbers, such as scores and yields: one line per row, numbers rounded.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type},
    util::display::array_value_to_string,
};
use unicode_width::UnicodeWidthStr;

use crate::output::{Table, clip, count, detail_of, number, paint, style};

/// Tables with more rows are not small.
pub(super) const ROWS: u64 = 60;
/// Nor are those with longer texts, unless they are the same in all rows.
const TEXT: usize = 40;

/// Whether a table is one of numbers, with texts that say what they are of.
pub(super) fn is_small(table: &RecordBatch) -> bool {
    let schema = table.schema();
    let numbers = schema.fields().iter().filter(|field| field.data_type().is_numeric()).count();
    let texts = |(field, column): (&arrow::datatypes::FieldRef, &ArrayRef)| match field.data_type() {
        DataType::Utf8 => {
            constant(column).is_some() || column.as_string::<i32>().iter().flatten().all(|t| t.width() <= TEXT)
        }
        other => other.is_numeric() || other == &DataType::Boolean,
    };
    numbers > 0
        && table.num_rows() > 0
        && table.column_by_name("id").is_none()
        && schema.fields().iter().zip(table.columns()).all(texts)
}

/// The text that all rows have, of a table with a long one.
fn constant(column: &ArrayRef) -> Option<&str> {
    let texts = column.as_string_opt::<i32>()?;
    let first = texts.iter().next()??;
    (first.width() > TEXT && texts.iter().all(|text| text == Some(first))).then_some(first)
}

/// Writes it with as many columns as there is room for: a mean with the bounds of its interval, others by themselves.
pub(super) fn write(table: &RecordBatch, columns: usize, color: bool, out: &mut impl Write) -> io::Result<()> {
    let schema = table.schema();
    let names: BTreeSet<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut shown: Vec<(String, Vec<String>)> = Vec::new();
    let mut notes = Vec::new();
    for (field, column) in schema.fields().iter().zip(table.columns()) {
        let name = field.name().as_str();
        if let Some(text) = constant(column) {
            notes.push(format!("{name}: {text}"));
            continue;
        }
        let of = detail_of(name);
        let bounded = |of: &str| names.contains(&*format!("{of}_low")) && names.contains(&*format!("{of}_high"));
        if of.is_some_and(|of| names.contains(of) && bounded(of)) {
            continue;
        }
        let interval = bounded(name).then(|| {
            let bound = |end: &str| table.column_by_name(&format!("{name}{end}")).map(floats);
            Some((bound("_low")?, bound("_high")?))
        });
        let interval = interval.flatten();
        let cell = |row: usize| match &interval {
            Some((low, high)) => {
                let [value, low, high] = [&floats(column), low, high].map(|of| of[row].map_or("-".to_owned(), number));
                if value == "-" { value } else { format!("{value} [{low}, {high}]") }
            }
            None => cell(column, row),
        };
        let heading = if field.data_type().is_numeric() { format!(">{name}") } else { name.to_owned() };
        shown.push((heading, (0..table.num_rows()).map(cell).collect()));
    }
    let wide = |(heading, cells): &(String, Vec<String>)| {
        cells.iter().map(|cell| cell.width()).max().unwrap_or(0).max(heading.trim_start_matches('>').width()) + 2
    };
    if shown.iter().map(wide).sum::<usize>() <= columns + 2 || table.num_rows() > 3 {
        let mut lines = Table::new(&shown.iter().map(|(heading, _)| heading.as_str()).collect::<Vec<_>>());
        for row in 0..table.num_rows() {
            lines.row(shown.iter().map(|(_, cells)| cells[row].clone()));
        }
        lines.write(out, color)?;
    } else {
        // The other way round: few rows with many numbers.
        let mut lines = Table::new(&["column", ">value", ">", ">"][..=table.num_rows()]);
        for (heading, cells) in shown {
            lines.row([heading.trim_start_matches('>').to_owned()].into_iter().chain(cells));
        }
        lines.write(out, color)?;
    }
    for note in notes {
        writeln!(out, "{}", paint(clip(&note, columns * 4), style::DIM, color))?;
    }
    Ok(())
}

fn floats(column: &ArrayRef) -> Vec<Option<f64>> {
    cast(column, &DataType::Float64)
        .map_or_else(|_| vec![None; column.len()], |column| column.as_primitive::<Float64Type>().iter().collect())
}

fn cell(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "-".to_owned();
    }
    let text = || array_value_to_string(column, row).unwrap_or_default();
    match column.data_type() {
        of if of.is_floating() => floats(column)[row].map_or_else(text, number),
        of if of.is_integer() => text().parse().map_or_else(|_| text(), count),
        _ => text(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    fn scores() -> RecordBatch {
        let floats = |values: [f64; 2]| -> ArrayRef { Arc::new(Float64Array::from(values.to_vec())) };
        let texts = |values: [&str; 2]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
        let signature = "f1|tok:words|norm:squad|v1; interval:percentile bootstrap over items";
        RecordBatch::try_from_iter([
            ("task", texts(["qa", "ner"])),
            ("n", Arc::new(Int64Array::from(vec![1234, 20])) as ArrayRef),
            ("f1", floats([0.46511, 0.5])),
            ("f1_stderr", floats([0.011, 0.01])),
            ("f1_low", floats([0.444, 0.4])),
            ("f1_high", floats([0.486, 0.6])),
            ("loss", floats([0.000_01, 2.0])),
            ("signature", texts([signature, signature])),
        ])
        .unwrap()
    }

    #[test]
    fn scores_are_rounded_and_stand_with_their_intervals() {
        let table = scores();
        assert!(is_small(&table));
        let mut out = Vec::new();
        write(&table, 100, false, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "task      n                    f1     loss\n\
             qa    1,234  0.465 [0.444, 0.486]  1.00e-5\n\
             ner      20  0.500 [0.400, 0.600]    2.000\n\
             signature: f1|tok:words|norm:squad|v1; interval:percentile bootstrap over items\n"
        );
    }

    #[test]
    fn few_rows_that_are_too_wide_are_turned() {
        let mut out = Vec::new();
        write(&scores().slice(0, 1), 30, false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("column                 value\ntask                      qa\n"), "{text}");
    }

    #[test]
    fn rows_with_an_id_or_long_texts_are_no_scores() {
        let table = scores();
        let named = |name: &str, column: ArrayRef| {
            RecordBatch::try_from_iter([(name, column), ("n", Arc::clone(table.column(1)))]).unwrap()
        };
        assert!(is_small(&named("task", Arc::clone(table.column(0)))));
        assert!(!is_small(&named("id", Arc::clone(table.column(0)))));
        let long: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(50), "y".repeat(50)]));
        assert!(!is_small(&named("text", long)));
        assert!(!is_small(&RecordBatch::try_from_iter([("task", Arc::clone(table.column(0)))]).unwrap()));
    }
}

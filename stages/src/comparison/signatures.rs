//! What exactly a metric is, carried along with its numbers.

use std::collections::BTreeMap;

use arrow::{array::RecordBatch, datatypes::Schema};
use pipe_engine::kind::StageError;

use super::Input;
use crate::rows::columns::TextColumn;

const COLUMN: &str = "signature";

/// By metric: its signature, and where that was read.
#[derive(Debug, Default)]
pub(super) struct Signatures(BTreeMap<String, (String, String)>);

impl Signatures {
    /// Whether a table has signatures and no items: the output `scores` of `evaluate`.
    pub(super) fn are_in(schema: &Schema, item: &str) -> bool {
        schema.field_with_name(COLUMN).is_ok() && schema.field_with_name(item).is_err()
    }

    /// Reads those of one input. They stand in one text, in the order of the columns of means, which have their
    /// standard errors beside them; that of the interval comes last.
    ///
    /// # Errors
    /// A metric has another signature elsewhere: two numbers that were not computed in the same way are not compared.
    pub(super) fn read(&mut self, input: &Input) -> Result<(), StageError> {
        for piece in &input.pieces {
            let variant = piece.from.as_ref().map(|from| &*from.variant);
            if let Some(table) = &piece.table {
                self.read_piece(&input.name, variant, &table.rows)?;
            }
        }
        Ok(())
    }

    fn read_piece(&mut self, input: &str, variant: Option<&str>, rows: &RecordBatch) -> Result<(), StageError> {
        let schema = rows.schema();
        let names = schema.fields().iter().map(|field| field.name());
        let metrics: Vec<&String> =
            names.filter(|name| schema.field_with_name(&format!("{name}_stderr")).is_ok()).collect();
        let column = TextColumn::required(rows, input, COLUMN)?;
        for row in 0..rows.num_rows() {
            let Some(all) = column.get(row) else { continue };
            let parts: Vec<&str> = all.split("; ").collect();
            let place = match variant {
                Some(variant) => format!("`{variant}` of the input `{input}`"),
                None => format!("the input `{input}`"),
            };
            for (i, metric) in metrics.iter().enumerate() {
                // A signature of another form belongs to all metrics as a whole.
                let own = if parts.len() == metrics.len() + 1 { parts[i] } else { all };
                let (known, first) = self.0.entry((*metric).clone()).or_insert_with(|| (own.to_owned(), place.clone()));
                if known != own {
                    return Err(StageError::user_help(
                        format!("`{metric}` is `{known}` in {first}, and `{own}` in {place}"),
                        "such numbers are not compared: score both in the same way",
                    ));
                }
            }
        }
        Ok(())
    }

    /// That of a metric.
    pub(super) fn of(&self, metric: &str) -> Option<String> {
        self.0.get(metric).map(|(signature, _)| signature.clone())
    }
}

//! The columns of files, found without reading all of them.

use std::{fs, path::PathBuf};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use pipe_engine::kind::StageError;

use super::{Format, ReadOptions, Sink, TabularError, read};

/// Files whose rows bring their columns are read to the end if they are no larger than this together, in bytes.
const SMALL: u64 = 4 << 20;

/// The names of all columns as the stage will give them; `None` where only reading all rows would tell. What is wrong
/// with the header, or with the rows that are looked at, is an error as it would be in the run.
pub fn peek(files: &[PathBuf], format: Format, options: &ReadOptions) -> Result<Option<Vec<String>>, TabularError> {
    let headed = match format {
        // What a shape wants of the types is told by all rows.
        Format::Csv | Format::Tsv => options.shape.is_none(),
        Format::Parquet | Format::Text => true,
        Format::Json | Format::Jsonl => false,
    };
    let bytes: u64 = files.iter().filter_map(|file| fs::metadata(file).ok()).map(|meta| meta.len()).sum();
    if !headed && bytes > SMALL {
        return Ok(None);
    }
    let limit = if headed { Some(1) } else { options.limit };
    let mut names = Names::default();
    read(files, format, &ReadOptions { limit, id: None, ..options.clone() }, &mut names)?;
    Ok(Some(names.0))
}

/// Keeps the names of the columns and nothing else.
#[derive(Default)]
struct Names(Vec<String>);

impl Sink for Names {
    fn begin(&mut self, schema: &SchemaRef) -> Result<(), StageError> {
        self.0 = schema.fields().iter().map(|field| field.name().clone()).collect();
        Ok(())
    }

    fn write(&mut self, _: &RecordBatch) -> Result<(), StageError> {
        Ok(())
    }
}

//! Parquet files as tables: columns keep their types, apart from encodings that are not types (dictionaries, runs,
//! views, large offsets), and intervals, which no two programs count alike and which become text.

mod depth;

use std::{fmt::Display, fs::File, path::PathBuf, sync::Arc};

use arrow::{
    array::RecordBatch,
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pipe_lm::quiet::caught;

use super::{
    error::TabularError,
    options::ReadOptions,
    output::{Output, Sink},
    row_format::Built,
    types::{MAX_NESTING, same_type},
};

const BATCH_ROWS: usize = 8192;
/// A list is two groups, a map is two, a structure one; and the root.
const MAX_GROUPS: usize = 2 * MAX_NESTING + 1;

/// Reads files that have the same columns.
pub(crate) fn read(files: &[PathBuf], options: &ReadOptions, sink: &mut dyn Sink) -> Result<u64, TabularError> {
    let mut output: Option<(Output, SchemaRef)> = None;
    let mut left = options.limit.unwrap_or(u64::MAX) as usize;
    for path in files {
        let failed = |message: String| TabularError::Other { path: path.clone(), message };
        if let Some(column) = options.schema.keys().next() {
            return Err(failed(format!("`schema` declares `{column}`, but a Parquet file brings its own types")));
        }
        let io = |source| TabularError::Io { path: path.clone(), source };
        let mut file = File::open(path).map_err(io)?;
        if let Some(depth) = depth::depth(&mut file).map_err(io)?
            && depth > MAX_GROUPS
        {
            return Err(failed(format!(
                "columns are nested {depth} groups deep, of which at most {MAX_GROUPS} are read"
            )));
        }
        let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(file))
            .map_err(|e| failed(format!("not a readable Parquet file: {e}")))?;
        let schema = plain_schema(builder.schema());
        if let Some(field) = schema.fields().iter().find(|field| nesting(field.data_type()) > MAX_NESTING) {
            return Err(failed(format!("column `{}` is nested more than {MAX_NESTING} deep", field.name())));
        }
        if output.is_none() {
            let begun = Output::new(&schema, files, options)?;
            sink.begin(begun.schema())?;
            output = Some((begun, schema.clone()));
        }
        let (output, first) = output.as_mut().expect("set above");
        if let Some(difference) = difference(first, &schema) {
            return Err(failed(format!(
                "{difference}; all files of a table have the same columns as {}",
                files[0].display()
            )));
        }
        let mut reader = guarded(|| builder.with_batch_size(BATCH_ROWS).with_limit(left).build()).map_err(failed)?;
        let damaged = |e| failed(format!("damaged Parquet data: {e}"));
        while let Some(batch) = guarded(|| reader.next().transpose()).map_err(damaged)? {
            let batch = plain_batch(&batch, first).map_err(|e| failed(e.to_string()))?;
            left -= batch.num_rows();
            let rows = output.selected(&Built { batch, path: path.clone(), lines: Vec::new() })?;
            sink.at(path, &[]);
            sink.write(&rows)?;
        }
        if left == 0 {
            break;
        }
    }
    Ok(output.map_or(0, |(output, _)| output.rows()))
}

/// What the library says, or the panic that a damaged file brought about in it.
fn guarded<T, E: Display>(work: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    caught(work)?.map_err(|error| error.to_string())
}

/// The type without its encoding.
fn plain(ty: &DataType) -> DataType {
    let field = |f: &Arc<Field>| Arc::new(f.as_ref().clone().with_data_type(plain(f.data_type())));
    match ty {
        DataType::Dictionary(_, value) => plain(value),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        DataType::Interval(_) => DataType::Utf8,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) => {
            DataType::List(field(item))
        }
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(field(item), *length),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        other => other.clone(),
    }
}

/// Lists, maps and structures one inside the other.
fn nesting(ty: &DataType) -> usize {
    match ty {
        DataType::List(item) | DataType::FixedSizeList(item, _) => 1 + nesting(item.data_type()),
        DataType::Map(entries, _) => nesting(entries.data_type()),
        DataType::Struct(fields) => 1 + fields.iter().map(|f| nesting(f.data_type())).max().unwrap_or(0),
        _ => 0,
    }
}

/// The columns with plain types, without the writer's metadata.
fn plain_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<_> = schema.fields().iter().map(|f| Field::new(f.name(), plain(f.data_type()), true)).collect();
    Arc::new(Schema::new(fields))
}

/// The batch in the columns and types of `schema`.
fn plain_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, arrow::error::ArrowError> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| cast(batch.column(batch.schema_ref().index_of(field.name())?), field.data_type()))
        .collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema.clone(), columns)
}

/// What tells two lists of columns apart, whatever their order.
fn difference(first: &Schema, other: &Schema) -> Option<String> {
    for field in first.fields() {
        match other.field_with_name(field.name()) {
            Err(_) => return Some(format!("there is no column `{}`", field.name())),
            Ok(found) if !same_type(found.data_type(), field.data_type()) => {
                return Some(format!(
                    "column `{}` is {} instead of {}",
                    field.name(),
                    found.data_type(),
                    field.data_type()
                ));
            }
            Ok(_) => {}
        }
    }
    let extra = other.fields().iter().find(|f| first.field_with_name(f.name()).is_err())?;
    Some(format!("there is a column `{}` more", extra.name()))
}

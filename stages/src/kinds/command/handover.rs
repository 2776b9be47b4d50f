//! Inputs as files for the program, and the program's files as outputs.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use arrow::{
    array::RecordBatch,
    compute::cast,
    csv,
    datatypes::{DataType, Field, Schema, SchemaRef},
    json,
};
use parquet::arrow::ArrowWriter;
use pipe_engine::{
    context::{StageContext, TableInput},
    kind::StageError,
};

use super::{InputFormat, OutputFormat, OutputSpec, scores::Scored};
use crate::tabular::{
    self, ColumnType, Declared, Format, OutputSink, ReadOptions, Sink, Unprintable, not_finite, printable,
};

/// The extension of an output's file.
pub(crate) fn extension(format: OutputFormat) -> &'static str {
    match format {
        OutputFormat::Parquet => "parquet",
        OutputFormat::Jsonl => "jsonl",
        OutputFormat::Csv => "csv",
        OutputFormat::Files => "",
    }
}

/// A table as a file for the program. The store's own Parquet file serves where it can.
pub(crate) fn table(cx: &StageContext, name: &str, format: InputFormat, workdir: &Path) -> Result<PathBuf, StageError> {
    let input = cx.table(name)?;
    if format == InputFormat::Parquet
        && let Some(path) = input.path()?
    {
        return Ok(path);
    }
    let extension = match format {
        InputFormat::Parquet => "parquet",
        InputFormat::Jsonl => "jsonl",
        InputFormat::Csv => "csv",
    };
    let folder = workdir.join("inputs");
    let path = folder.join(format!("{name}.{extension}"));
    let failed = |e| StageError::other(format!("write {}", path.display()), e);
    fs::create_dir_all(&folder).map_err(failed)?;
    let mut file = BufWriter::new(File::create(&path).map_err(failed)?);
    write(&input, format, &mut file).map_err(|error| error.of_input(name, extension))?;
    file.flush().map_err(failed)?;
    Ok(path)
}

/// Why rows could not be written for a program.
pub(crate) enum WriteError {
    Stage(StageError),
    Arrow(Box<dyn std::error::Error + Send + Sync>),
}

impl WriteError {
    /// Of that input, in that format.
    pub(crate) fn of_input(self, name: &str, format: &str) -> StageError {
        match self {
            Self::Stage(error) => error,
            Self::Arrow(error) => StageError::user_help(
                format!("the input `{name}` cannot be handed over as {format}: {error}"),
                "choose another `input_format`, or leave the column out (`kind: select`)",
            ),
        }
    }
}

impl From<StageError> for WriteError {
    fn from(error: StageError) -> Self {
        Self::Stage(error)
    }
}

impl From<arrow::error::ArrowError> for WriteError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Arrow(error.into())
    }
}

impl From<parquet::errors::ParquetError> for WriteError {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::Arrow(error.into())
    }
}

fn write(input: &TableInput, format: InputFormat, file: &mut BufWriter<File>) -> Result<(), WriteError> {
    match format {
        InputFormat::Parquet => {
            let mut writer = ArrowWriter::try_new(file, input.schema().clone(), None)?;
            for batch in input.batches() {
                writer.write(&batch?)?;
            }
            writer.close()?;
        }
        InputFormat::Jsonl => write_lines(file, input.batches())?,
        InputFormat::Csv => {
            if let Some(field) = input.schema().fields().iter().find(|field| field.data_type().is_nested()) {
                let error =
                    format!("column `{}` is of type {}, which CSV has no cells for", field.name(), field.data_type());
                return Err(WriteError::Arrow(error.into()));
            }
            let mut writer = csv::WriterBuilder::new().with_header(true).build(file);
            // An empty table still has its header.
            writer.write(&RecordBatch::new_empty(input.schema().clone()))?;
            for batch in input.batches() {
                writer.write(&printable(&batch?, Unprintable::Refuse)?)?;
            }
        }
    }
    Ok(())
}

/// Rows as JSON Lines.
pub(crate) fn write_lines(
    file: &mut impl Write,
    batches: impl IntoIterator<Item = Result<RecordBatch, StageError>>,
) -> Result<(), WriteError> {
    // Nulls are spelt out, so that every line has every column.
    let builder = json::WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = builder.build::<_, json::writer::LineDelimited>(file);
    let mut rows = 0;
    for batch in batches {
        let batch = printable(&batch?, Unprintable::Refuse)?;
        if let Some((column, row)) = not_finite(&batch) {
            let number = rows + row + 1;
            let error = format!("column `{column}` is not finite in row {number}, and JSON has no word for that");
            return Err(WriteError::Arrow(error.into()));
        }
        rows += batch.num_rows();
        writer.write(&batch)?;
    }
    writer.finish()?;
    Ok(())
}

/// A directory for the program: the artifact itself, or for a gathered input a folder with one link per variant.
pub(crate) fn files(cx: &StageContext, name: &str, workdir: &Path) -> Result<PathBuf, StageError> {
    let gathered = match cx.optional_files(name) {
        Ok(Some(dir)) => return Ok(dir),
        _ => cx.gathered_files(name)?,
    };
    let folder = workdir.join("inputs").join(name);
    let failed = |e| StageError::other(format!("make {}", folder.display()), e);
    fs::create_dir_all(&folder).map_err(failed)?;
    let mut taken = HashSet::new();
    for part in gathered {
        let mut link = part.variant.replace('/', "_");
        // Two variants may differ in what a file's name cannot hold, or in case, which not every file system tells
        // apart.
        while !taken.insert(link.to_lowercase()) {
            link.push('_');
        }
        std::os::unix::fs::symlink(&part.dir, folder.join(link)).map_err(failed)?;
    }
    Ok(folder)
}

/// Checks what the program wrote, and makes it the stage's output. `scored` hears of its rows.
pub(crate) fn collect(
    cx: &StageContext,
    name: &str,
    spec: &OutputSpec,
    path: &Path,
    scored: Option<&mut Scored>,
) -> Result<(), StageError> {
    let format = match spec.format {
        OutputFormat::Files => {
            let empty = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
            return if empty { Err(not_written(name, "wrote no file into")) } else { Ok(()) };
        }
        OutputFormat::Parquet => Format::Parquet,
        OutputFormat::Jsonl => Format::Jsonl,
        OutputFormat::Csv => Format::Csv,
    };
    if !path.is_file() {
        return Err(not_written(name, "did not write"));
    }
    let mut sink = Heard { inner: OutputSink::new(cx, name), scored };
    let files = [path.to_owned()];
    let read = if format == Format::Parquet {
        let mut typed = Typed { inner: &mut sink, spec, schema: None };
        tabular::read(&files, format, &ReadOptions::default(), &mut typed)
    } else {
        let options = ReadOptions { schema: spec.columns.clone(), ..ReadOptions::default() };
        tabular::read(&files, format, &options, &mut sink)
    };
    read.map_err(|error| named(name, error.into_stage_error(Declared::Columns)))?;
    sink.inner.finish()?;
    Ok(())
}

fn not_written(name: &str, what: &str) -> StageError {
    let help = format!("the program must write to `{{outputs.{name}}}`, or \"$PIPE_OUTPUT_{name}\" in a shell script");
    StageError::user_help(format!("the program ended well but {what} the output `{name}`"), help)
}

/// Says which output was at fault.
fn named(name: &str, error: StageError) -> StageError {
    match error {
        StageError::User { message, help } => {
            StageError::User { message: format!("the output `{name}`: {message}"), help }
        }
        other => other,
    }
}

/// An output whose rows are scored as well.
struct Heard<'a, 'b> {
    inner: OutputSink<'a>,
    scored: Option<&'b mut Scored>,
}

impl Sink for Heard<'_, '_> {
    fn begin(&mut self, schema: &SchemaRef) -> Result<(), StageError> {
        if let Some(scored) = &mut self.scored {
            scored.begin();
        }
        self.inner.begin(schema)
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        if let Some(scored) = &mut self.scored {
            scored.add(batch)?;
        }
        self.inner.write(batch)
    }
}

/// Checks and casts the declared columns of a Parquet output.
struct Typed<'a, 'b, 'c> {
    inner: &'a mut Heard<'b, 'c>,
    spec: &'a OutputSpec,
    schema: Option<SchemaRef>,
}

/// The type that a column of a Parquet output is stored as, or `None` if it is not what was declared.
fn declared_type(declared: &ColumnType, found: &DataType) -> Option<DataType> {
    let wanted = declared.to_arrow();
    let fits = match declared {
        ColumnType::Int => found.is_integer() && *found != DataType::UInt64,
        ColumnType::Float => {
            found.is_numeric() && !matches!(found, DataType::Decimal128(..) | DataType::Decimal256(..))
        }
        _ => tabular::same_type(&wanted, found),
    };
    fits.then_some(wanted)
}

impl Sink for Typed<'_, '_, '_> {
    fn begin(&mut self, schema: &SchemaRef) -> Result<(), StageError> {
        let mut fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
        for (name, declared) in &self.spec.columns {
            let Some(field) = fields.iter_mut().find(|f| f.name() == name) else {
                let known = fields.iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ");
                return Err(StageError::user_help(format!("no column `{name}`"), format!("the columns are: {known}")));
            };
            let Some(stored) = declared_type(declared, field.data_type()) else {
                return Err(StageError::user(format!("column `{name}` is {} and not {declared}", field.data_type())));
            };
            field.set_data_type(stored);
        }
        let schema = SchemaRef::new(Schema::new(fields));
        self.schema = Some(schema.clone());
        self.inner.begin(&schema)
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        let schema = self.schema.clone().ok_or_else(|| StageError::contract("rows before their schema"))?;
        let columns =
            batch.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
        let batch = columns
            .collect::<Result<_, _>>()
            .and_then(|columns| RecordBatch::try_new(schema.clone(), columns))
            .map_err(|e| StageError::other("cast the declared columns", e))?;
        self.inner.write(&batch)
    }
}

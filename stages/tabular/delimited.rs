//! CSV and TSV with a header (RFC 4180 quoting). An empty cell is null.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use csv::StringRecord;

use super::{
    build::RowBuilder,
    error::{Place, TabularError},
    open::open,
    read::{Built, Columns, ReadOptions, RowFormat, Wanted},
    types::ColumnType,
};

/// Records that are typed and built together.
const RECORDS_PER_CHUNK: usize = 4096;

type Reader = csv::Reader<Box<dyn Read + Send>>;

/// Files with the same columns, in whatever order.
pub struct Delimited<'a> {
    files: &'a [PathBuf],
    delimiter: u8,
    options: &'a ReadOptions,
    /// The first file's columns.
    names: Vec<String>,
}

/// Some records of one file.
pub struct Records {
    path: PathBuf,
    /// For each of the table's columns its place in a record.
    order: Arc<Vec<usize>>,
    rows: Vec<StringRecord>,
}

impl<'a> Delimited<'a> {
    /// Reads the first file's header.
    pub fn new(files: &'a [PathBuf], delimiter: u8, options: &'a ReadOptions) -> Result<Self, TabularError> {
        let mut this = Self { files, delimiter, options, names: Vec::new() };
        if let Some(first) = files.first() {
            this.names = this.open(first)?.1;
        }
        Ok(this)
    }

    fn open(&self, path: &Path) -> Result<(Reader, Vec<String>), TabularError> {
        let mut reader =
            csv::ReaderBuilder::new().delimiter(self.delimiter).buffer_capacity(1 << 20).from_reader(open(path)?);
        let header = reader.headers().map_err(|e| record_error(path, &[], e))?;
        let names: Vec<String> = header.iter().map(str::to_owned).collect();
        let place = Place { path: path.to_owned(), line: 1, column: 0 };
        for (i, name) in names.iter().enumerate() {
            let message = match name.as_str() {
                "" => format!("the header's column {} has no name", i + 1),
                _ if names[..i].contains(name) => format!("the header names `{name}` twice"),
                _ => continue,
            };
            return Err(TabularError::Syntax { place, message });
        }
        Ok((reader, names))
    }

    /// Where this file has the table's columns.
    fn order(&self, path: &Path, names: &[String]) -> Result<Vec<usize>, TabularError> {
        let missing = |from: &[String], of: &[String]| from.iter().find(|name| !of.contains(name)).cloned();
        let message = match (missing(&self.names, names), missing(names, &self.names)) {
            (None, None) => {
                return Ok(self.names.iter().filter_map(|name| names.iter().position(|n| n == name)).collect());
            }
            (Some(name), _) => format!("the header lacks `{name}`, which {} has", self.files[0].display()),
            (None, Some(name)) => format!("the header has `{name}`, which {} lacks", self.files[0].display()),
        };
        Err(TabularError::Syntax { place: Place { path: path.to_owned(), line: 1, column: 0 }, message })
    }

    fn chunks_of(
        &self,
        path: &'a Path,
    ) -> Result<impl Iterator<Item = Result<Records, TabularError>> + Send + use<'a>, TabularError> {
        let (reader, names) = self.open(path)?;
        let order = Arc::new(self.order(path, &names)?);
        let mut records = reader.into_records();
        Ok(std::iter::from_fn(move || {
            let chunk: Result<Vec<_>, _> = records.by_ref().take(RECORDS_PER_CHUNK).collect();
            match chunk {
                Ok(chunk) if chunk.is_empty() => None,
                Ok(records) => Some(Ok(Records { path: path.to_owned(), order: order.clone(), rows: records })),
                Err(error) => Some(Err(record_error(path, &names, error))),
            }
        }))
    }

    /// The places of the wanted columns in a record.
    fn wanted<'b>(&'b self, chunk: &'b Records) -> impl Iterator<Item = usize> {
        let columns = self.names.iter().zip(chunk.order.iter());
        columns.filter(|(name, _)| self.options.wanted(name) != Wanted::Skip).map(|(_, &at)| at)
    }
}

/// An error of a record whose fields have `names`, as far as they are known.
fn record_error(path: &Path, names: &[String], error: csv::Error) -> TabularError {
    let line = error.position().map_or(0, csv::Position::line);
    let place = Place { path: path.to_owned(), line, column: 0 };
    match error.into_kind() {
        csv::ErrorKind::Io(source) => TabularError::Io { path: path.to_owned(), source },
        csv::ErrorKind::Utf8 { err, .. } => {
            let field = match names.get(err.field()) {
                Some(name) => format!("column `{name}`"),
                None => format!("field {}", err.field() + 1),
            };
            let message = format!("{field} is not UTF-8 text; convert the file with `iconv -f latin1 -t utf8`");
            TabularError::Syntax { place, message }
        }
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let message =
                format!("the record has {len} fields, the header {expected_len}; is a delimiter or a quote missing?");
            TabularError::Syntax { place, message }
        }
        other => TabularError::Syntax { place, message: format!("{other:?}") },
    }
}

/// The type of one cell. `007` and `+1` are text: read as numbers they would lose characters.
fn cell_type(cell: &str) -> ColumnType {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    let whole = digits.split(['.', 'e', 'E']).next().unwrap_or_default();
    let number_like =
        !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit()) && (whole == "0" || !whole.starts_with('0'));
    match cell {
        "" => ColumnType::Unknown,
        "true" | "false" | "True" | "False" | "TRUE" | "FALSE" => ColumnType::Bool,
        _ if !number_like => ColumnType::Text,
        _ if digits.len() == whole.len() => cell.parse::<i64>().map_or(ColumnType::Text, |_| ColumnType::Int),
        _ => cell.parse::<f64>().map_or(ColumnType::Text, |_| ColumnType::Float),
    }
}

impl RowFormat for Delimited<'_> {
    type Chunk = Records;

    fn header(&self) -> Columns {
        self.names.iter().map(|name| (name.clone(), ColumnType::Unknown)).collect()
    }

    fn chunks(&self) -> Box<dyn Iterator<Item = Result<Records, TabularError>> + Send + '_> {
        Box::new(self.files.iter().flat_map(|path| match self.chunks_of(path) {
            Ok(chunks) => Box::new(chunks) as Box<dyn Iterator<Item = _> + Send>,
            Err(error) => Box::new(std::iter::once(Err(error))),
        }))
    }

    fn rows(&self, chunk: &Records) -> u64 {
        chunk.rows.len() as u64
    }

    fn truncate(&self, chunk: &mut Records, rows: u64) {
        chunk.rows.truncate(rows as usize);
    }

    fn infer(&self, chunk: &Records) -> Result<Columns, TabularError> {
        let mut columns = Columns::new();
        for (name, &at) in self.names.iter().zip(chunk.order.iter()) {
            let mut ty = ColumnType::Unknown;
            if self.options.wanted(name) == Wanted::Infer {
                for record in &chunk.rows {
                    ty = join(ty, cell_type(&record[at]));
                    if ty == ColumnType::Text {
                        break;
                    }
                }
            }
            columns.insert(name.clone(), ty);
        }
        Ok(columns)
    }

    fn join(&self, a: ColumnType, b: ColumnType) -> Result<ColumnType, Box<(ColumnType, ColumnType)>> {
        Ok(join(a, b))
    }

    fn place(&self, chunk: &Records) -> Place {
        let line = chunk.rows.first().and_then(StringRecord::position).map_or(0, csv::Position::line);
        Place { path: chunk.path.clone(), line, column: 0 }
    }

    fn build(&self, chunk: &Records, types: &Columns) -> Result<Built, TabularError> {
        let mut builder = RowBuilder::new(types, &|name| self.options.schema.contains_key(name), false);
        let places: Vec<usize> = self.wanted(chunk).collect();
        let mut lines = Vec::with_capacity(chunk.rows.len());
        for record in &chunk.rows {
            let line = record.position().map_or(0, csv::Position::line);
            builder.push_cells(places.iter().map(|&at| &record[at])).map_err(|message| TabularError::Value {
                place: Place { path: chunk.path.clone(), line, column: 0 },
                column: builder.current_column().unwrap_or_default().to_owned(),
                message,
            })?;
            lines.push(line);
        }
        Ok(Built { batch: builder.finish(), path: chunk.path.clone(), lines })
    }
}

/// Delimited cells are text to begin with, so text holds every mixture.
fn join(a: ColumnType, b: ColumnType) -> ColumnType {
    a.join(b).unwrap_or(ColumnType::Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells() {
        let check = |cell, expect| assert_eq!(cell_type(cell), expect, "{cell}");
        for text in ["x", "007", "-", "+1", "1e", "0x1", "NaN", "inf", "1_000", "99999999999999999999", ".5"] {
            check(text, ColumnType::Text);
        }
        for int in ["0", "-1", "42", "9223372036854775807"] {
            check(int, ColumnType::Int);
        }
        for float in ["0.5", "-1.25", "1e5", "2.E3"] {
            check(float, ColumnType::Float);
        }
        check("", ColumnType::Unknown);
        check("True", ColumnType::Bool);
    }
}

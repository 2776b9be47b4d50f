//! CSV and TSV (RFC 4180 quoting). An empty cell is null.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    build::RowBuilder,
    error::{NOT_UTF8, Place, TabularError},
    numbers::cell_type,
    open::open,
    options::{Header, ReadOptions, Wanted},
    row_format::{Built, RowFormat},
    scan::{Records, ScanError, Scanner},
    types::{ColumnType, Columns},
};

/// What is typed and built together: records at most, and bytes of memory that they may take.
const RECORDS_PER_CHUNK: usize = 4096;
const BYTES_PER_CHUNK: usize = 4 << 20;

type Reader = Scanner<Box<dyn std::io::Read + Send>>;

/// Files with the same columns, in whatever order.
pub(crate) struct Delimited<'a> {
    files: &'a [PathBuf],
    delimiter: u8,
    options: &'a ReadOptions,
    /// The first file's columns.
    names: Vec<String>,
    /// What is wanted of each of them.
    wanted: Vec<Wanted>,
}

/// Some records of one file.
pub(crate) struct Chunk {
    path: PathBuf,
    /// For each of the table's columns its place in a record.
    order: Arc<Vec<usize>>,
    records: Records,
}

impl Chunk {
    /// The cells of one of the file's columns, as they are written.
    fn column(&self, at: usize) -> impl Iterator<Item = &[u8]> {
        (0..self.records.len()).map(move |row| self.records.cell(row * self.order.len() + at))
    }
}

impl<'a> Delimited<'a> {
    /// Reads the first file's header.
    pub(crate) fn new(files: &'a [PathBuf], delimiter: u8, options: &'a ReadOptions) -> Result<Self, TabularError> {
        let mut this = Self { files, delimiter, options, names: Vec::new(), wanted: Vec::new() };
        if let Some(first) = files.first() {
            this.names = this.open(first)?.1;
            this.wanted = this.names.iter().map(|name| options.wanted(name)).collect();
        }
        Ok(this)
    }

    fn open(&self, path: &Path) -> Result<(Reader, Vec<String>), TabularError> {
        let scanner = || Ok::<_, TabularError>(Scanner::new(open(path)?, self.delimiter, self.options.quote));
        let mut reader = scanner()?;
        if let Header::Named(names) = &self.options.header {
            return Ok((reader, names.clone()));
        }
        let mut header = Records::default();
        let width = reader.record(&mut header).map_err(|e| scan_error(path, e))?.unwrap_or(0);
        if self.options.header == Header::Absent {
            // The first record of the first file counts the columns of all.
            let names = if self.names.is_empty() { (1..=width).map(numbered).collect() } else { self.names.clone() };
            return Ok((scanner()?, names));
        }
        let place = |line| Place { path: path.to_owned(), line, column: 0 };
        let line = header.lines().first().copied().unwrap_or(1);
        let mut names = Vec::with_capacity(width);
        for at in 0..width {
            let name = std::str::from_utf8(header.cell(at)).map_err(|_| not_utf8(place(line), at, None))?;
            // Row names, as pandas and R write them, have no name themselves.
            names.push(if name.is_empty() { numbered(at + 1) } else { name.to_owned() });
        }
        let mut seen = HashMap::with_capacity(width);
        for (at, name) in names.iter().enumerate() {
            if let Some(first) = seen.insert(name, at + 1) {
                let message = format!("the header names `{name}` twice, in columns {first} and {}", at + 1);
                return Err(TabularError::Syntax { place: place(line), message });
            }
        }
        Ok((reader, names))
    }

    /// Where this file has the table's columns.
    fn order(&self, path: &Path, names: &[String]) -> Result<Vec<usize>, TabularError> {
        let places: HashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
        let order: Vec<usize> = self.names.iter().filter_map(|name| places.get(name.as_str()).copied()).collect();
        let first = self.files[0].display();
        if self.options.header == Header::Absent && names.len() != self.names.len() {
            // Of a first file with records the number of columns is that of all: this one has none.
            let message = format!("there are records of {}, and {first} has none", names.len());
            return Err(TabularError::Syntax { place: Place { path: path.to_owned(), line: 1, column: 0 }, message });
        }
        let message = match self.names.iter().find(|name| !places.contains_key(name.as_str())) {
            Some(name) => format!("the header lacks `{name}`, which {first} has"),
            None if names.len() == self.names.len() => return Ok(order),
            None => {
                let more = names.iter().find(|name| !self.names.contains(name)).map_or("", String::as_str);
                format!("the header has `{more}`, which {first} lacks")
            }
        };
        Err(TabularError::Syntax { place: Place { path: path.to_owned(), line: 1, column: 0 }, message })
    }

    fn chunks_of(
        &self,
        path: &'a Path,
    ) -> Result<impl Iterator<Item = Result<Chunk, TabularError>> + Send + use<'a>, TabularError> {
        let (mut reader, names) = self.open(path)?;
        let order = Arc::new(self.order(path, &names)?);
        let (mut failed, header) = (false, &self.options.header);
        Ok(std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let records = read_records(&mut reader, path, names.len(), header).transpose()?;
            failed = records.is_err();
            Some(records.map(|records| Chunk { path: path.to_owned(), order: order.clone(), records }))
        }))
    }

    /// The cell, nothing where it is written for a missing value.
    fn value<'c>(&self, cell: &'c [u8]) -> &'c [u8] {
        if self.options.nulls.iter().any(|null| null.as_bytes() == cell) { &[] } else { cell }
    }

    /// The names of the wanted columns, and their places in a record.
    fn wanted<'b>(&'b self, chunk: &'b Chunk) -> impl Iterator<Item = (&'b str, usize)> {
        let columns = self.names.iter().zip(&self.wanted).zip(chunk.order.iter());
        columns.filter(|((_, wanted), _)| **wanted != Wanted::Skip).map(|((name, _), &at)| (name.as_str(), at))
    }
}

/// What a column without a name is called.
fn numbered(place: usize) -> String {
    format!("column_{place}")
}

/// The next records, `None` if there are none.
fn read_records(
    reader: &mut Reader,
    path: &Path,
    width: usize,
    header: &Header,
) -> Result<Option<Records>, TabularError> {
    let mut records = Records::default();
    while records.len() < RECORDS_PER_CHUNK && records.bytes() < BYTES_PER_CHUNK {
        match reader.record(&mut records).map_err(|e| scan_error(path, e))? {
            None => break,
            Some(cells) if cells == width => {}
            Some(cells) => {
                let line = records.lines().last().copied().unwrap_or(0);
                let place = Place { path: path.to_owned(), line, column: 0 };
                let has = match header {
                    Header::First => format!("the header {width}"),
                    Header::Absent => format!("the first one {width}"),
                    Header::Named(_) => format!("`header` names {width}"),
                };
                let message = format!("the record has {cells} fields, {has}; is a delimiter or a quote missing?");
                return Err(TabularError::Syntax { place, message });
            }
        }
    }
    Ok((records.len() > 0).then_some(records))
}

fn scan_error(path: &Path, error: ScanError) -> TabularError {
    let place = |line| Place { path: path.to_owned(), line, column: 0 };
    match error {
        ScanError::Io(source) => TabularError::Io { path: path.to_owned(), source },
        ScanError::Quote { line, message } => TabularError::Quote { place: place(line), message },
        ScanError::TooLong { line } => {
            TabularError::Syntax { place: place(line), message: "the record is longer than 1 GiB".to_owned() }
        }
    }
}

fn not_utf8(place: Place, at: usize, name: Option<&str>) -> TabularError {
    let field = name.map_or_else(|| format!("field {}", at + 1), |name| format!("column `{name}`"));
    TabularError::Syntax { place, message: format!("{field} is not UTF-8 text; {NOT_UTF8}") }
}

impl RowFormat for Delimited<'_> {
    type Chunk = Chunk;

    fn header(&self) -> Columns {
        self.names.iter().map(|name| (name.clone(), ColumnType::Unknown)).collect()
    }

    fn chunks(&self) -> Box<dyn Iterator<Item = Result<Chunk, TabularError>> + Send + '_> {
        Box::new(self.files.iter().flat_map(|path| match self.chunks_of(path) {
            Ok(chunks) => Box::new(chunks) as Box<dyn Iterator<Item = _> + Send>,
            Err(error) => Box::new(std::iter::once(Err(error))),
        }))
    }

    fn rows(&self, chunk: &Chunk) -> u64 {
        chunk.records.len() as u64
    }

    fn truncate(&self, chunk: &mut Chunk, rows: u64) {
        chunk.records.truncate(rows as usize, chunk.order.len());
    }

    fn infer(&self, chunk: &Chunk) -> Result<Columns, TabularError> {
        let mut columns = Columns::with_capacity(self.names.len());
        for ((name, wanted), &at) in self.names.iter().zip(&self.wanted).zip(chunk.order.iter()) {
            let mut ty = ColumnType::Unknown;
            if *wanted == Wanted::Infer {
                for cell in chunk.column(at).map(|cell| self.value(cell)) {
                    // What is no text is found, and said, when it is built.
                    ty = join(ty, std::str::from_utf8(cell).map_or(ColumnType::Text, cell_type));
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

    fn place(&self, chunk: &Chunk) -> Place {
        let line = chunk.records.lines().first().copied().unwrap_or(0);
        Place { path: chunk.path.clone(), line, column: 0 }
    }

    fn build(&self, chunk: &Chunk, types: &Columns) -> Result<Built, TabularError> {
        let mut builder = RowBuilder::new(types, &|name| self.options.schema.contains_key(name), false);
        let wanted: Vec<(&str, usize)> = self.wanted(chunk).collect();
        let mut cells = Vec::with_capacity(wanted.len());
        for (row, &line) in chunk.records.lines().iter().enumerate() {
            let place = || Place { path: chunk.path.clone(), line, column: 0 };
            cells.clear();
            for &(name, at) in &wanted {
                let cell = self.value(chunk.records.cell(row * chunk.order.len() + at));
                cells.push(std::str::from_utf8(cell).map_err(|_| not_utf8(place(), at, Some(name)))?);
            }
            builder.push_cells(cells.iter().copied()).map_err(|message| TabularError::Value {
                place: place(),
                column: builder.current_column().unwrap_or_default().to_owned(),
                message,
            })?;
        }
        Ok(Built { batch: builder.finish(), path: chunk.path.clone(), lines: chunk.records.lines().to_vec() })
    }
}

/// Delimited cells are text to begin with, so text holds every mixture.
fn join(a: ColumnType, b: ColumnType) -> ColumnType {
    a.join(b).unwrap_or(ColumnType::Text)
}

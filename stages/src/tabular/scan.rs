//! Cuts delimited text into records and cells (RFC 4180), strictly: a quote that opens a cell closes it, too.
//!
//! A quote inside a cell that did not begin with one is a character like any other, as everywhere (`5" disk`). Lines
//! without a character are skipped; `\n`, `\r\n` and `\r` end a record.

use std::io::{self, Read};

/// Read from the file at once.
const BUFFER: usize = 1 << 20;
/// Text columns count bytes in 32 bits; half of that leaves room for the rest of the records.
const MAX_RECORD: usize = 1 << 30;

/// Why text could not be cut.
#[derive(Debug)]
pub(crate) enum ScanError {
    /// It could not be read.
    Io(io::Error),
    /// A quote that does not close where a cell ends.
    Quote {
        /// The line that it opens on, from 1.
        line: u64,
        /// What is wrong.
        message: &'static str,
    },
    /// A record of more than [`MAX_RECORD`] bytes.
    TooLong {
        /// The line where reading stopped, from 1.
        line: u64,
    },
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Records one after the other: the text of all cells, and where each ends.
#[derive(Debug, Default)]
pub(crate) struct Records {
    text: Vec<u8>,
    ends: Vec<usize>,
    /// The line that each record begins on.
    lines: Vec<u64>,
}

impl Records {
    /// Records so far.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Roughly the memory that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len() + self.ends.len() * size_of::<usize>()
    }

    /// The lines that the records begin on.
    pub(crate) fn lines(&self) -> &[u64] {
        &self.lines
    }

    /// The cell at that place among all cells; a record of `width` cells begins at a multiple of it.
    pub(crate) fn cell(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[at]]
    }

    /// Drops all but the first records, each of `width` cells.
    pub(crate) fn truncate(&mut self, records: usize, width: usize) {
        self.lines.truncate(records);
        self.ends.truncate(records * width);
    }
}

/// Where in a cell the scanner is.
#[derive(Clone, Copy)]
enum At {
    /// Before its first character.
    Start,
    /// Inside one without quotes.
    Plain,
    /// Behind a quote that opened on that line.
    Quoted(u64),
    /// Behind a quote inside such a one: the end, or the first of two.
    Closing(u64),
}

/// Reads records.
pub(crate) struct Scanner<R> {
    reader: R,
    delimiter: u8,
    /// What quotes, if anything does.
    quote: Option<u8>,
    buffer: Vec<u8>,
    next: usize,
    line: u64,
    /// The last record ended with `\r`; a `\n` right behind it belongs to it.
    after_return: bool,
}

impl<R: Read> Scanner<R> {
    /// From the beginning of a text.
    pub(crate) fn new(reader: R, delimiter: u8, quote: Option<u8>) -> Self {
        Self { reader, delimiter, quote, buffer: Vec::new(), next: 0, line: 1, after_return: false }
    }

    /// The bytes that are there; more of them if there were none. Empty at the end.
    fn available(&mut self) -> io::Result<&[u8]> {
        if self.next == self.buffer.len() {
            self.buffer.clear();
            self.next = 0;
            self.reader.by_ref().take(BUFFER as u64).read_to_end(&mut self.buffer)?;
        }
        Ok(&self.buffer[self.next..])
    }

    /// Passes the end of a line: `\n`, `\r`, or the `\n` of a `\r\n` whose `\r` was passed before.
    fn pass_line_end(&mut self, byte: u8) {
        self.next += 1;
        self.line += u64::from(!(byte == b'\n' && self.after_return));
        self.after_return = byte == b'\r';
    }

    /// Reads the next record onto `records`; its number of cells, or `None` at the end of the text.
    pub(crate) fn record(&mut self, records: &mut Records) -> Result<Option<usize>, ScanError> {
        while let Some(&byte @ (b'\n' | b'\r')) = self.available()?.first() {
            self.pass_line_end(byte);
        }
        if self.available()?.is_empty() {
            return Ok(None);
        }
        self.after_return = false;
        let (first_cell, first_byte) = (records.ends.len(), records.text.len());
        records.lines.push(self.line);
        let mut at = At::Start;
        loop {
            if records.text.len() - first_byte > MAX_RECORD {
                return Err(match at {
                    At::Quoted(opened) => unclosed(opened),
                    _ => ScanError::TooLong { line: self.line },
                });
            }
            let (delimiter, quote, line) = (self.delimiter, self.quote, self.line);
            let bytes = self.available()?;
            let Some(&byte) = bytes.first() else {
                if let At::Quoted(opened) = at {
                    return Err(unclosed(opened));
                }
                records.ends.push(records.text.len());
                return Ok(Some(records.ends.len() - first_cell));
            };
            let mut taken = 1;
            at = match at {
                At::Start if quote == Some(byte) => At::Quoted(line),
                At::Quoted(opened) => {
                    let closes = quote.and_then(|quote| memchr::memchr(quote, bytes));
                    let inside = &bytes[..closes.unwrap_or(bytes.len())];
                    records.text.extend_from_slice(inside);
                    taken = inside.len() + usize::from(closes.is_some());
                    let lines = memchr::memchr_iter(b'\n', inside).count() as u64;
                    self.line += lines;
                    closes.map_or(At::Quoted(opened), |_| At::Closing(opened))
                }
                At::Closing(opened) if quote == Some(byte) => {
                    records.text.push(byte);
                    At::Quoted(opened)
                }
                _ if byte == delimiter => {
                    records.ends.push(records.text.len());
                    At::Start
                }
                _ if byte == b'\n' || byte == b'\r' => {
                    records.ends.push(records.text.len());
                    self.pass_line_end(byte);
                    return Ok(Some(records.ends.len() - first_cell));
                }
                At::Closing(opened) => {
                    return Err(ScanError::Quote {
                        line: opened,
                        message: "a quote opens here and closes inside the cell",
                    });
                }
                At::Start | At::Plain => {
                    let end = memchr::memchr3(delimiter, b'\n', b'\r', bytes).unwrap_or(bytes.len());
                    records.text.extend_from_slice(&bytes[..end]);
                    taken = end;
                    At::Plain
                }
            };
            self.next += taken;
        }
    }
}

fn unclosed(opened: u64) -> ScanError {
    ScanError::Quote { line: opened, message: "a quote opens here and never closes" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, so that every place is once the edge of a read.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(out.len()).min(3);
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    /// Lines, then cells in brackets; or the error.
    fn scan(text: &str, quotes: bool) -> String {
        let mut records = Records::default();
        let mut scanner = Scanner::new(Trickle(text.as_bytes()), b',', quotes.then_some(b'"'));
        let mut out = String::new();
        loop {
            let first = records.ends.len();
            match scanner.record(&mut records) {
                Ok(None) => return out,
                Ok(Some(cells)) => {
                    let cells = (first..first + cells).map(|at| String::from_utf8_lossy(records.cell(at)).into_owned());
                    out.extend([records.lines.last().unwrap().to_string(), format!("{:?}", cells.collect::<Vec<_>>())]);
                }
                Err(ScanError::Quote { line, message }) => return format!("line {line}: {message}"),
                Err(error) => return format!("{error:?}"),
            }
        }
    }

    #[test]
    fn records_and_cells() {
        let check = |text: &str, expect: &str| assert_eq!(scan(text, true), expect, "{text:?}");
        check("", "");
        check("\n\r\n\n", "");
        check("a,b\n1,2\n", r#"1["a", "b"]2["1", "2"]"#);
        check("a,b\r\n1,2\r\n\r\n3,4", r#"1["a", "b"]2["1", "2"]4["3", "4"]"#);
        check("a,b\r1,2\r\r3,", r#"1["a", "b"]2["1", "2"]4["3", ""]"#);
        check("\"a\nb\",\"c\"\"d\"\nx,\"\"\n", "1[\"a\\nb\", \"c\\\"d\"]3[\"x\", \"\"]");
        check("5\" disk,b \"c\" d\n,", "1[\"5\\\" disk\", \"b \\\"c\\\" d\"]2[\"\", \"\"]");
        check("\"\"\"\",\"\"", "1[\"\\\"\", \"\"]");
    }

    #[test]
    fn quotes_close_where_they_should() {
        let check = |text: &str, expect: &str| assert_eq!(scan(text, true), expect, "{text:?}");
        check("a\n1\n\"cut her", "line 3: a quote opens here and never closes");
        check("a,b\n\"x\ny\",\"\n\n", "line 3: a quote opens here and never closes");
        check("\"a\"\"", "line 1: a quote opens here and never closes");
        let closed = "a quote opens here and closes inside the cell";
        check("a\n\"x\ny\"z\n", &format!("line 2: {closed}"));
        check("a\n\"x\" \n", &format!("line 2: {closed}"));
        assert_eq!(scan("a\n\"x\"z\n\"", false), "1[\"a\"]2[\"\\\"x\\\"z\"]3[\"\\\"\"]");
    }
}

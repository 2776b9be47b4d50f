//! Which format a file has, and its bytes: decompressed, and cut into blocks of whole lines.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{Place, TabularError};

/// How rows are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object per line (`.jsonl`, `.ndjson`).
    Jsonl,
    /// One JSON document: an array of objects, or an object whose values are the rows (`.json`).
    Json,
    /// Comma-separated values (`.csv`).
    Csv,
    /// Tab-separated values (`.tsv`).
    Tsv,
    /// Parquet (`.parquet`).
    Parquet,
    /// Plain text (`.txt`, `.md`, `.markdown`).
    Text,
}

impl Format {
    /// The format that a file name's extension stands for; `.gz` and `.zst` are looked through.
    pub fn of(path: &Path) -> Option<Self> {
        let name = uncompressed(path.file_name()?.to_str()?);
        let extension = name.rsplit_once('.')?.1;
        Self::ALL.into_iter().find(|format| format.extensions().contains(&extension))
    }

    const ALL: [Self; 6] = [Self::Jsonl, Self::Json, Self::Csv, Self::Tsv, Self::Parquet, Self::Text];

    /// The extensions that stand for it.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Jsonl => &["jsonl", "ndjson"],
            Self::Json => &["json"],
            Self::Csv => &["csv"],
            Self::Tsv => &["tsv"],
            Self::Parquet => &["parquet"],
            Self::Text => &["txt", "md", "markdown"],
        }
    }
}

/// A file's name in lower case, without the ending of a compression.
pub(crate) fn uncompressed(name: &str) -> String {
    let name = name.to_lowercase();
    let plain = [".gz", ".gzip", ".zst", ".zstd"].iter().find_map(|end| name.strip_suffix(end));
    plain.map(str::to_owned).unwrap_or(name)
}

type Bytes = Box<dyn Read + Send>;

/// The first bytes, by which kinds of content are told apart.
const HEAD: u64 = 16;

fn head(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// Opens a text file; what is compressed with gzip or Zstandard is decompressed on the way, whatever its name, and a
/// byte order mark is left out. Other compressions and encodings are refused by name.
pub(crate) fn open(path: &Path) -> Result<Bytes, TabularError> {
    let io = |source| TabularError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let begins = head(&mut file).map_err(io)?;
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    let file = io::Cursor::new(begins.clone()).chain(file);
    let compression = match extension.as_str() {
        _ if begins.starts_with(b"\x1f\x8b") => "gz",
        _ if begins.starts_with(b"\x28\xb5\x2f\xfd") => "zst",
        "gzip" => "gz",
        "zstd" => "zst",
        other => other,
    };
    let mut text: Bytes = match compression {
        // Neither has an empty file: this one was cut off.
        "gz" | "zst" if begins.is_empty() => return Err(io(io::ErrorKind::UnexpectedEof.into())),
        "gz" => Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::new(file))),
        "zst" => Box::new(zstd::Decoder::new(file).map_err(io)?),
        _ => Box::new(file),
    };
    let begins = head(&mut text).map_err(io)?;
    if let Some((what, help)) = foreign(&begins) {
        return Err(TabularError::Foreign { path: path.to_owned(), what: what.to_owned(), help: help.to_owned() });
    }
    let begins = begins.strip_prefix(BOM).unwrap_or(&begins).to_vec();
    Ok(Box::new(io::Cursor::new(begins).chain(text)))
}

/// What text that begins like that is instead, and what to do about it.
fn foreign(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let utf = |name| (name, "convert it to UTF-8 (`iconv -f utf-16 -t utf-8`, or utf-32)");
    Some(match head {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => utf("the text is UTF-32 and not UTF-8"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => utf("the text is UTF-16 and not UTF-8"),
        // Without a mark: every other byte of Latin text is 0.
        [a, 0, b, 0, ..] | [0, a, 0, b, ..] if *a != 0 && *b != 0 => utf("the text is UTF-16 and not UTF-8"),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..] => {
            ("the file is compressed with bzip2, which is not read", "decompress it (`bunzip2`), or use gzip or zstd")
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            ("the file is compressed with xz, which is not read", "decompress it (`unxz`), or use gzip or zstd")
        }
        [b'P', b'K', 3, 4, ..] => ("the file is a zip archive (or a spreadsheet)", "take the table out of it, as CSV"),
        [b'P', b'A', b'R', b'1', ..] => ("the file is Parquet", "give `format: parquet`"),
        _ => return None,
    })
}

/// The whole of a file, decompressed.
pub(crate) fn read_all(path: &Path) -> Result<Vec<u8>, TabularError> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(|source| TabularError::Io { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// Arrow's text columns count bytes in 32 bits; half of that leaves room for the rest of the block.
const MAX_LINE: usize = 1 << 30;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Some whole lines of one file.
#[derive(Debug)]
pub(crate) struct Block {
    /// The file they are from.
    pub path: PathBuf,
    /// The number of the first of them, from 1.
    pub first_line: u64,
    /// Their bytes; every line but perhaps the last ends with a newline.
    pub bytes: Vec<u8>,
}

impl Block {
    /// The text, if it is UTF-8.
    pub(crate) fn text(&self) -> Result<&str, TabularError> {
        std::str::from_utf8(&self.bytes).map_err(|error| {
            let before = &self.bytes[..error.valid_up_to()];
            let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
            let line = self.first_line + memchr::memchr_iter(b'\n', before).count() as u64;
            let column = (before.len() - line_start) as u64 + 1;
            TabularError::NotUtf8 { place: Place { path: self.path.clone(), line, column } }
        })
    }

    /// The lines with their numbers, without their ends.
    pub(crate) fn lines(&self) -> Result<impl Iterator<Item = (u64, &str)>, TabularError> {
        let lines = Lines(self.text()?).map(|line| line.strip_suffix('\r').unwrap_or(line));
        Ok((self.first_line..).zip(lines))
    }
}

/// Lines of a text by `memchr`, which `str::lines` does not use.
struct Lines<'a>(&'a str);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', self.0.as_bytes()).unwrap_or(self.0.len());
        let line = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or("");
        Some(line)
    }
}

/// Reads one file as blocks of about `block_size` bytes.
pub(crate) struct Blocks {
    path: PathBuf,
    reader: Box<dyn Read + Send>,
    block_size: usize,
    /// The beginning of a line whose end was not in the last block.
    carry: Vec<u8>,
    next_line: u64,
    ended: bool,
}

impl Blocks {
    /// Opens `path`.
    pub(crate) fn open(path: &Path, block_size: usize) -> Result<Self, TabularError> {
        let reader = open(path)?;
        Ok(Self { path: path.to_owned(), reader, block_size, carry: Vec::new(), next_line: 1, ended: false })
    }

    /// The blocks of several files, one after the other.
    pub(crate) fn of_files(
        files: &[PathBuf],
        block_size: usize,
    ) -> impl Iterator<Item = Result<Block, TabularError>> + Send + '_ {
        files.iter().flat_map(move |path| match Self::open(path, block_size) {
            Ok(blocks) => Box::new(blocks) as Box<dyn Iterator<Item = _> + Send>,
            Err(error) => Box::new(std::iter::once(Err(error))),
        })
    }

    fn read_block(&mut self) -> io::Result<Option<Block>> {
        let mut bytes = std::mem::take(&mut self.carry);
        bytes.reserve(self.block_size);
        // A line longer than a block makes the block longer: read on until there is a newline or the file ends.
        let cut = loop {
            let fresh = bytes.len();
            let wanted = self.block_size.saturating_sub(fresh).max(64 << 10);
            let read = self.reader.by_ref().take(wanted as u64).read_to_end(&mut bytes)?;
            if read < wanted {
                self.ended = true;
                break bytes.len();
            }
            if bytes.len() > MAX_LINE {
                return Err(io::Error::other("a line is longer than 1 GiB"));
            }
            if let Some(newline) = memchr::memrchr(b'\n', &bytes[fresh..]) {
                break fresh + newline + 1;
            }
        };
        self.carry = bytes.split_off(cut);
        let first_line = self.next_line;
        self.next_line += memchr::memchr_iter(b'\n', &bytes).count() as u64;
        Ok((!bytes.is_empty()).then(|| Block { path: self.path.clone(), first_line, bytes }))
    }
}

impl Iterator for Blocks {
    type Item = Result<Block, TabularError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let path = &self.path.clone();
        self.read_block().map_err(|source| TabularError::Io { path: path.clone(), source }).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn formats_by_extension() {
        let check = |name: &str, expect| assert_eq!(Format::of(Path::new(name)), expect, "{name}");
        check("a/b.jsonl", Some(Format::Jsonl));
        check("a/b.jsonl.gz", Some(Format::Jsonl));
        check("B.CSV.zst", Some(Format::Csv));
        check("b.csv.GZ", Some(Format::Csv));
        check("b.tsv.zstd", Some(Format::Tsv));
        check("corpus/*.parquet", Some(Format::Parquet));
        check("b.gz", None);
        check("b", None);
    }

    #[test]
    fn blocks_hold_whole_lines_whatever_their_size() {
        let text: String =
            (0..50_000).map(|i| format!("line {i} {}\n", "x".repeat(i % 97))).collect::<Vec<_>>().concat() + "the end";
        let long = "y".repeat(300_000);
        for (text, suffix) in [(text.as_str(), ".txt"), (text.as_str(), ".zst"), (long.as_str(), ".gz")] {
            let mut file = tempfile::Builder::new().suffix(suffix).tempfile().unwrap();
            match suffix {
                ".gz" => {
                    let mut gz = flate2::write::GzEncoder::new(&mut file, flate2::Compression::fast());
                    gz.write_all(text.as_bytes()).unwrap();
                    gz.finish().unwrap();
                }
                ".zst" => zstd::stream::copy_encode(text.as_bytes(), &mut file, 1).unwrap(),
                _ => file.write_all(text.as_bytes()).unwrap(),
            }
            let mut joined = Vec::new();
            for block in Blocks::open(file.path(), 100_000).unwrap() {
                let block = block.unwrap();
                assert_eq!(block.first_line, 1 + memchr::memchr_iter(b'\n', &joined).count() as u64);
                assert!(joined.is_empty() || joined.ends_with(b"\n"));
                joined.extend(block.bytes);
            }
            assert!(joined == text.as_bytes());
        }
    }
}

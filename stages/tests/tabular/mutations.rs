//! Files with a few bytes changed, by a fixed seed: read or refused, never the end of the process, never more memory
//! than the file justifies.

use std::{fs, panic::AssertUnwindSafe};

use pipe_stages::tabular::{Format, ReadOptions, Unprintable, printable, read};
use pipe_testing::mutants::Random;

use super::Kept;

/// Mutants per format: quick enough for every run of the tests. `PIPE_TEST_MUTANTS` asks for more.
const MUTANTS: u64 = 400;

/// Pieces that formats trip over.
const PIECES: [&[u8]; 20] = [
    b"\"",
    b"\"\"",
    b"\n",
    b"\r",
    b",",
    b"\t",
    b"{",
    b"[",
    b"}",
    b"]",
    b"\\u",
    b"\\ud800",
    b"1e999",
    b"NaN",
    b"-",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"99999999999999999999999",
    b"null",
];

fn mutate(bytes: &mut Vec<u8>, draws: &mut Random) {
    for _ in 0..=draws.below(4) {
        let at = draws.below(bytes.len());
        match draws.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << draws.below(8),
            1 if !bytes.is_empty() => bytes[at] = draws.draw() as u8,
            2 => {
                let end = (at + draws.below(20)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let end = (at + draws.below(60)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                let to = draws.below(bytes.len());
                bytes.splice(to..to, part);
            }
            4 => bytes.truncate(at),
            _ => {
                let piece = PIECES[draws.below(PIECES.len())];
                let repeated = piece.repeat(1 + draws.below(3) * draws.below(100));
                bytes.splice(at..at, repeated);
            }
        }
    }
}

fn jsonl() -> String {
    (0..30)
        .map(|i| {
            format!(
                "{{\"id\": {i}, \"text\": \"row {i} \\\"q\\\" \\u00e9\", \"l\": [{i}, null], \"o\": {{\"x\": \
                          {i}.5}}}}\n"
            )
        })
        .collect::<Vec<_>>()
        .concat()
}

/// Reads and prints all mutants of a file.
fn survive(name: &str, whole: &[u8], options: &ReadOptions) {
    let mutants = std::env::var("PIPE_TEST_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(MUTANTS);
    let dir = tempfile::tempdir().unwrap();
    let path = [dir.path().join(name)];
    let format = Format::of(&path[0]).unwrap();
    for seed in 0..mutants {
        let mut bytes = whole.to_vec();
        mutate(&mut bytes, &mut Random(seed));
        fs::write(&path[0], &bytes).unwrap();
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let mut kept = Kept::default();
            if read(&path, format, options, &mut kept).is_ok() {
                // What was read can be looked at.
                let _ = printable(&kept.table(), Unprintable::AsStored);
            }
        }));
        assert!(outcome.is_ok(), "{name}, mutant {seed}: {:?}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn json() {
    survive("a.jsonl", jsonl().as_bytes(), &ReadOptions::default());
    let options =
        super::options(super::json! { "schema": { "l": "json", "text": "string" }, "columns": ["l", "text"] });
    survive("a.jsonl", jsonl().as_bytes(), &options);
    survive("a.json", format!("[{}]", jsonl().trim().replace('\n', ",\n")).as_bytes(), &ReadOptions::default());
}

#[test]
fn delimited() {
    let rows = (0..30).map(|i| format!("{i},\"text \"\"{i}\"\",\nmore\",{i}.5,true\r\n")).collect::<Vec<_>>().concat();
    let csv = format!("id,text,x,flag\r\n{rows}");
    survive("a.csv", csv.as_bytes(), &ReadOptions::default());
    survive("a.tsv", csv.replace(',', "\t").as_bytes(), &ReadOptions { quote: None, ..ReadOptions::default() });
}

#[test]
fn compressed() {
    let zst = zstd::encode_all(jsonl().as_bytes(), 3).unwrap();
    survive("a.jsonl.zst", &zst, &ReadOptions::default());
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, jsonl().as_bytes()).unwrap();
    survive("a.jsonl.gz", &gz.finish().unwrap(), &ReadOptions::default());
}

#[test]
fn parquet() {
    let files = super::Files::new(&[("a.jsonl", jsonl().as_bytes())]);
    let table = files.read(&ReadOptions::default()).unwrap().table();
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, table.schema(), None).unwrap();
    writer.write(&table).unwrap();
    writer.close().unwrap();
    survive("a.parquet", &bytes, &ReadOptions::default());
}

/// The library panics on the types of integers that are written beside the data, which has none such.
#[test]
fn what_panics_in_the_parquet_library_is_an_error() {
    let path =
        [std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tabular/damaged/int_of_8256_bits.parquet")];
    let error = read(&path, Format::Parquet, &ReadOptions::default(), &mut Kept::default()).unwrap_err().to_string();
    assert!(error.contains("not a readable Parquet file") && error.contains("8256"), "{error}");
}

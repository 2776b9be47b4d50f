//! From any bytes to rows, in every format: an error or a table. `cargo +nightly fuzz run --fuzz-dir tests/fuzz table`
//!
//! The first byte chooses the format and how it is read.

#![no_main]

use std::{cell::LazyCell, fs, path::PathBuf};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use libfuzzer_sys::fuzz_target;
use pipe_engine::kind::StageError;
use pipe_stages::tabular::{Format, ReadOptions, Sink, Unprintable, peek, printable, read};

struct Printed;

impl Sink for Printed {
    fn begin(&mut self, _: &SchemaRef) -> Result<(), StageError> {
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        let _ = printable(batch, Unprintable::AsStored);
        let _ = printable(batch, Unprintable::Refuse);
        Ok(())
    }
}

thread_local! {
    static FOLDER: LazyCell<tempfile::TempDir> = LazyCell::new(|| tempfile::tempdir().expect("a folder"));
}

// Panics that are caught where they are expected are no findings; others still end the process.
fuzz_target!(init: drop(std::panic::take_hook()), |data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let formats = [Format::Jsonl, Format::Json, Format::Csv, Format::Tsv, Format::Parquet, Format::Text];
    let format = formats[usize::from(choice) % formats.len()];
    let path: PathBuf = FOLDER.with(|folder| folder.path().join("rows"));
    fs::write(&path, bytes).expect("written");
    let options = ReadOptions {
        quote: (choice & 0x80 == 0).then_some(b'"'),
        whole_files: choice & 0x40 != 0,
        ..ReadOptions::default()
    };
    let files = [path];
    let _ = peek(&files, format, &options);
    let _ = read(&files, format, &options, &mut Printed);
});

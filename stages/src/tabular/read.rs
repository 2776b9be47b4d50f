//! Reads files: their rows as they stand there, of a shape, or in pieces.

use std::path::PathBuf;

use super::{
    chunks::read_cut, drive::read_as_is, error::TabularError, open::Format, options::ReadOptions, output::Sink,
    shapes::read_shaped,
};

/// Reads `files`, all of one format, into `sink`; returns the number of rows.
pub fn read(
    files: &[PathBuf],
    format: Format,
    options: &ReadOptions,
    sink: &mut dyn Sink,
) -> Result<u64, TabularError> {
    if let Some(chunking) = options.chunking.filter(|_| format != Format::Text) {
        return read_cut(files, format, options, chunking, sink);
    }
    if let Some(shape) = options.shape {
        return read_shaped(files, format, options, shape, sink);
    }
    read_as_is(files, format, options, sink, rayon::current_num_threads())
}

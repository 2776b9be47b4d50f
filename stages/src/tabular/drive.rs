//! Drives a format: finds the types, builds batches in parallel and in order, checks ids, selects and renames columns.

use std::{path::PathBuf, sync::mpsc};

use rayon::prelude::*;

use super::{
    chunks::Chunks,
    delimited::Delimited,
    error::TabularError,
    json::{Documents, Lines},
    open::Format,
    options::{ReadOptions, Wanted},
    output::{Output, Sink},
    parquet,
    row_format::RowFormat,
    text::{TextLines, WholeFiles},
    types::{Columns, MAX_NESTING, arrow_schema},
};

/// Reads rows as they stand in the files. Types are first taken from so many chunks, which whoever is asked whether
/// rows are right by their types must not notice.
pub(super) fn read_as_is(
    files: &[PathBuf],
    format: Format,
    options: &ReadOptions,
    sink: &mut dyn Sink,
    first: usize,
) -> Result<u64, TabularError> {
    match format {
        Format::Jsonl => read_rows(&Lines { files, options }, files, options, sink, first),
        Format::Json => read_rows(&Documents { files, options }, files, options, sink, first),
        Format::Csv | Format::Tsv => {
            let delimiter = options.delimiter.unwrap_or(if format == Format::Tsv { b'\t' } else { b',' });
            read_rows(&Delimited::new(files, delimiter, options)?, files, options, sink, first)
        }
        Format::Text if let Some(chunking) = options.chunking => {
            read_rows(&Chunks { files, options, chunking }, files, options, sink, first)
        }
        Format::Text if options.whole_files => read_rows(&WholeFiles { files, options }, files, options, sink, first),
        Format::Text => read_rows(&TextLines { files }, files, options, sink, first),
        Format::Parquet => parquet::read(files, options, sink),
    }
}

fn read_rows<F: RowFormat>(
    format: &F,
    files: &[PathBuf],
    options: &ReadOptions,
    sink: &mut dyn Sink,
    first: usize,
) -> Result<u64, TabularError> {
    let guess = infer(format, options, first)?;
    match write_all(format, files, options, &guess, sink) {
        // The sink's own refusal has nothing to do with types.
        Err(error)
            if !matches!(
                error,
                TabularError::Sink(_) | TabularError::DuplicateId { .. } | TabularError::MissingId { .. }
            ) =>
        {
            let all = infer(format, options, usize::MAX)?;
            if all.columns == guess.columns {
                return Err(error);
            }
            write_all(format, files, options, &all, sink)
        }
        outcome => outcome,
    }
}

/// What inference found.
struct Inferred {
    columns: Columns,
    rows: u64,
}

/// Applies the row limit to the chunks.
fn limited<'a, F: RowFormat>(
    format: &'a F,
    limit: Option<u64>,
) -> Box<dyn Iterator<Item = Result<F::Chunk, TabularError>> + Send + 'a> {
    let Some(mut left) = limit else { return format.chunks() };
    Box::new(format.chunks().map_while(move |chunk| {
        if left == 0 {
            return None;
        }
        Some(chunk.map(|mut chunk| {
            format.truncate(&mut chunk, left);
            left -= format.rows(&chunk).min(left);
            chunk
        }))
    }))
}

fn infer<F: RowFormat>(format: &F, options: &ReadOptions, max_chunks: usize) -> Result<Inferred, TabularError> {
    let mut found = Inferred { columns: format.header(), rows: 0 };
    let mut chunks = limited(format, options.limit).take(max_chunks);
    loop {
        let group: Vec<_> = chunks.by_ref().take(2 * rayon::current_num_threads()).collect::<Result<_, _>>()?;
        if group.is_empty() {
            return Ok(found);
        }
        let partial: Vec<_> = group.par_iter().map(|chunk| format.infer(chunk)).collect();
        for (chunk, columns) in group.iter().zip(partial) {
            found.rows += format.rows(chunk);
            for (name, ty) in columns? {
                let seen = found.columns.entry(name.clone()).or_default();
                *seen = format.join(std::mem::take(seen), ty).map_err(|clash| TabularError::Clash {
                    place: format.place(chunk),
                    column: name.clone(),
                    top: name,
                    found: clash.1.into(),
                    expected: clash.0.into(),
                })?;
            }
        }
    }
}

/// The types to build with: declared ones in place of inferred ones.
fn with_declared(found: &Inferred, files: &[PathBuf], options: &ReadOptions) -> Result<Columns, TabularError> {
    let path = || files.first().cloned().unwrap_or_default();
    if found.rows == 0 && found.columns.is_empty() && options.schema.is_empty() {
        return Err(TabularError::NoRows { path: path() });
    }
    if let Some((name, _)) = options.schema.iter().find(|(_, ty)| ty.depth() > MAX_NESTING) {
        let message = format!("the type of `{name}` is nested more than {MAX_NESTING} deep; declare it as `json`");
        return Err(TabularError::Other { path: path(), message });
    }
    let mut columns = found.columns.clone();
    for (name, ty) in &options.schema {
        if found.columns.is_empty() || columns.contains_key(name) {
            columns.insert(name.clone(), ty.clone());
        }
    }
    let asked = options.columns.iter().flatten().chain(options.schema.keys()).chain(options.rename.keys());
    for column in asked {
        if !columns.contains_key(column) {
            let known = columns.keys().cloned().collect();
            return Err(TabularError::MissingColumn { path: path(), column: column.clone(), known });
        }
    }
    columns.retain(|name, _| options.wanted(name) != Wanted::Skip);
    Ok(columns)
}

fn write_all<F: RowFormat>(
    format: &F,
    files: &[PathBuf],
    options: &ReadOptions,
    found: &Inferred,
    sink: &mut dyn Sink,
) -> Result<u64, TabularError> {
    let types = &with_declared(found, files, options)?;
    let mut output = Output::new(&arrow_schema(types), files, options)?;
    sink.begin(output.schema())?;
    let threads = rayon::current_num_threads();
    std::thread::scope(|scope| {
        // One group of chunks is built while the one before it is written; the channel bounds what is in flight.
        let (sender, receiver) = mpsc::sync_channel(threads);
        scope.spawn(move || {
            let mut chunks = limited(format, options.limit);
            loop {
                let group: Vec<_> = chunks.by_ref().take(threads).collect();
                if group.is_empty() {
                    return;
                }
                let built: Vec<_> = group.into_par_iter().map(|chunk| format.build(&chunk?, types)).collect();
                for batch in built {
                    let failed = batch.is_err();
                    if sender.send(batch).is_err() || failed {
                        return;
                    }
                }
            }
        });
        for built in receiver {
            let built = built?;
            let rows = output.selected(&built)?;
            sink.at(&built.path, &built.lines);
            sink.write(&rows)?;
        }
        Ok(output.rows())
    })
}

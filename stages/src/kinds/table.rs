//! `table`: rows from files.

mod files;
mod params;
mod remote;
#[cfg(test)]
mod tests;

use std::path::Path;

use pipe_engine::{
    context::StageContext,
    kind::{OutputPort, ParamProblem, Ports, Preview, Source, SourceHost, StageError, StageKind, written},
};

pub use self::params::{HeaderLine, OneOrMany, Quotes, TableParams, TextRows};
use self::{
    files::Reading,
    remote::{Address, Around},
};
use crate::tabular::{self, OutputSink};

/// The kind.
pub struct Table;

/// A folder, without a run around it.
struct Here<'a>(&'a Path);

impl Around for Here<'_> {
    fn folder(&self) -> &Path {
        self.0
    }
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
    fn stopped(&self) -> bool {
        false
    }
}

/// Whether names are matched with an entry of `path`.
fn is_pattern(path: &str) -> bool {
    written(path).contains(['*', '?', '['])
}

impl TableParams {
    /// Whether all files are on this machine.
    pub(crate) fn is_here(&self) -> bool {
        !self.path.as_slice().iter().any(|path| Address::is_one(path))
    }

    /// Reads the rows of files that are here, whatever their ids.
    pub(crate) fn read(&self, base_dir: &Path, sink: &mut dyn tabular::Sink) -> Result<u64, StageError> {
        let reading = Reading::of(self, &Here(base_dir))?;
        let options = tabular::ReadOptions { id: None, ..reading.options };
        Ok(tabular::read(&reading.files, reading.format, &options, sink)?)
    }
}

impl StageKind for Table {
    type Params = TableParams;
    const NAME: &'static str = "table";
    // 1: the first.
    // 2: numbers that would lose digits stay text or are refused, unclosed quotes are refused, nameless columns are
    // read.
    const VERSION: u32 = 2;

    fn ports(&self, params: &TableParams) -> Ports {
        let rows = OutputPort::table("rows").about("The rows of all files, in their order.");
        Ports { outputs: vec![rows.gives(params.known_columns())], ..Ports::default() }
    }

    fn check(&self, params: &TableParams) -> Vec<ParamProblem> {
        params.problems()
    }

    fn sources(&self, params: &TableParams) -> Result<Vec<Source>, StageError> {
        files::sources(params)
    }

    fn preview(&self, params: &TableParams, host: &dyn SourceHost) -> Result<Preview, StageError> {
        // What is elsewhere is not asked for before a run.
        if !params.is_here() {
            return Ok(Preview::default());
        }
        let reading = Reading::of(params, &host)?;
        let Some(columns) = tabular::peek(&reading.files, reading.format, &reading.options)? else {
            return Ok(Preview::default());
        };
        let hint = tabular::hint(columns.iter().map(String::as_str));
        Ok(Preview::columns("rows", columns).hinting("rows", hint))
    }

    fn run(&self, params: &TableParams, cx: &mut StageContext) -> Result<(), StageError> {
        let reading = Reading::of(params, &*cx)?;
        let mut sink = OutputSink::new(cx, "rows");
        tabular::read(&reading.files, reading.format, &reading.options, &mut sink)?;
        sink.finish()?;
        Ok(())
    }
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "params: { path: rows.jsonl }",
    version: 2,
    outputs: &[("rows", "b0be4a0e81e78483ffd40b5d5bece46b997419a1240527f6ce834bb08d1e4db8")],
};

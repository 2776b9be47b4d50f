//! What a program prints, line by line.

use std::{
    io::{BufRead, BufReader, Read},
    ops::Range,
    sync::Arc,
};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use pipe_engine::{
    context::{PendingRows, RowSink},
    diag,
    kind::StageError,
};
use serde_json::value::RawValue;

use super::KEPT;
use crate::tabular::{self, Columns};

/// Lines that are handed over at a time, at most; fewer where the program pauses.
const LINES_AT_ONCE: usize = 512;
/// The longest line that is read: a program that prints without end must not fill the memory.
const LONGEST_LINE: u64 = 64 << 20;
/// Characters of a line that an error shows.
const SHOWN: usize = 60;

/// Takes lines and hands over rows.
pub(super) struct Answers<'a, 's> {
    columns: &'a Columns,
    pending: &'a PendingRows<'a>,
    rows: Range<usize>,
    sink: &'a RowSink<'s>,
    /// Lines that were read, and those of them that were not handed over yet.
    read: usize,
    waiting: Vec<String>,
}

impl<'a, 's> Answers<'a, 's> {
    /// To those rows.
    pub(super) fn new(
        columns: &'a Columns,
        pending: &'a PendingRows<'a>,
        rows: Range<usize>,
        sink: &'a RowSink<'s>,
    ) -> Self {
        Self { columns, pending, rows, sink, read: 0, waiting: Vec::new() }
    }

    /// Reads to the end. What was printed before a mistake is handed over.
    ///
    /// # Errors
    /// A line is no answer, or one too many. Inside: the last line is none, and has no end, as happens when a program
    /// dies; else the number of answers.
    pub(super) fn read(&mut self, output: impl Read) -> Result<Result<usize, StageError>, StageError> {
        let mut output = BufReader::with_capacity(1 << 16, output);
        loop {
            let mut line = Vec::new();
            let read = (&mut output).take(LONGEST_LINE).read_until(b'\n', &mut line);
            read.map_err(|e| StageError::other("read what the program prints", e))?;
            if line.is_empty() {
                self.hand_over()?;
                return Ok(Ok(self.read));
            }
            let is_whole = line.pop_if(|last| *last == b'\n').is_some();
            if line.len() as u64 >= LONGEST_LINE {
                return Err(self.wrong(self.read, &format!("is longer than {} MiB", LONGEST_LINE >> 20), None));
            }
            if self.read == self.rows.len() {
                self.hand_over()?;
                let text = String::from_utf8_lossy(&line);
                let message = format!("the program prints more than its {} rows: `{}`", self.rows.len(), shown(&text));
                return Err(StageError::user_help(message, PROTOCOL));
            }
            self.read += 1;
            let Ok(text) = String::from_utf8(line) else {
                return Err(self.wrong(self.read - 1, "is not UTF-8", Some(PROTOCOL)));
            };
            self.waiting.push(text);
            if !is_whole {
                return Ok(self.hand_over().map(|()| self.read));
            }
            if self.waiting.len() >= LINES_AT_ONCE || output.buffer().is_empty() {
                self.hand_over()?;
            }
        }
    }

    /// Hands over what is waiting.
    fn hand_over(&mut self) -> Result<(), StageError> {
        let lines = std::mem::take(&mut self.waiting);
        let first = self.read - lines.len();
        let (mut counts, mut objects) = (Vec::with_capacity(lines.len()), Vec::with_capacity(lines.len()));
        let mut wrong = None;
        for (at, line) in lines.iter().enumerate() {
            match objects_of(line) {
                Ok(found) => {
                    counts.push(found.len() as u32);
                    objects.extend(found.into_iter().map(|object| (at, object)));
                }
                Err(message) => {
                    wrong = Some((at, message, PROTOCOL));
                    break;
                }
            }
        }
        let batch = loop {
            let texts: Vec<&str> = objects.iter().map(|(_, object)| *object).collect();
            match tabular::declared_rows(&texts, self.columns) {
                Ok(batch) => break batch,
                Err((number, message)) => {
                    // Those before it are good.
                    let at = objects[number].0;
                    wrong = Some((at, message, DECLARED));
                    objects.retain(|(line, _)| *line < at);
                    counts.truncate(at);
                }
            }
        };
        if !counts.is_empty() {
            let rows: Vec<usize> = (first..first + counts.len()).map(|row| self.rows.start + row).collect();
            self.sink.emit_many(&rows, &counts, &self.kept(batch)?)?;
        }
        match wrong {
            Some((at, message, help)) => {
                Err(self.wrong(first + at, &format!("says `{}`: {message}", shown(&lines[at])), Some(help)))
            }
            None => Ok(()),
        }
    }

    fn kept(&self, batch: RecordBatch) -> Result<RecordBatch, StageError> {
        if !self.columns.is_empty() {
            return Ok(batch);
        }
        let kept: ArrayRef = Arc::new(BooleanArray::from(vec![true; batch.num_rows()]));
        RecordBatch::try_from_iter_with_nullable([(KEPT, kept, true)])
            .map_err(|e| StageError::other("keep what a program says of rows", e))
    }

    fn wrong(&self, line: usize, what: &str, help: Option<&str>) -> StageError {
        let id = || {
            let row = self.pending.slice(self.rows.start + line..self.rows.start + line + 1).ok()?;
            let ids = row.column_by_name("id")?.as_string_opt::<i32>()?;
            ids.is_valid(0).then(|| format!(", about the row `{}`,", shown(ids.value(0))))
        };
        let message = format!("line {} of what the program prints{} {what}", line + 1, id().unwrap_or_default());
        StageError::User { message, help: help.map(str::to_owned) }
    }
}

const PROTOCOL: &str = "print one line of JSON for each row: an object, `null` to drop the row, or a list of objects; \
                        messages go to standard error";
const DECLARED: &str = "declare what the program prints under `columns` of the output, with its type";

/// The objects of a line.
fn objects_of(line: &str) -> Result<Vec<&str>, String> {
    let line = line.trim();
    if line == "null" {
        return Ok(Vec::new());
    }
    let not_json = |error: serde_json::Error| format!("that is no JSON ({error})");
    if !line.starts_with('[') {
        let value: &RawValue = serde_json::from_str(line).map_err(not_json)?;
        return if line.starts_with('{') { Ok(vec![value.get()]) } else { Err("that is no object".into()) };
    }
    let values: Vec<&RawValue> = serde_json::from_str(line).map_err(not_json)?;
    let texts: Vec<&str> = values.into_iter().map(RawValue::get).collect();
    if texts.iter().all(|text| text.starts_with('{')) { Ok(texts) } else { Err("not all of it are objects".into()) }
}

fn shown(text: &str) -> String {
    let text = diag::redact(text);
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(SHOWN).collect();
    if chars.next().is_some() { format!("{start}...") } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_objects_lists_of_objects_or_null() {
        let check = |line: &str, expect: Result<&[&str], &str>| match (objects_of(line), expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{line}"),
            (Err(found), Err(expect)) => assert!(found.contains(expect), "{line}: {found}"),
            (found, _) => panic!("{line}: {found:?}"),
        };
        check(r#"{"a": 1}"#, Ok(&[r#"{"a": 1}"#]));
        check(" {} \r", Ok(&["{}"]));
        check("null", Ok(&[]));
        check("[]", Ok(&[]));
        check(r#"[{"a": [1]}, {}]"#, Ok(&[r#"{"a": [1]}"#, "{}"]));
        check("", Err("no JSON"));
        check("Loading the model", Err("no JSON"));
        check("true", Err("no object"));
        check("1", Err("no object"));
        check("[1]", Err("not all"));
        check("{} {}", Err("no JSON"));
    }
}

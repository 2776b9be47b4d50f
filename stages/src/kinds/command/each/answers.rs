//! What a program prints, line by line.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    ops::Range,
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, BooleanArray, RecordBatch},
    util::display::{ArrayFormatter, FormatOptions},
};
use pipe_engine::{
    context::{PendingRows, RowSink},
    diag,
    kind::StageError,
};
use serde_json::value::RawValue;

use super::KEPT;
use crate::tabular::{self, Columns};

/// What a row is called.
const ID: &str = "id";
/// Lines that are handed over at a time, at most.
const LINES_AT_ONCE: usize = 512;
/// The longest line that is read: a program that prints without end must not fill the memory.
const LONGEST_LINE: u64 = 64 << 20;
/// Characters of a line that an error shows.
const SHOWN: usize = 60;

/// Takes lines and hands over rows.
///
/// Lines say by their order alone which rows they are about. A program that leaves one out, or prints one too many,
/// would have every later row answered by another's line; so lines wait until it is known that as many were printed as
/// rows were read: at the end of a program that ended well, or at a line that repeats the `id` of its row.
pub(super) struct Answers<'a, 's> {
    columns: &'a Columns,
    rows: Range<usize>,
    /// What the rows are called.
    ids: Vec<Option<String>>,
    sink: &'a RowSink<'s>,
    /// How many lines were read.
    read: usize,
    /// The objects of the last of them, by line.
    waiting: Vec<Vec<String>>,
}

impl<'a, 's> Answers<'a, 's> {
    /// To those rows.
    pub(super) fn new(
        columns: &'a Columns,
        pending: &PendingRows<'_>,
        rows: Range<usize>,
        sink: &'a RowSink<'s>,
    ) -> Result<Self, StageError> {
        let ids = ids(&pending.slice(rows.clone())?)?;
        Ok(Self { columns, rows, ids, sink, read: 0, waiting: Vec::new() })
    }

    /// Reads to the end. What is known to be right is handed over meanwhile; the rest by [`Self::finish`].
    ///
    /// # Errors
    /// A line is no answer, or one too many. Inside: the last line is none, and has no end, as happens when a program
    /// dies.
    pub(super) fn read(&mut self, output: impl Read) -> Result<Result<(), StageError>, StageError> {
        let mut output = BufReader::with_capacity(1 << 16, output);
        loop {
            let mut line = Vec::new();
            let read = (&mut output).take(LONGEST_LINE).read_until(b'\n', &mut line);
            read.map_err(|e| StageError::other("read what the program prints", e))?;
            if line.is_empty() {
                return Ok(Ok(()));
            }
            let is_whole = line.pop_if(|last| *last == b'\n').is_some();
            if line.len() as u64 >= LONGEST_LINE {
                return Err(self.wrong(self.read, &format!("is longer than {} MiB", LONGEST_LINE >> 20), None));
            }
            if self.read == self.rows.len() {
                let text = String::from_utf8_lossy(&line);
                let message = format!("the program prints more than its {} rows: `{}`", self.rows.len(), shown(&text));
                return Err(StageError::user_help(message, PROTOCOL));
            }
            self.read += 1;
            let Ok(text) = String::from_utf8(line) else {
                return Err(self.wrong(self.read - 1, "is not UTF-8", Some(PROTOCOL)));
            };
            match self.take(&text) {
                Ok(true) => self.hand_over()?,
                Ok(false) => {}
                Err(error) if is_whole => return Err(error),
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// Hands over what waits, when the program has ended well.
    ///
    /// # Errors
    /// It answered fewer rows than it was given.
    pub(super) fn finish(mut self) -> Result<(), StageError> {
        if self.read < self.rows.len() {
            let message = format!("the program ended well and answered {} of {} rows", self.read, self.rows.len());
            return Err(StageError::user_help(message, "it must print one line for each row: `null` drops it"));
        }
        self.hand_over()
    }

    /// Takes a line; whether it repeats its row's `id`, and so tells that no line is missing before it.
    fn take(&mut self, text: &str) -> Result<bool, StageError> {
        let at = self.read - 1;
        let says = |this: &Self, message: &str, help| {
            Err(this.wrong(at, &format!("says `{}`: {message}", shown(text)), Some(help)))
        };
        let found = match objects_of(text) {
            Ok(found) => found,
            Err(message) => return says(self, &message, PROTOCOL),
        };
        let (mut objects, mut repeats) = (Vec::with_capacity(found.len()), false);
        for object in found {
            // A column of that name is what the program says, and not which row it means.
            let taken_apart = if self.columns.contains_key(ID) { Ok(None) } else { without_id(object) };
            let (object, id) = match taken_apart {
                Ok(Some((rest, id))) => (rest, Some(id)),
                Ok(None) => (object.to_owned(), None),
                Err(error) => return says(self, &format!("that is no JSON ({error})"), PROTOCOL),
            };
            if let (Some(id), Some(own)) = (id, &self.ids[at]) {
                if id != *own {
                    let message = format!("that is about `{}`: a line is missing, or one too many", shown(&id));
                    return says(self, &message, PROTOCOL);
                }
                repeats = true;
            }
            objects.push(object);
        }
        let texts: Vec<&str> = objects.iter().map(String::as_str).collect();
        if let Err((_, message)) = tabular::declared_rows(&texts, self.columns) {
            return says(self, &message, DECLARED);
        }
        self.waiting.push(objects);
        Ok(repeats)
    }

    fn hand_over(&mut self) -> Result<(), StageError> {
        let lines = std::mem::take(&mut self.waiting);
        let first = self.rows.start + self.read - lines.len();
        for (number, lines) in lines.chunks(LINES_AT_ONCE).enumerate() {
            let texts: Vec<&str> = lines.iter().flatten().map(String::as_str).collect();
            // Every line was looked at when it came, so that a mistake is told with its line.
            let batch = tabular::declared_rows(&texts, self.columns).map_err(|(_, message)| {
                StageError::contract(format!("lines that fit one by one do not fit together: {message}"))
            })?;
            let counts: Vec<u32> = lines.iter().map(|objects| objects.len() as u32).collect();
            let start = first + number * LINES_AT_ONCE;
            let rows: Vec<usize> = (start..start + lines.len()).collect();
            self.sink.emit_many(&rows, &counts, &self.kept(batch)?)?;
        }
        Ok(())
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
        let about = self.ids.get(line).and_then(Option::as_ref);
        let about = about.map_or_else(String::new, |id| format!(", about the row `{}`,", shown(id)));
        let message = format!("line {} of what the program prints{about} {what}", line + 1);
        StageError::User { message, help: help.map(str::to_owned) }
    }
}

/// What the rows of a table are called, where it has an `id`.
pub(super) fn ids(rows: &RecordBatch) -> Result<Vec<Option<String>>, StageError> {
    let Some(column) = rows.column_by_name(ID) else { return Ok(vec![None; rows.num_rows()]) };
    let options = FormatOptions::default();
    let shown = ArrayFormatter::try_new(column, &options).map_err(|e| StageError::other("read the ids of rows", e))?;
    Ok((0..column.len()).map(|row| column.is_valid(row).then(|| shown.value(row).to_string())).collect())
}

/// An object without its `id`, and that; `None` if it has none.
fn without_id(object: &str) -> Result<Option<(String, String)>, serde_json::Error> {
    let mut fields: BTreeMap<String, &RawValue> = serde_json::from_str(object)?;
    let Some(id) = fields.remove(ID) else { return Ok(None) };
    let id = serde_json::from_str::<String>(id.get()).unwrap_or_else(|_| id.get().to_owned());
    Ok(Some((serde_json::to_string(&fields)?, id)))
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
    fn an_id_is_told_from_what_is_said() {
        let (rest, id) = without_id(r#"{"x": 1.50, "id": "r\u0031", "y": [1]}"#).unwrap().unwrap();
        assert_eq!((rest.as_str(), id.as_str()), (r#"{"x":1.50,"y":[1]}"#, "r1"));
        assert_eq!(without_id(r#"{"id": 17}"#).unwrap().unwrap(), ("{}".to_owned(), "17".to_owned()));
        assert!(without_id(r#"{"x": {"id": 1}}"#).unwrap().is_none());
    }

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

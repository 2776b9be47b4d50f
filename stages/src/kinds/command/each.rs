//! A program for rows: they come to it by standard input, and what it says of each leaves it by standard output.

mod answers;
mod beside;

use std::{
    fs,
    io::{BufWriter, ErrorKind, Write},
    ops::Range,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use parking_lot::Mutex;
use pipe_engine::{
    context::{PendingRows, RowSink, StageContext},
    kind::StageError,
};

use self::answers::Answers;
use super::{
    handover,
    params::{CommandParams, OutputSpec},
    program::{self, Paths},
    scores::Scored,
};
use crate::{
    programs::calls::{self, Attendance},
    rows::yields::Yield,
    tabular::{Columns, arrow_schema, not_finite},
};

/// The input whose rows the program is given.
pub(super) const ROWS: &str = "rows";
/// Rows that are written out at a time.
const ROWS_AT_ONCE: usize = 256;
/// Rows that a program is given if nothing is said: those of one that dies are asked again.
const BATCH: usize = 1_000;
/// What is kept of a row by a program that prints no column.
const KEPT: &str = "kept";

/// Asks the program about the rows that it was not asked about before, and writes the outputs.
pub(super) fn run(params: &CommandParams, cx: &StageContext, paths: &Paths, workdir: &Path) -> Result<(), StageError> {
    let Some((output, spec)) = params.outputs.first() else { return Err(StageError::contract("no output")) };
    program::warn_of_undeclared(params, cx);
    program::warn_of_formats(params, cx);
    let table = cx.table(ROWS)?;
    let (columns, schema) = columns_of(spec);
    let asker = Asker { params, cx, paths, workdir, columns: &columns };
    let mapped = cx.map_rows(&table, &schema, |pending, sink| asker.ask_all(pending, sink))?;
    let added = if columns.is_empty() { None } else { Some(&*mapped.batches) };
    let joined = beside::beside(table.schema(), table.rows()?, added, &mapped.counts)?;
    let mut scored = Scored::new(params);
    for batch in &joined.batches {
        scored.add(batch)?;
    }
    cx.write_batches(output, &joined.schema, &joined.batches)?;
    scored.write(cx)?;
    let mut counts = Yield::new(&["dropped", "kept"]);
    for &n in &mapped.counts {
        counts.add(if n > 0 { "kept" } else { "dropped" });
    }
    let yields = counts.table()?;
    cx.write_batches("yield", yields.schema_ref(), [&yields])?;
    Ok(())
}

/// The columns that the program prints, and what is kept of them. A table without columns has no rows.
fn columns_of(spec: &OutputSpec) -> (Columns, SchemaRef) {
    let columns: Columns = spec.columns.clone().into_iter().collect();
    let schema = if columns.is_empty() {
        Arc::new(Schema::new(vec![Field::new(KEPT, DataType::Boolean, true)]))
    } else {
        arrow_schema(&columns)
    };
    (columns, schema)
}

/// Asks programs about rows.
struct Asker<'a> {
    params: &'a CommandParams,
    cx: &'a StageContext,
    paths: &'a Paths,
    workdir: &'a Path,
    columns: &'a Columns,
}

impl Asker<'_> {
    /// All of them, in portions, by as many programs at a time as the parameters say.
    fn ask_all(&self, pending: &PendingRows<'_>, sink: &RowSink<'_>) -> Result<(), StageError> {
        let programs = self.params.processes.unwrap_or(1).clamp(1, pending.len().max(1));
        let share = pending.len().div_ceil(programs);
        let portion = self.params.batch.unwrap_or_else(|| share.min(BATCH)).max(1);
        let starts = Mutex::new((0..pending.len()).step_by(portion));
        let failed = Mutex::new(None);
        let work = |number: usize| {
            // The lock is given back before a program runs.
            let next = || starts.lock().next();
            while failed.lock().is_none()
                && let Some(start) = next()
            {
                let rows = sink.begin_range(start..(start + portion).min(pending.len()));
                if rows.is_empty() {
                    continue;
                }
                if let Err(error) = self.ask(pending, rows, sink, (number, programs), &failed) {
                    failed.lock().get_or_insert(error);
                }
            }
        };
        thread::scope(|scope| {
            for number in 1..programs {
                scope.spawn(move || work(number));
            }
            work(0);
        });
        failed.into_inner().map_or(Ok(()), Err)
    }

    /// One portion, by one program.
    fn ask(
        &self,
        pending: &PendingRows<'_>,
        rows: Range<usize>,
        sink: &RowSink<'_>,
        (number, programs): (usize, usize),
        failed: &Mutex<Option<StageError>>,
    ) -> Result<(), StageError> {
        let scratch = self.workdir.join(format!("program-{number}"));
        fs::create_dir_all(&scratch).map_err(|e| StageError::other(format!("make {}", scratch.display()), e))?;
        let paths = Paths { scratch: Some(scratch.clone()), ..self.paths.clone() };
        let threads = (self.cx.threads() / programs).max(1);
        let mut program = program::program(self.params, self.cx, &paths, threads)?;
        program.stdin(Stdio::piped()).stdout(Stdio::piped());
        let talk =
            Talk { rows: rows.clone(), wrong: Mutex::new(None), over: AtomicBool::new(false), last: Mutex::new(None) };
        let mut answers = Answers::new(self.columns, pending, rows, sink)?;
        let listening = Mutex::new(Some(&mut answers));
        let ended = thread::scope(|scope| {
            let (talk, listening) = (&talk, &listening);
            let started = move |child: &mut Child| {
                let (input, output) = (child.stdin.take(), child.stdout.take());
                if let Some((output, answers)) = output.zip(listening.lock().take()) {
                    scope.spawn(move || talk.listen(output, answers));
                }
                scope.spawn(move || talk.say(input, pending));
            };
            let given_up = || talk.over.load(Ordering::Relaxed) || failed.lock().is_some();
            let attendance = Attendance { started: Some(&started), given_up: Some(&given_up) };
            calls::execute(&mut program, self.cx, vec![scratch], &attendance)
        });
        talk.outcome(ended)?;
        answers.finish()
    }
}

/// What is said between the stage and one program.
struct Talk {
    rows: Range<usize>,
    /// Why it was given up.
    wrong: Mutex<Option<StageError>>,
    over: AtomicBool,
    /// What is wrong with the last words of the program, if they were cut off.
    last: Mutex<Option<StageError>>,
}

impl Talk {
    fn give_up(&self, error: StageError) {
        self.wrong.lock().get_or_insert(error);
        self.over.store(true, Ordering::Relaxed);
    }

    /// Writes the rows to the program.
    fn say(&self, input: Option<ChildStdin>, pending: &PendingRows<'_>) {
        let Some(input) = input else { return };
        let mut input = BufWriter::new(input);
        for start in self.rows.clone().step_by(ROWS_AT_ONCE) {
            let some = pending.slice(start..(start + ROWS_AT_ONCE).min(self.rows.end));
            match some.and_then(|batch| written(&batch)) {
                Ok(lines) => match input.write_all(&lines) {
                    Ok(()) => {}
                    // It reads no more. What it printed tells whether that is right.
                    Err(e) if e.kind() == ErrorKind::BrokenPipe => return,
                    Err(e) => return self.give_up(StageError::other("write to the program", e)),
                },
                Err(error) => return self.give_up(error),
            }
            if self.over.load(Ordering::Relaxed) {
                return;
            }
        }
        // Of what is left in the buffer a program that has ended reads nothing.
        let _ = input.flush();
    }

    /// Reads what the program prints.
    fn listen(&self, output: ChildStdout, answers: &mut Answers<'_, '_>) {
        match answers.read(output) {
            Ok(last) => *self.last.lock() = last.err(),
            Err(error) => self.give_up(error),
        }
    }

    /// What came of it, from how the program ended.
    fn outcome(self, ended: Result<(), StageError>) -> Result<(), StageError> {
        if matches!(ended, Err(StageError::Cancelled)) {
            return ended;
        }
        if let Some(wrong) = self.wrong.into_inner() {
            return Err(wrong);
        }
        ended?;
        self.last.into_inner().map_or(Ok(()), Err)
    }
}

/// Rows as JSON lines.
fn written(batch: &RecordBatch) -> Result<Vec<u8>, StageError> {
    let mut lines = Vec::new();
    if let Some((column, row)) = not_finite(batch) {
        let of = answers::ids(batch)?.swap_remove(row).map_or_else(String::new, |id| format!(" of the row `{id}`"));
        let message = format!("`{column}`{of} is not finite, and JSON has no word for that");
        return Err(StageError::user_help(message, "leave the column out, or the row: `kind: select`"));
    }
    handover::write_lines(&mut lines, [Ok(batch.clone())]).map_err(|error| error.of_input(ROWS, "JSON Lines"))?;
    Ok(lines)
}

//! Columns that several kinds read or give, as they are documented.

use pipe_engine::kind::{Column, OutputPort};

pub(crate) fn id() -> Column {
    Column::new("id", "text or number", "What a row is known by; the row's number where it is missing.")
}

pub(crate) fn instruction() -> Column {
    Column::text("instruction", "What is asked.")
}

pub(crate) fn input() -> Column {
    Column::text("input", "What it is about, where the instruction alone does not say.")
}

pub(crate) fn output() -> Column {
    Column::text("output", "The answer.")
}

/// Of an exam.
pub(crate) fn right_answer() -> Column {
    Column::text("output", "The right answer; or a list of them, of which the best counts.").or("references")
}

/// Of an exam.
pub(crate) fn labels() -> Column {
    Column::new("labels", "list of texts", "The answers that there are to choose from.")
}

/// The choices of an exam, in a column of this name.
pub(crate) fn choices(column: &str) -> Column {
    Column::new(column.to_owned(), "list of texts", "The choices.")
}

/// Of an exam whose answers are chosen, in a column of this name.
pub(crate) fn right_choice(column: &str) -> Column {
    Column::new(column.to_owned(), "text or number", "The right answer; or a list of them.").or("references")
}

/// Answers that are given, in a column of this name.
pub(crate) fn answer(column: String) -> Column {
    Column::text(column, "The answer that is scored.")
}

pub(crate) fn references() -> Column {
    Column::new("references", "list of texts", "The right answers, where there may be several.")
}

pub(crate) fn messages() -> Column {
    Column::new("messages", "list of {role, content}", "A conversation: turns of `system`, `user` and `assistant`.")
}

pub(crate) fn task() -> Column {
    Column::text("task", "The sort of row.")
}

/// The columns of texts in chunks.
pub(crate) fn chunk() -> [Column; 4] {
    [
        Column::text("id", "The file's name and the chunk's number in it, `rates/fixed.md#2`."),
        Column::text("title", "The headings that it stands under, `Loans > Fixed rates`; null where there are none."),
        Column::text("text", "The chunk, without its heading."),
        Column::text("file", "The file's name below the folder."),
    ]
}

pub(crate) fn passages() -> Column {
    Column::new("passages", "list of {id, text, score}", "What was found for the row, best first; see `retrieve`.")
}

pub(crate) fn demonstrations() -> Column {
    Column::new("demonstrations", "list of texts", "The ids of the seeds that were shown.")
}

pub(crate) fn finish_reason() -> Column {
    Column::text("finish_reason", "How the text ended: `stop`, `length`, or what a server says.")
}

pub(crate) fn reasoning() -> Column {
    Column::text("reasoning", "What the model thought before it answered, where it marks that.")
}

pub(crate) fn tokens() -> [Column; 2] {
    [
        Column::number("prompt_tokens", "Tokens that were read."),
        Column::number("generated_tokens", "Tokens that were written."),
    ]
}

/// The output `yield`: what became of the rows that were attempted.
pub(crate) fn yields() -> OutputPort {
    OutputPort::table("yield")
        .about("How many rows were attempted and kept, and what became of the others.")
        .gives([Column::text("outcome", "What became of them."), Column::number("count", "How many they are.")])
}

/// The output `yield` of a kind that keeps every row: for how many something was found.
pub(crate) fn found() -> OutputPort {
    OutputPort::table("yield")
        .about("For how many rows something was found, and what became of the others.")
        .gives([Column::text("outcome", "What became of them."), Column::number("count", "How many they are.")])
}

/// The output `log`: one row per optimizer step.
pub(crate) fn training_log() -> OutputPort {
    OutputPort::table("log").about("One row per optimizer step.").gives([
        Column::number("step", "From 1."),
        Column::number("epoch", "Passes over the rows so far."),
        Column::number("loss", "Mean loss per target token of the step's rows."),
        Column::number("eval_loss", "The same over the held-out rows; null where nothing was evaluated."),
        Column::number("learning_rate", "Of the step."),
        Column::number("grad_norm", "Before it was clipped."),
        Column::number("tokens", "Tokens of the step."),
        Column::number("target_tokens", "Tokens of the step that the loss counts."),
    ])
}

//! The documents that a stage shows.

use pipe_engine::{context::StageContext, kind::StageError};

use super::{columns, corpus::PassageColumns, words::first_words};
use crate::prompts::Passage;

/// The documents at a port, with their titles in front, as passages that show at most so many words of each. Those
/// without a text are left out and counted.
///
/// # Errors
/// There are none; a column is missing; an id occurs twice.
pub(crate) fn documents(cx: &StageContext, port: &str, most_words: Option<usize>) -> Result<Vec<Passage>, StageError> {
    let batch = cx.table(port)?.read()?;
    let ids = columns::ids(&batch, port)?;
    let (columns, all) = (PassageColumns::of(&batch, port)?, ids.len());
    let passage = |(row, id): (usize, String)| {
        let whole = columns.passage(row)?;
        let text = most_words.map_or(&*whole, |most| first_words(&whole, most)).to_owned();
        Some(Passage { id, text, score: 0.0 })
    };
    let passages: Vec<Passage> = ids.into_iter().enumerate().filter_map(passage).collect();
    if passages.is_empty() {
        return Err(StageError::user_help(
            format!("no row of the input `{port}` has a `text`"),
            "connect a table of documents, or leave the input out",
        ));
    }
    if passages.len() < all {
        let empty = all - passages.len();
        cx.counter("documents_empty", empty as u64);
        cx.warn(format!("{empty} of {all} rows of `{port}` have no text and were left out"));
    }
    Ok(passages)
}

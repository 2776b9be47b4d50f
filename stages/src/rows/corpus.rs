//! The passages of a corpus, as the kinds that index and search it see them.

use arrow::array::RecordBatch;
use pipe_cache::{Digest, Hasher};
use pipe_engine::{context::TableInput, kind::StageError};

use crate::rows::columns::{Ids, TextColumn};

/// The input that holds it.
pub(crate) const PORT: &str = "corpus";

/// The columns that make passages.
pub(crate) struct PassageColumns {
    title: Option<TextColumn>,
    text: TextColumn,
}

impl PassageColumns {
    /// Those of a batch.
    ///
    /// # Errors
    /// There is no column `text`, or one is not of texts.
    pub(crate) fn of(batch: &RecordBatch, port: &str) -> Result<Self, StageError> {
        Ok(Self {
            title: TextColumn::optional(batch, port, "title")?,
            text: TextColumn::required(batch, port, "text")?,
        })
    }

    /// Title and text of a row; `None` where there is no text.
    pub(crate) fn passage(&self, row: usize) -> Option<String> {
        let text = self.text.or_empty(row).trim();
        if text.is_empty() {
            return None;
        }
        let title = self.title.as_ref().map_or("", |c| c.or_empty(row)).trim();
        Some(if title.is_empty() { text.to_owned() } else { format!("{title}: {text}") })
    }
}

/// Calls `passage` with the id and the passage of every row that has one, in order, and gives the number of the others.
///
/// # Errors
/// A column is missing, an id occurs twice, no row has a text; what `passage` says.
pub(crate) fn each_passage(
    table: &TableInput,
    mut passage: impl FnMut(String, String) -> Result<(), StageError>,
) -> Result<usize, StageError> {
    if table.num_rows() == 0 {
        return Err(StageError::user_help(
            format!("the input `{PORT}` has no rows: there is nothing to retrieve"),
            "connect a corpus, or use `method: none`",
        ));
    }
    let (mut ids, mut empty, mut any) = (Ids::default(), 0, false);
    for batch in table.batches() {
        let batch = batch?;
        let columns = PassageColumns::of(&batch, PORT)?;
        for (row, id) in ids.of(&batch, PORT)?.into_iter().enumerate() {
            match columns.passage(row) {
                Some(text) => {
                    any = true;
                    passage(id, text)?;
                }
                None => empty += 1,
            }
        }
    }
    if any { Ok(empty) } else { Err(StageError::user(format!("no row of the input `{PORT}` has a `text`"))) }
}

/// What tells a corpus from others: its passages, with their ids, in order.
pub(crate) struct Fingerprint(Hasher);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(Hasher::new("corpus"))
    }
}

impl Fingerprint {
    /// Goes on with a passage.
    pub(crate) fn add(&mut self, id: &str, text: &str) {
        self.0.str(id).str(text);
    }

    /// That of all passages so far.
    pub(crate) fn finish(&self) -> Digest {
        self.0.finish()
    }
}

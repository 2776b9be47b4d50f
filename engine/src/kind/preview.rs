//! What a kind can tell of a stage before it runs.

use std::collections::BTreeMap;

/// The columns that arrive at inputs, by input, where all of them are known.
pub type Arriving = BTreeMap<String, Vec<String>>;

/// What is known of a stage before it runs, by looking at the beginning of files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// By output: all columns of the table.
    pub columns: BTreeMap<String, Vec<String>>,
    /// By output: what to do where a stage misses a column there, if there is more to say than which there are.
    pub hints: BTreeMap<String, String>,
    /// Where its model runs, in words: `cpu`, or the server.
    pub place: Option<String>,
}

impl Preview {
    /// The columns of one output.
    pub fn columns(output: &str, columns: Vec<String>) -> Self {
        Self { columns: BTreeMap::from([(output.to_owned(), columns)]), ..Self::default() }
    }

    /// With what to do where a stage misses a column of that output.
    #[must_use]
    pub fn hinting(mut self, output: &str, hint: Option<String>) -> Self {
        self.hints.extend(hint.map(|hint| (output.to_owned(), hint)));
        self
    }
}

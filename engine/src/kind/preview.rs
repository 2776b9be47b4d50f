//! What a kind can tell of a stage before it runs.

use std::collections::BTreeMap;

use super::StageError;

/// The columns that arrive at inputs, by input, where all of them are known; of what is no table, what was told of it
/// in their place.
pub type Arriving = BTreeMap<String, Vec<String>>;

/// What a stage takes of memory, estimated, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// With as little in flight as can be.
    pub least: u64,
    /// As its parameters ask for.
    pub most: u64,
    /// The weights of its model, which are in both.
    pub weights: u64,
}

/// Something to ask of a server that a stage will use, before a run begins.
pub struct Question {
    /// Of whom, and what: what is equal is asked once.
    pub name: String,
    /// Asks. A server that cannot be reached may be there when the stage begins: that is no error.
    pub ask: Box<dyn FnOnce() -> Result<(), StageError>>,
}

/// What is known of a stage before it runs, by looking at the beginning of files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// What it takes of this machine's memory, where that can be told.
    pub memory: Option<Memory>,
    /// By output: all columns of the table. Of what is no table, words by which a consumer can refuse it, such as the
    /// rank of an adapter.
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

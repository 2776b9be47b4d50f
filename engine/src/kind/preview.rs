//! What a kind can tell of a stage before it runs.

use std::collections::BTreeMap;

/// What is known of the outputs of a stage before it runs, by looking at the beginning of files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// By output: all columns of the table.
    pub columns: BTreeMap<String, Vec<String>>,
}

impl Preview {
    /// The columns of one output.
    pub fn columns(output: &str, columns: Vec<String>) -> Self {
        Self { columns: BTreeMap::from([(output.to_owned(), columns)]) }
    }
}

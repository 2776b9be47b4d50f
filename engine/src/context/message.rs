//! What a running stage says.

use indexmap::IndexMap;

use super::fact::Fact;

/// What a running stage says; whoever runs it says on whose behalf.
#[derive(Debug, Clone, PartialEq)]
pub enum StageMessage {
    /// How far it is.
    Progress {
        /// Units done.
        done: u64,
        /// Units in all, where known.
        total: Option<u64>,
        /// What is counted: `rows`, `steps`, `bytes`.
        unit: String,
        /// Units that earlier work had done.
        known: u64,
        /// What else there is to tell.
        facts: Vec<Fact>,
    },
    /// Numbers of a step, by name.
    Series {
        /// Which step.
        step: u64,
        /// The numbers.
        values: IndexMap<String, f64>,
    },
    /// One line for people.
    Log(String),
    /// Something that people should know and that stops nothing.
    Warning(String),
    /// It waits for rows that somebody else computes: on whom.
    Waiting(String),
}

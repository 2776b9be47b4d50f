//! What a running stage says.

/// What a running stage says; whoever runs it says on whose behalf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageMessage {
    /// How far it is.
    Progress {
        /// Units done.
        done: u64,
        /// Units in all, where known.
        total: Option<u64>,
        /// What is counted: `rows`, `steps`, `bytes`.
        unit: String,
    },
    /// One line for people.
    Log(String),
    /// Something that people should know and that stops nothing.
    Warning(String),
    /// It waits for rows that somebody else computes: on whom.
    Waiting(String),
}

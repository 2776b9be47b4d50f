//! What garbage collection removes, and why.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

/// Something that was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// What it is.
    pub what: Removable,
    /// Where it lies, or lay.
    pub path: PathBuf,
    /// What was freed with it: of a result also the objects that no other one names.
    pub bytes: u64,
    /// When it was last used, in milliseconds since 1970; of results it is known to the day.
    pub last_used_ms: u64,
    /// Why it goes.
    pub reason: Reason,
    /// The caller's record of the result, or of one that came through the memo.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub record: Value,
}

/// What can be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Removable {
    /// What a computation left, with its manifest.
    Result,
    /// Rows and attempts that are kept for later runs.
    Memo,
    /// Checkpoints of a computation that did not end.
    Work,
    /// A table or files that no result names.
    Object,
    /// What a process left in the middle of its work.
    Leftover,
    /// What was damaged, and put aside.
    Damaged,
}

/// Why something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It can be of no use to any run.
    Useless,
    /// No pipeline stands at it any more.
    Unreachable,
    /// It was not used for longer than is allowed.
    Old,
    /// The store is larger than is allowed, and this was used least recently.
    Room,
}

/// Something that can be of no use any more.
pub(super) fn useless(what: Removable, path: PathBuf, bytes: u64, last_used_ms: u64) -> Removed {
    Removed { what, path, bytes, last_used_ms, reason: Reason::Useless, record: Value::Null }
}

//! How a kind passes its time.

use std::time::Duration;

use pipe_engine::kind::StageError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What tests of stages that run at the same time arrange.
#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Pace {
    /// Milliseconds before it begins.
    wait: u64,
    /// Milliseconds per row.
    row: u64,
    /// It fails at the row after so many, when not 0.
    fail_after: usize,
}

impl Pace {
    pub(crate) fn begin(self) {
        std::thread::sleep(Duration::from_millis(self.wait));
    }

    pub(crate) fn row(self, done: usize) -> Result<(), StageError> {
        std::thread::sleep(Duration::from_millis(self.row));
        if self.fail_after > 0 && done >= self.fail_after { Err(StageError::user("had enough")) } else { Ok(()) }
    }
}

/// A default.
pub(crate) fn one() -> usize {
    1
}

//! What is wrong with a step.

use arrow::error::ArrowError;
use pipe_engine::kind::StageError;

use super::params::Step;

/// What is wrong with a step, and what to do.
pub(super) struct Wrong {
    pub message: String,
    pub help: Option<String>,
}

impl Wrong {
    pub(super) fn new(message: impl Into<String>, help: &str) -> Self {
        Self { message: message.into(), help: Some(help.to_owned()) }
    }

    /// As the error of the stage, with the step named, counted from 1.
    pub(super) fn at(self, number: usize, step: &Step) -> StageError {
        let message = format!("step {number} (`{}`): {}", step.name(), self.message);
        StageError::User { message, help: self.help }
    }
}

/// An error that the checks before leave no room for, or a table that is too large.
pub(super) fn failed(error: ArrowError) -> Wrong {
    Wrong { message: error.to_string(), help: None }
}

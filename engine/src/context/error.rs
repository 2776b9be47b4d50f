//! Why a stage failed, and how that is told.

use std::error::Error;

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The input or a parameter is at fault; running again will not help.
    #[error("{message}")]
    User {
        /// What is wrong, naming the row, column, file or parameter.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// A passing fault (an endpoint, a busy file); the engine may retry.
    #[error("{message}")]
    Transient {
        /// What happened.
        message: String,
    },
    /// The run is being cancelled; work done so far is in the memo.
    #[error("cancelled")]
    Cancelled,
    /// The store refused.
    #[error(transparent)]
    Store(#[from] pipe_cache::StoreError),
    /// The kind's code broke a rule of [`StageContext`]: a mistake to report, not of the user's making.
    #[error("the stage kind is at fault: {message}")]
    Contract {
        /// What it did.
        message: String,
    },
    /// Anything else, with its cause kept.
    #[error("{context}")]
    Other {
        /// Completes "failed to ...".
        context: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StageError {
    /// A fault of the input or of a parameter.
    pub fn user(message: impl Into<String>) -> Self {
        Self::User { message: message.into(), help: None }
    }

    /// A fault of the input or of a parameter, with advice.
    pub fn user_help(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::User { message: message.into(), help: Some(help.into()) }
    }

    /// A mistake in the kind's own code.
    pub fn contract(message: impl Into<String>) -> Self {
        Self::Contract { message: message.into() }
    }

    /// A passing fault.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::Transient { message: message.into() }
    }

    /// Any other failure; `context` completes "failed to ...".
    pub fn other(context: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other { context: context.into(), source: source.into() }
    }
}

/// An error and its causes, outermost first; each is told once, because transparent wrappers repeat what they wrap.
pub fn causes(error: &dyn Error) -> Vec<String> {
    let mut told = vec![message(error)];
    let mut next = error.source();
    while let Some(cause) = next {
        let message = message(cause);
        if told.last() != Some(&message) {
            told.push(message);
        }
        next = cause.source();
    }
    told
}

/// What an error says, without the backtrace that some libraries put behind it where `RUST_BACKTRACE` is set.
fn message(error: &dyn Error) -> String {
    let mut text = error.to_string();
    text.truncate(text.find("\n   0: ").unwrap_or(text.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once_each() {
        let io = std::io::Error::other("disk on fire");
        assert_eq!(causes(&StageError::other("write a table", io)), ["write a table", "disk on fire"]);
        let store = pipe_cache::StoreError::ReadOnly { action: "write to", path: "store".into() };
        assert_eq!(causes(&StageError::from(store)).len(), 1);
    }

    #[test]
    fn backtraces_are_not_told() {
        let traced = std::io::Error::other(format!("disk on fire\n{}", std::backtrace::Backtrace::force_capture()));
        assert_eq!(causes(&StageError::other("write a table", traced)), ["write a table", "disk on fire"]);
    }
}

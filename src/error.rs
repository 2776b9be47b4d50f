//! Turns every failure into a message for people and an exit code; nothing else does.

use std::path::PathBuf;

use pipe_cache::{RemoteError, StoreError};
use pipe_engine::{
    context::causes,
    diag::{Diagnostics, one_of},
    events::JournalError,
    execute::RunError,
    inspect::DiffError,
    pipeline::SelectError,
    views::ViewError,
};

use crate::{
    diagnostics,
    exit::Exit,
    output::{self, plural},
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// Problems of the pipeline file.
    #[error("the pipeline file is wrong")]
    Pipeline(Diagnostics),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A journal could not be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file could not be read or written.
    #[error("failed to {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A table could not be shown.
    #[error("failed to show the table")]
    Arrow(#[from] arrow::error::ArrowError),
    /// A name that there is not.
    #[error("{message}")]
    NotFound { message: String, help: Option<String> },
    /// A command line that makes no sense.
    #[error("{message}")]
    Usage { message: String, help: Option<String> },
    /// Stages that would run cannot; they were told already.
    #[error("{} cannot run, and nothing was computed", plural(*stages, "stage"))]
    Foreseen { stages: u64 },
    /// Nobody reads our output any more (`pipe show x | head`).
    #[error("the output was closed")]
    BrokenPipe,
}

impl From<ViewError> for CliError {
    fn from(error: ViewError) -> Self {
        let message = error.to_string();
        match error {
            ViewError::Store(error) => Self::Store(error),
            ViewError::Io { action, path, source } => Self::Io { action, path, source },
            ViewError::Path(_) => Self::Usage { message, help: Some("move the store to another folder".to_owned()) },
        }
    }
}

impl From<SelectError> for CliError {
    fn from(error: SelectError) -> Self {
        let message = error.to_string();
        match error {
            SelectError::Unknown { what, name, known, .. } => {
                let help = one_of(&name, &format!("the {what}s are"), known.iter().map(String::as_str));
                Self::NotFound { message, help }
            }
            SelectError::Conflict { named, with, selected } => {
                const SHOWN: usize = 8;
                let mut labels: Vec<String> = selected.iter().take(SHOWN).map(|label| format!("`{label}`")).collect();
                labels.extend((selected.len() > SHOWN).then(|| format!("{} more", selected.len() - SHOWN)));
                let selects = if labels.is_empty() { "nothing".to_owned() } else { labels.join(", ") };
                let help = Some(format!("leave one out; `{with}` selects {selects}, and `{named}` is none of them"));
                Self::Usage { message, help }
            }
        }
    }
}

impl From<RemoteError> for CliError {
    fn from(error: RemoteError) -> Self {
        Self::Usage { message: error.problem, help: Some(error.help) }
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Select(error) => error.into(),
            RunError::Store(error) => error.into(),
            RunError::Journal(error) => error.into(),
        }
    }
}

impl From<DiffError> for CliError {
    fn from(error: DiffError) -> Self {
        match error {
            DiffError::Unknown { what, ref name, ref known } => {
                let help = one_of(name, "there are", known.iter().map(String::as_str));
                Self::NotFound { message: format!("there is no {what} `{name}`"), help }
            }
            DiffError::Store(error) => error.into(),
            DiffError::Journal(error) => error.into(),
        }
    }
}

/// What is written is written to stdout.
impl From<std::io::Error> for CliError {
    fn from(source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Io { action: "write to", path: "stdout".into(), source },
        }
    }
}

impl CliError {
    /// Prints it to stderr; returns the exit code.
    pub(crate) fn report(&self) -> Exit {
        let (exit, help) = match self {
            Self::Pipeline(problems) => {
                diagnostics::print(problems);
                return Exit::InvalidPipeline;
            }
            Self::BrokenPipe => return Exit::Success,
            Self::Store(_) | Self::Journal(_) | Self::Io { .. } | Self::Arrow(_) => (Exit::Io, None),
            Self::NotFound { help, .. } => (Exit::NotFound, help.as_deref()),
            Self::Usage { help, .. } => (Exit::Usage, help.as_deref()),
            Self::Foreseen { .. } => (Exit::StageFailed, Some("`--keep-going` runs what does not need them")),
        };
        output::error(&causes(self), help);
        exit
    }
}

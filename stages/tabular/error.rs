//! Why a table could not be read; every variant names the file, and the line and column where there is one.

use std::path::PathBuf;

use pipe_engine::diag::one_of;

use super::types::ColumnType;

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1. 0 where the format has no lines.
    pub line: u64,
    /// Column in bytes, from 1. 0 where it is not known.
    pub column: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())?;
        if self.line > 0 {
            write!(f, ", line {}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ", column {}", self.column)?;
        }
        Ok(())
    }
}

/// Why a table could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TabularError {
    /// The file could not be opened or read.
    #[error("failed to read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The bytes are not UTF-8.
    #[error("{place}: not UTF-8 text")]
    NotUtf8 {
        /// The first bad byte.
        place: Place,
    },
    /// The text is not of the format.
    #[error("{place}: {message}")]
    Syntax {
        /// Where reading stopped.
        place: Place,
        /// What was wrong.
        message: String,
    },
    /// A value is not of its column's type.
    #[error("{place}: column `{column}`: {message}")]
    Value {
        /// The value.
        place: Place,
        /// The top-level column.
        column: String,
        /// What was wrong.
        message: String,
    },
    /// Two rows give one column types that no type covers.
    #[error("{place}: column `{column}` holds {found} here and {expected} above")]
    Clash {
        /// The later row.
        place: Place,
        /// The column.
        column: String,
        /// The type of the later row.
        found: Box<ColumnType>,
        /// The type of the rows above it.
        expected: Box<ColumnType>,
    },
    /// A column that was asked for does not exist.
    #[error("no column `{column}` in {}", path.display())]
    MissingColumn {
        /// The first file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The columns there are.
        known: Vec<String>,
    },
    /// The id column repeats a value.
    #[error("{place}: id `{id}` was seen before, in row {first}")]
    DuplicateId {
        /// The later row.
        place: Place,
        /// The id.
        id: String,
        /// The earlier row, from 1.
        first: u64,
    },
    /// The id column has a gap.
    #[error("{place}: the id column `{column}` is empty")]
    MissingId {
        /// The row.
        place: Place,
        /// The id column.
        column: String,
    },
    /// Anything else about the files as a whole.
    #[error("{}: {message}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        message: String,
    },
    /// The receiver of the rows refused.
    #[error(transparent)]
    Sink(#[from] pipe_engine::kind::StageError),
}

impl TabularError {
    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::NotUtf8 { .. } => "convert the file to UTF-8 (`iconv -f latin1 -t utf8`)".into(),
            Self::Clash { column, .. } => format!(
                "declare one type for it, for example `schema: {{ {column}: json }}` (or `string`), or leave it out with `columns:`"
            ),
            Self::MissingColumn { column, known, .. } => {
                return one_of(column, "columns", known.iter().map(String::as_str));
            }
            _ => return None,
        })
    }
}

impl From<TabularError> for pipe_engine::kind::StageError {
    fn from(error: TabularError) -> Self {
        match error {
            TabularError::Sink(inner) => inner,
            TabularError::Io { path, source } => Self::other(format!("failed to read {}", path.display()), source),
            error => Self::User { help: error.help(), message: error.to_string() },
        }
    }
}

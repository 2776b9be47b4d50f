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
    /// A quote does not close where its cell ends.
    #[error("{place}: {message}")]
    Quote {
        /// Where it opens.
        place: Place,
        /// What was wrong.
        message: &'static str,
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
        /// The column, with the fields inside it: `meta.tags`.
        column: String,
        /// The table's column.
        top: String,
        /// The type of the later row.
        found: Box<ColumnType>,
        /// The type of the rows above it.
        expected: Box<ColumnType>,
    },
    /// The bytes are of another kind than the format's.
    #[error("{}: {what}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What they are.
        what: String,
        /// What to do.
        help: String,
    },
    /// There is nothing to tell the columns by.
    #[error("{}: there are no rows, so the columns are not known", path.display())]
    NoRows {
        /// The first file.
        path: PathBuf,
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

/// The parameter with which a stage declares the types of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// `schema`, beside a selection by `columns`.
    Schema,
    /// `columns`, which selects nothing.
    Columns,
}

impl TabularError {
    /// What to do about it, where that is known, with a stage that declares types that way.
    pub fn help(&self, declared: Declared) -> Option<String> {
        let (parameter, or_leave_out) = match declared {
            Declared::Schema => ("schema", ", or leave it out with `columns:`"),
            Declared::Columns => ("columns", ""),
        };
        Some(match self {
            Self::NotUtf8 { .. } => NOT_UTF8.into(),
            Self::Foreign { help, .. } => help.clone(),
            Self::Quote { .. } => {
                let doubled = "double the quotes inside a quoted cell (RFC 4180)";
                match declared {
                    Declared::Schema => format!("{doubled}; with `quotes: false` they are characters like any other"),
                    Declared::Columns => doubled.into(),
                }
            }
            Self::NoRows { .. } => format!("declare them, for example `{parameter}: {{ text: string }}`"),
            Self::Clash { top, .. } => format!(
                "declare one type for it, for example `{parameter}: {{ {top}: json }}` (or `string`){or_leave_out}"
            ),
            Self::MissingColumn { column, known, .. } => {
                return one_of(column, "columns", known.iter().map(String::as_str));
            }
            _ => return None,
        })
    }

    /// As a stage's error, with that advice.
    pub fn into_stage_error(self, declared: Declared) -> pipe_engine::kind::StageError {
        use pipe_engine::{keys::help_for_missing, kind::StageError};
        match self {
            Self::Sink(inner) => inner,
            Self::Io { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
                StageError::user_help(format!("there is no file {}", path.display()), help_for_missing(&path))
            }
            Self::Io { path, source } => StageError::other(format!("failed to read {}", path.display()), source),
            error => StageError::User { help: error.help(declared), message: error.to_string() },
        }
    }
}

/// What to do about text of another encoding; which one it is nobody can tell from its bytes alone.
pub(crate) const NOT_UTF8: &str = "convert the file to UTF-8 from its own encoding, for example \
                            `iconv -f windows-1252 -t utf-8` for Western European text from Windows";

impl From<TabularError> for pipe_engine::kind::StageError {
    fn from(error: TabularError) -> Self {
        error.into_stage_error(Declared::Schema)
    }
}

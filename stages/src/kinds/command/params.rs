//! The parameters of `command`.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tabular::ColumnType;

/// Runs a program on tables and directories.
///
/// Every input is handed over as a file or a directory, every output is a path that the program must write to. In
/// `argv`, `{inputs.NAME}` and `{outputs.NAME}` stand for those paths; programs and shell scripts also find them in
/// the environment variables `PIPE_INPUT_NAME` and `PIPE_OUTPUT_NAME`. The program runs in the folder of the file
/// in which `argv` or `shell` is written, with an empty standard input; what it prints goes to the stage's log. It
/// fails when its exit code is not 0, or when an output is missing or cannot be read; `retries`, `backoff` and
/// `timeout` of the stage apply. On a timeout and on Ctrl-C it gets SIGTERM together with all that it started, and
/// SIGKILL five seconds later or at a second Ctrl-C.
///
/// The stage ends when the work does: what the program started and left behind is waited for while it writes or
/// computes. What idles for two seconds is ended; if it still had an output open, or input to read, the stage fails
/// after ten.
///
/// The key holds the command, the inputs, the content of `sources` and the values of `env`. Of the environment the
/// program sees `env`, `pass_env`, and what every program needs (PATH, HOME, LANG, TMPDIR and the like), so
/// that a result does not depend on variables that nobody declared.
///
/// With `rows: each` it is a program for rows, and computes none again: those of the input `rows` come by standard
/// input, one JSON object per line, and for each it prints one line to standard output, in their order: an object,
/// whose columns are put beside the row's own (or in their place, where they have their names); `null`, which drops
/// the row; or a list of objects, for several rows. A filter prints `{}` or `null`. All columns that it prints are
/// declared under `columns`; messages go to standard error. What it says of a row must depend on the row alone, the
/// other inputs and the parameters: not on the rows before it. A table that grows costs its new rows only.
///
/// Answers are kept when a program has ended well after its `batch` of rows, and has printed one line for each. If it
/// repeats the row's `id` in an object, that answer and those before it are kept at once, also if the program is
/// killed later, and a line that is missing is noticed at the next.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandParams {
    /// The program and its arguments; no shell looks at them. Numbers are handed over as they are written.
    #[serde(default)]
    #[schemars(extend("x-words" = true, "x-folder" = true, "x-path-of" = "sources"))]
    pub argv: Vec<String>,
    /// A script for `sh`, in place of `argv`. It stops at the first command that fails (`set -e`).
    #[serde(default)]
    #[schemars(extend("x-folder" = true))]
    pub shell: Option<String>,
    /// What the program writes. The first one is what the stage's bare name refers to.
    pub outputs: IndexMap<String, OutputSpec>,
    /// What the program is given: tables as a whole, or the rows of the input `rows` one by one.
    #[serde(default, skip_serializing_if = "Rows::is_all")]
    pub rows: Rows,
    /// For `rows: each`: how many rows a program is given before it is started anew; 1,000 when left out. More for one
    /// that takes long to start.
    #[serde(default)]
    #[schemars(range(min = 1), extend("x-operational" = true))]
    pub batch: Option<usize>,
    /// For `rows: each`: how many programs run beside each other; one when left out. Each is told its share of the
    /// stage's threads in PIPE_THREADS.
    #[serde(default)]
    #[schemars(range(min = 1), extend("x-operational" = true))]
    pub processes: Option<usize>,
    /// Columns of the first output that are scores of its rows: numbers, or `true` and `false`; with `rows: each` also
    /// those that the rows have themselves. Their means stand in
    /// the table of arms, and with standard errors and intervals in the further outputs `scores` (over all rows) and
    /// `tasks` (by the column `task`, where there is one). A row without a number is not counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<String>,
    /// How tables are handed over: one format for all inputs, or one per input (`parquet` for those not named).
    #[serde(default)]
    pub input_format: InputFormats,
    /// Scripts and other files that the program reads, relative to the file in which they are written; patterns are
    /// allowed.
    #[serde(default)]
    #[schemars(extend("x-path" = true))]
    pub sources: Vec<String>,
    /// Environment variables that the result depends on.
    #[serde(default)]
    pub env: Vec<String>,
    /// Environment variables that the program needs and that do not change its result: `CUDA_VISIBLE_DEVICES`, a token.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub pass_env: Vec<String>,
    /// Change it to run again when something has changed that the key does not know: an installed program, a service.
    #[serde(default)]
    pub version: String,
}

/// What a program is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rows {
    /// Tables, as files.
    #[default]
    All,
    /// The rows of the input `rows`, one by one.
    Each,
}

impl Rows {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// What the program writes to one output.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// A table in this format, or a directory of files.
    pub format: OutputFormat,
    /// Columns that the table must have, with their types.
    #[serde(default)]
    pub columns: BTreeMap<String, ColumnType>,
}

/// How an output is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// A Parquet file.
    Parquet,
    /// One JSON object per line.
    Jsonl,
    /// Comma-separated values with a header.
    Csv,
    /// A directory; it exists, and is empty, when the program starts.
    Files,
}

/// How a table is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InputFormat {
    /// A Parquet file.
    #[default]
    Parquet,
    /// One JSON object per line.
    Jsonl,
    /// Comma-separated values with a header; for tables without lists and objects.
    Csv,
}

/// How tables are handed over.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum InputFormats {
    /// All in the same way.
    All(InputFormat),
    /// By input.
    Each(BTreeMap<String, InputFormat>),
}

impl Default for InputFormats {
    fn default() -> Self {
        Self::All(InputFormat::default())
    }
}

impl InputFormats {
    pub(super) fn of(&self, input: &str) -> InputFormat {
        match self {
            Self::All(format) => *format,
            Self::Each(formats) => formats.get(input).copied().unwrap_or_default(),
        }
    }
}

//! Reads JSONL, JSON, CSV, TSV, Parquet and plain text into record batches of one schema.
//!
//! ```text
//! files -> chunks of rows -> (types of the first chunks) -> batches, in parallel -> Sink
//!                                  ^ a row that does not fit: types of all chunks, and once more from the start
//! ```
//!
//! **Types.** A column's type is the smallest that holds all its values in all files, whatever their order: nulls fit
//! every type, `int` and `float` give `float` (as long as no integer is beyond 2^53), lists and objects are joined
//! item by item and field by field; columns stand in order of first appearance; a column of nulls only is text. In
//! JSON any other mixture is an error that names both places' types; in CSV and TSV a mixture is text, an empty cell
//! is null, and what would lose characters as a number is text ([`numbers`]). Integers beyond 64 bits are an error in
//! JSON, where they are no text. Declared types replace inference: `string` and `json` take any value, the others are
//! checked.
//!
//! **Memory** is bounded by the chunks in flight, except for `.json` documents, which are held whole.

mod build;
mod chunks;
mod data;
mod delimited;
mod drive;
mod error;
mod exact;
mod infer;
mod json;
mod numbers;
mod open;
mod options;
mod output;
mod parquet;
mod peek;
mod printable;
mod read;
mod row_format;
mod scan;
mod shapes;
mod sink;
mod text;
mod types;

pub use error::{Declared, TabularError};
pub use json::{column_of, declared_rows};
pub(crate) use numbers::EXACT;
pub use open::Format;
pub use options::{ChunkUnit, Chunking, Header, ReadOptions, Shape, Turns};
pub use output::Sink;
pub use peek::peek;
pub use printable::{Unprintable, not_finite, printable, printable_column};
pub use read::read;
pub use shapes::hint;
pub use sink::OutputSink;
pub(crate) use types::Columns;
pub use types::{ColumnType, arrow_schema, same_type};

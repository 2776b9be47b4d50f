//! Reads JSONL, JSON, CSV, TSV, Parquet and plain text into record batches of one schema.
//!
//! ```text
//! files -> chunks of rows -> (types of the first chunks) -> batches, in parallel -> Sink
//!                                  ^ a row that does not fit: types of all chunks, and once more from the start
//! ```
//!
//! **Types.** A column's type is the smallest that holds all its values in all files, whatever their order: nulls fit
//! every type, `int` and `float` give `float`, lists and objects are joined item by item and field by field; columns stand in
//! order of first appearance; a column of nulls only is text. In JSON any other mixture is an error that names both
//! places' types; in CSV and TSV a mixture is text, an empty cell is null, and a number with leading zeros is text.
//! Declared types replace inference: `string` and `json` take any value, the others are checked.
//!
//! **Memory** is bounded by the chunks in flight, except for `.json` documents, which are held whole.

mod build;
mod delimited;
mod error;
mod infer;
mod json;
mod open;
mod parquet;
mod read;
mod sink;
mod text;
mod types;

pub use error::TabularError;
pub use open::Format;
pub use read::{ReadOptions, Sink, read};
pub use sink::OutputSink;
pub use types::{ColumnType, arrow_schema};

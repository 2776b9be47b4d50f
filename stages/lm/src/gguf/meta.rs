//! Values of the metadata that we write.

use candle_core::quantized::gguf_file::Value;

/// A value of the metadata.
pub(super) enum Meta {
    Count(u32),
    Number(f32),
    Flag(bool),
    Text(String),
    Texts(Vec<String>),
    Numbers(Vec<f32>),
    Kinds(Vec<i32>),
    /// As another file has it.
    Stored(Value),
}

//! 4-bit NormalFloat weights with double quantization, as in QLoRA (Dettmers et al. 2023, arXiv 2305.14314),
//! byte for byte as bitsandbytes stores them.
//!
//! A weight matrix is flattened row-major and cut into blocks of 64 values. Each block keeps its largest
//! magnitude (`absmax`) and, per value, the index of the nearest of sixteen codes. The `absmax` values are
//! themselves quantised to 8 bits in blocks of 256, which takes 4.5 bits per parameter to about 4.127.
//! (Models in memory keep the scales in f32, beside the codes as kernels read them: [`crate::coded`].)
//!
//! Reference: bitsandbytes 0.50 `quantize_4bit(quant_type="nf4", compress_statistics=True)`, with the nearest
//! code found exactly as its CUDA kernels and its PyTorch backend do. (Its native CPU backend rounds the second
//! level through a table of 65,536 bins and so differs in about one scale code in a thousand, by one step.)

mod blockwise;
mod double;
mod nf4;
mod provider;
mod q8_0;

pub use blockwise::{DYNAMIC_BLOCK, dynamic_map};
pub use double::Scales;
pub use nf4::{BLOCK, CODEBOOK, Nf4Builder, Nf4Tensor};
pub use provider::Quantized;
pub use q8_0::Rounded;

/// What can be wrong with values to quantise.
#[derive(Debug, thiserror::Error)]
pub enum QuantError {
    /// The number of values pushed is not the product of the shape.
    #[error("failed to quantise a weight of shape {shape:?}: expected {expected} values, got {found}")]
    Length {
        /// Declared `[out, in]`.
        shape: [usize; 2],
        /// `out * in`.
        expected: usize,
        /// Values actually seen.
        found: usize,
    },
    /// A weight held NaN or an infinity, which has no nearest code.
    #[error("failed to quantise a weight: the value at flat index {index} is {value}")]
    NotFinite {
        /// Position in the flattened weight.
        index: usize,
        /// The offending value.
        value: f32,
    },
}

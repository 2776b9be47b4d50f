//! Differentiable ops of decoder models over packed activations: `[tokens, dim]`, the rows of a batch one after the
//! other without padding, told apart by `cu_seqlens`.
//!
//! On the CPU in f32 each op is a fused kernel with its own backward pass; on other devices and dtypes it is composed
//! of candle's ops ([`composed`]). Every output element is accumulated in one fixed order, so results depend neither on
//! the batch a row is in nor on the number of threads.

mod activation;
mod attention_cached;
mod attention_heads;
mod attention_spec;
mod attention_train;
mod autograd;
pub mod composed;
mod crew;
mod cross_entropy;
mod embedding;
mod encoding;
pub mod gemm;
mod linear;
mod lora;
pub(crate) mod math;
mod norm;
mod pages;
mod rope;
pub(crate) mod rounded;
mod scratch;
pub mod slices;

pub use activation::{Gelu, add, gelu, swiglu};
pub use attention_cached::{KvCache, QuerySpan, attention_cached};
pub use attention_spec::{AttentionSpec, sequences};
pub use attention_train::attention_train;
pub use autograd::{backward, backward_from, backward_once, reclaim, release};
pub use crew::{Crew, Team};
pub use cross_entropy::cross_entropy;
pub use embedding::embedding;
pub use encoding::{gelu_in_place, silu_in_place, softmax_row};
pub use gemm::FewRows;
pub use linear::{Weight, WeightTile, linear};
pub use lora::{Dropout, Lora, lora_linear};
pub use norm::{layer_norm, rms_norm};
pub use rope::{Rope, rope};
pub use rounded::RoundedRows;
pub use scratch::Arena;

#[cfg(test)]
mod tests;

/// The numeric class of this machine's kernels, where it is not the usual one: a product is then rounded before it is
/// added, and results differ in the last bits from those of machines that have fused multiply-adds. What depends on it
/// belongs into keys; `None`, the usual class (fused, f32), does not.
pub fn numeric_class() -> Option<&'static str> {
    class_of(math::is_fused())
}

fn class_of(fused: bool) -> Option<&'static str> {
    (!fused).then_some("cpu f32, unfused")
}

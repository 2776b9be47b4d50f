//! Single-precision matrix products whose bits depend on the operands alone.

mod packed;

pub use packed::PackedWeight;

//! Sixteen floats side by side, a row of a panel, on each kind of CPU.
//!
//! The functions are instructions, or a few of them: they are meant to be inlined into a loop that is compiled for the
//! CPU in question (see [`super::kernel`]). All kinds give the same bits where multiplication and addition are fused.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use self::{avx2::Avx2, avx512::Avx512};
pub(crate) use portable::Portable;

use super::NR;

/// Sixteen floats.
///
/// # Safety
/// Of all functions: the CPU must have the instructions that the implementation is made of, and pointers must be good
/// for sixteen values of what is read or written there; none needs an alignment.
pub(crate) trait Lanes: Copy {
    /// Sixteen integers of 32 bits.
    type Ints: Copy;

    unsafe fn zero() -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self * a - b`, fused where that is one instruction.
    unsafe fn mul_sub(self, a: Self, b: Self) -> Self;
    /// `self + x * b`, fused likewise.
    unsafe fn add_product(self, x: f32, b: Self) -> Self;

    unsafe fn f16(from: *const u8) -> Self;
    unsafe fn bf16(from: *const u8) -> Self;
    unsafe fn i8(from: *const u8) -> Self;

    unsafe fn splat(value: i32) -> Self::Ints;
    unsafe fn ints(from: *const u8) -> Self::Ints;
    /// Bytes, widened.
    unsafe fn bytes(from: *const u8) -> Self::Ints;
    /// `(ints >> by) & mask`
    unsafe fn field(ints: Self::Ints, by: u32, mask: i32) -> Self::Ints;
    /// `low | high << by`
    unsafe fn join(low: Self::Ints, high: Self::Ints, by: u32) -> Self::Ints;
    /// The values of a table at `ints`, which are below sixteen.
    unsafe fn look_up(ints: Self::Ints, table: &[f32; NR]) -> Self;
    /// `ints - offset`, as floats.
    unsafe fn float(ints: Self::Ints, offset: i32) -> Self;
}

//! Plain Rust, written so that compilers vectorise it (NEON on aarch64).

#![expect(unsafe_op_in_unsafe_fn, reason = "every function is as unsafe as the trait says, and for that reason alone")]

use std::array;

use super::Lanes;
use crate::{
    coded::NR,
    ops::math::{f16_to_f32, mla},
};

/// Whether multiplication and addition are one instruction; a call into libm otherwise.
const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; NR]);

impl Lanes for Portable {
    type Ints = [i32; NR];

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; NR])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(from.cast::<[f32; NR]>().read_unaligned())
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        to.cast::<[f32; NR]>().write_unaligned(self.0);
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(array::from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Self(array::from_fn(|i| self.0[i] * other.0[i]))
    }

    #[inline(always)]
    unsafe fn mul_sub(self, a: Self, b: Self) -> Self {
        Self(array::from_fn(|i| mla::<FUSED>(self.0[i], a.0[i], -b.0[i])))
    }

    #[inline(always)]
    unsafe fn add_product(self, x: f32, b: Self) -> Self {
        Self(array::from_fn(|i| mla::<FUSED>(x, b.0[i], self.0[i])))
    }

    #[inline(always)]
    unsafe fn f16(from: *const u8) -> Self {
        Self(from.cast::<[u16; NR]>().read_unaligned().map(f16_to_f32))
    }

    #[inline(always)]
    unsafe fn bf16(from: *const u8) -> Self {
        Self(from.cast::<[u16; NR]>().read_unaligned().map(|bits| f32::from_bits(u32::from(bits) << 16)))
    }

    #[inline(always)]
    unsafe fn i8(from: *const u8) -> Self {
        Self(from.cast::<[i8; NR]>().read().map(f32::from))
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> Self::Ints {
        [value; NR]
    }

    #[inline(always)]
    unsafe fn ints(from: *const u8) -> Self::Ints {
        from.cast::<Self::Ints>().read_unaligned()
    }

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> Self::Ints {
        from.cast::<[u8; NR]>().read().map(i32::from)
    }

    #[inline(always)]
    unsafe fn field(ints: Self::Ints, by: u32, mask: i32) -> Self::Ints {
        ints.map(|value| value >> by & mask)
    }

    #[inline(always)]
    unsafe fn join(low: Self::Ints, high: Self::Ints, by: u32) -> Self::Ints {
        array::from_fn(|i| low[i] | high[i] << by)
    }

    #[inline(always)]
    unsafe fn look_up(ints: Self::Ints, table: &[f32; NR]) -> Self {
        Self(ints.map(|at| table[at as usize]))
    }

    #[inline(always)]
    unsafe fn float(ints: Self::Ints, offset: i32) -> Self {
        Self(ints.map(|value| (value - offset) as f32))
    }
}

//! The forms of GGUF's blocks, as llama.cpp's `ggml-common.h` defines them.

use super::blocks::{Form, Unpacked};

fn u16_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

/// Changes the sign of an f16: what is added to a product is the negative of a minimum.
fn negated(bits: u16) -> u16 {
    bits ^ 0x8000
}

/// The two halves of 32 columns in 4 bits: the low ones of all bytes, then the high ones.
fn nibbles(bytes: &[u8], to: &mut [u8]) {
    let (low, high) = to.split_at_mut(bytes.len());
    for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
        (*low, *high) = (byte & 15, byte >> 4);
    }
}

/// The fifth bit of 32 columns, one after the other.
fn fifth_bits(bytes: &[u8], to: &mut [u8]) {
    for (k, to) in to[..32].iter_mut().enumerate() {
        *to |= (bytes[k / 8] >> (k % 8) & 1) << 4;
    }
}

/// The factors of `q4_K` and `q5_K`, six bits each.
fn factors(bytes: &[u8], to: &mut Unpacked) {
    for step in 0..8 {
        let (scale, min) = if step < 4 {
            (bytes[step] & 63, bytes[step + 4] & 63)
        } else {
            let both = bytes[step + 4];
            (both & 15 | bytes[step - 4] >> 6 << 4, both >> 4 | bytes[step] >> 6 << 4)
        };
        (to.scales[step], to.mins[step]) = (scale.cast_signed(), min.cast_signed());
    }
}

macro_rules! form {
    ($(#[$doc:meta])* $name:ident { $columns:literal by $step:literal, bits $low:literal + $high:literal,
        offset $offset:literal, min $min:literal, factors $factors:literal, bytes $bytes:literal } $unpack:expr) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl Form for $name {
            const COLUMNS: usize = $columns;
            const STEP: usize = $step;
            const LOW: usize = $low;
            const HIGH: usize = $high;
            const OFFSET: i32 = $offset;
            const MIN: bool = $min;
            const FACTORS: bool = $factors;
            const BLOCK: usize = $bytes;

            fn unpack(block: &[u8], to: &mut Unpacked) {
                let unpack: fn(&[u8], &mut Unpacked) = $unpack;
                unpack(block, to);
            }
        }
    };
}

form! {
    /// A scale for 32 values.
    Q8_0 { 32 by 32, bits 8 + 0, offset 0, min false, factors false, bytes 34 }
    |block, to| {
        to.scale = u16_at(block, 0);
        to.values[..32].copy_from_slice(&block[2..]);
    }
}

form! {
    /// A scale for 32 values.
    Q4_0 { 32 by 32, bits 4 + 0, offset 8, min false, factors false, bytes 18 }
    |block, to| {
        to.scale = u16_at(block, 0);
        nibbles(&block[2..], &mut to.values[..32]);
    }
}

form! {
    /// A scale and a minimum for 32 values.
    Q4_1 { 32 by 32, bits 4 + 0, offset 0, min true, factors false, bytes 20 }
    |block, to| {
        (to.scale, to.min) = (u16_at(block, 0), negated(u16_at(block, 2)));
        nibbles(&block[4..], &mut to.values[..32]);
    }
}

form! {
    /// A scale for 32 values.
    Q5_0 { 32 by 32, bits 4 + 1, offset 16, min false, factors false, bytes 22 }
    |block, to| {
        to.scale = u16_at(block, 0);
        nibbles(&block[6..], &mut to.values[..32]);
        fifth_bits(&block[2..6], &mut to.values);
    }
}

form! {
    /// A scale and a minimum for 32 values.
    Q5_1 { 32 by 32, bits 4 + 1, offset 0, min true, factors false, bytes 24 }
    |block, to| {
        (to.scale, to.min) = (u16_at(block, 0), negated(u16_at(block, 2)));
        nibbles(&block[8..], &mut to.values[..32]);
        fifth_bits(&block[4..8], &mut to.values);
    }
}

form! {
    /// Scales and minima of 4 bits for 16 values.
    Q2K { 256 by 16, bits 2 + 0, offset 0, min true, factors true, bytes 84 }
    |block, to| {
        let (factors, quarters) = (&block[..16], &block[16..80]);
        (to.scale, to.min) = (u16_at(block, 80), u16_at(block, 82));
        for (step, factor) in factors.iter().enumerate() {
            (to.scales[step], to.mins[step]) = ((factor & 15).cast_signed(), (factor >> 4).cast_signed());
        }
        for (k, value) in to.values.iter_mut().enumerate() {
            *value = quarter(quarters, k);
        }
    }
}

form! {
    /// Scales of 6 bits for 16 values.
    Q3K { 256 by 16, bits 2 + 1, offset 4, min false, factors true, bytes 110 }
    |block, to| {
        let (third, quarters, factors) = (&block[..32], &block[32..96], &block[96..108]);
        to.scale = u16_at(block, 108);
        for (step, scale) in to.scales.iter_mut().enumerate() {
            let low = factors[step % 8] >> (step / 8 * 4) & 15;
            let high = factors[8 + step % 4] >> (step / 4 * 2) & 3;
            *scale = (low | high << 4).cast_signed() - 32;
        }
        for (k, value) in to.values.iter_mut().enumerate() {
            *value = quarter(quarters, k) | (third[k % 32] >> (k / 32) & 1) << 2;
        }
    }
}

form! {
    /// Scales and minima of 6 bits for 32 values.
    Q4K { 256 by 32, bits 4 + 0, offset 0, min true, factors true, bytes 144 }
    |block, to| {
        (to.scale, to.min) = (u16_at(block, 0), u16_at(block, 2));
        factors(&block[4..16], to);
        for (bytes, to) in block[16..].chunks_exact(32).zip(to.values.chunks_exact_mut(64)) {
            nibbles(bytes, to);
        }
    }
}

form! {
    /// Scales and minima of 6 bits for 32 values.
    Q5K { 256 by 32, bits 4 + 1, offset 0, min true, factors true, bytes 176 }
    |block, to| {
        (to.scale, to.min) = (u16_at(block, 0), u16_at(block, 2));
        factors(&block[4..16], to);
        for (bytes, to) in block[48..].chunks_exact(32).zip(to.values.chunks_exact_mut(64)) {
            nibbles(bytes, to);
        }
        for (k, value) in to.values.iter_mut().enumerate() {
            *value |= (block[16 + k % 32] >> (k / 32) & 1) << 4;
        }
    }
}

form! {
    /// Scales of 8 bits for 16 values.
    Q6K { 256 by 16, bits 4 + 2, offset 32, min false, factors true, bytes 210 }
    |block, to| {
        let (low, high, factors) = (&block[..128], &block[128..192], &block[192..208]);
        to.scale = u16_at(block, 208);
        to.scales = std::array::from_fn(|step| factors[step].cast_signed());
        for (bytes, to) in low.chunks_exact(64).zip(to.values.chunks_exact_mut(128)) {
            nibbles(bytes, to);
        }
        for (k, value) in to.values.iter_mut().enumerate() {
            *value |= quarter(high, k) << 4;
        }
    }
}

/// The two bits of column `k`: of each 128 columns, 32 bytes hold four times 32.
fn quarter(bytes: &[u8], k: usize) -> u8 {
    bytes[k / 128 * 32 + k % 32] >> (k % 128 / 32 * 2) & 3
}

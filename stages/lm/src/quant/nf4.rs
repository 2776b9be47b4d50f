//! NF4: sixteen codes at the quantiles of a normal distribution, one scale per block of 64.

use super::{QuantError, Scales};
use rayon::prelude::*;

/// Values that share one scale.
pub const BLOCK: usize = 64;

/// The NF4 codes, ascending (QLoRA, appendix E).
pub const CODEBOOK: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// Half-way points between neighbouring codes.
const MIDPOINTS: [f32; 15] = {
    let mut midpoints = [0.0; 15];
    let mut i = 0;
    while i < 15 {
        midpoints[i] = f32::midpoint(CODEBOOK[i], CODEBOOK[i + 1]);
        i += 1;
    }
    midpoints
};

/// Index of the nearest code; exactly half-way goes to the lower one.
#[inline]
fn nearest(x: f32) -> u8 {
    // Branch-free: as many codes lie below x as midpoints do.
    MIDPOINTS.iter().map(|&midpoint| u8::from(midpoint < x)).sum()
}

/// A frozen weight `[out, in]` in NF4.
#[derive(Debug, Clone, PartialEq)]
pub struct Nf4Tensor {
    shape: [usize; 2],
    /// Two codes per byte, the first in the high nibble.
    packed: Vec<u8>,
    scales: Scales,
}

impl Nf4Tensor {
    /// Quantises a row-major weight of `shape` `[out, in]`, with double quantization of the scales.
    pub fn quantize(values: &[f32], shape: [usize; 2]) -> Result<Self, QuantError> {
        let mut builder = Nf4Builder::new(shape);
        builder.push(values)?;
        builder.finish()
    }

    /// Assembles a weight from its stored parts.
    pub(super) fn from_parts(shape: [usize; 2], packed: Vec<u8>, scales: Scales) -> Self {
        debug_assert_eq!(packed.len(), (shape[0] * shape[1]).div_ceil(2));
        debug_assert_eq!(scales.len(), (shape[0] * shape[1]).div_ceil(BLOCK));
        Self { shape, packed, scales }
    }

    /// `[out, in]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Two codes per byte, the first in the high nibble.
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// The scales of the blocks.
    pub fn scales(&self) -> &Scales {
        &self.scales
    }

    /// Bytes held: about 0.516 per parameter.
    pub fn size_in_bytes(&self) -> usize {
        self.packed.len() + self.scales.size_in_bytes()
    }

    /// Writes the values `start .. start + out.len()` of the flattened weight. `start` must be even.
    pub fn dequantize_range(&self, start: usize, out: &mut [f32]) {
        assert!(start.is_multiple_of(2), "a byte holds two values");
        assert!(start + out.len() <= self.shape[0] * self.shape[1], "range within the weight");
        let (mut at, mut rest) = (start, out);
        while !rest.is_empty() {
            let block = at / BLOCK;
            let n = ((block + 1) * BLOCK - at).min(rest.len());
            let (head, tail) = rest.split_at_mut(n);
            decode(&self.packed[at / 2..(at + n).div_ceil(2)], self.scales.get(block), head);
            (at, rest) = (at + n, tail);
        }
    }

    /// Writes rows `first .. first + out.len() / in` of the weight: a tile for a matrix product. The dimension `in`
    /// must be even, which every transformer's is.
    pub fn dequantize_rows(&self, first: usize, out: &mut [f32]) {
        self.dequantize_range(first * self.shape[1], out);
    }

    /// The whole weight in f32, row-major.
    pub fn dequantize(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.shape[0] * self.shape[1]];
        self.dequantize_range(0, &mut out);
        out
    }
}

/// Quantises one block into `packed`, two codes per byte; returns its scale.
fn encode(values: &[f32], packed: &mut [u8]) -> f32 {
    let absmax = values.iter().fold(0f32, |max, x| max.max(x.abs()));
    // Multiplying by the reciprocal, not dividing, is what the reference does; the bits depend on it.
    let inverse = 1.0 / absmax.max(1e-38);
    let code = |x: f32| nearest((x * inverse).clamp(-1.0, 1.0));
    for (byte, pair) in packed.iter_mut().zip(values.chunks(2)) {
        // The reference pads an odd tail with the value 0.
        *byte = (code(pair[0]) << 4) | pair.get(1).map_or(nearest(0.0), |&x| code(x));
    }
    absmax
}

/// Writes `out[i] = codebook[code_i] * scale` for codes packed from the first nibble of `packed`.
fn decode(packed: &[u8], scale: f32, out: &mut [f32]) {
    for (pair, &byte) in out.chunks_mut(2).zip(packed) {
        pair[0] = CODEBOOK[usize::from(byte >> 4)] * scale;
        if let Some(second) = pair.get_mut(1) {
            *second = CODEBOOK[usize::from(byte & 15)] * scale;
        }
    }
}

/// Quantises a weight that arrives piece by piece, so that a large model never exists in f32.
#[derive(Debug)]
pub struct Nf4Builder {
    shape: [usize; 2],
    packed: Vec<u8>,
    absmax: Vec<f32>,
    /// Values not yet filling a block.
    pending: Vec<f32>,
    seen: usize,
}

impl Nf4Builder {
    /// A builder for a weight of `shape` `[out, in]`.
    pub fn new(shape: [usize; 2]) -> Self {
        let n = shape[0] * shape[1];
        Self {
            shape,
            packed: Vec::with_capacity(n.div_ceil(2)),
            absmax: Vec::with_capacity(n.div_ceil(BLOCK)),
            pending: Vec::with_capacity(BLOCK),
            seen: 0,
        }
    }

    /// Takes the next values in row-major order.
    pub fn push(&mut self, mut values: &[f32]) -> Result<(), QuantError> {
        if let Some(offset) = values.iter().position(|x| !x.is_finite()) {
            return Err(QuantError::NotFinite { index: self.seen + offset, value: values[offset] });
        }
        self.seen += values.len();
        if !self.pending.is_empty() {
            let n = (BLOCK - self.pending.len()).min(values.len());
            self.pending.extend_from_slice(&values[..n]);
            values = &values[n..];
            if self.pending.len() < BLOCK {
                return Ok(());
            }
            let block = std::mem::take(&mut self.pending);
            self.block(&block);
        }
        let (blocks, rest) = values.as_chunks::<BLOCK>();
        self.pending.extend_from_slice(rest);
        let (at, scale_at) = (self.packed.len(), self.absmax.len());
        self.packed.resize(at + blocks.len() * BLOCK / 2, 0);
        self.absmax.resize(scale_at + blocks.len(), 0.0);
        // Blocks are independent, so the bytes do not depend on the number of threads.
        let out = self.packed[at..].par_chunks_mut(BLOCK / 2).zip(&mut self.absmax[scale_at..]);
        out.zip(blocks).with_min_len(256).for_each(|((codes, absmax), values)| *absmax = encode(values, codes));
        Ok(())
    }

    fn block(&mut self, values: &[f32]) {
        let at = self.packed.len();
        self.packed.resize(at + values.len().div_ceil(2), 0);
        let absmax = encode(values, &mut self.packed[at..]);
        self.absmax.push(absmax);
    }

    /// Quantises the scales and returns the weight.
    pub fn finish(mut self) -> Result<Nf4Tensor, QuantError> {
        let expected = self.shape[0] * self.shape[1];
        if self.seen != expected {
            return Err(QuantError::Length { shape: self.shape, expected, found: self.seen });
        }
        if !self.pending.is_empty() {
            let block = std::mem::take(&mut self.pending);
            self.block(&block);
        }
        Ok(Nf4Tensor::from_parts(self.shape, self.packed, Scales::double(&self.absmax)))
    }
}

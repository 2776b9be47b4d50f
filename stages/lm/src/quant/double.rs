//! The scales of 4-bit blocks, plain or themselves quantised ("double quantization").

use super::blockwise::{self, DYNAMIC_BLOCK, dynamic_map};

/// One `absmax` per 4-bit block.
#[derive(Debug, Clone, PartialEq)]
pub enum Scales {
    /// f32 per block: 0.5 bits per parameter.
    Plain(Vec<f32>),
    /// 8 bits per block plus an f32 per 256 blocks, around a common offset: 0.127 bits per parameter.
    Double {
        /// Index into the signed dynamic map, per block.
        codes: Vec<u8>,
        /// Second-level absmax, per 256 blocks.
        absmax: Vec<f32>,
        /// Mean of the first-level absmax values, subtracted before quantisation.
        offset: f32,
    },
}

impl Scales {
    /// Quantises the scales a second time. The mean is summed in f64 and rounded once, so that it does not depend on
    /// a summation order.
    pub fn double(absmax: &[f32]) -> Self {
        let sum: f64 = absmax.iter().map(|&x| f64::from(x)).sum();
        let offset = (sum / absmax.len().max(1) as f64) as f32;
        let centred: Vec<f32> = absmax.iter().map(|x| x - offset).collect();
        let (codes, absmax) = blockwise::quantize(&centred);
        Self::Double { codes, absmax, offset }
    }

    /// The scale of 4-bit block `block`.
    #[inline]
    pub fn get(&self, block: usize) -> f32 {
        match self {
            Self::Plain(absmax) => absmax[block],
            Self::Double { codes, absmax, offset } => {
                dynamic_map()[usize::from(codes[block])] * absmax[block / DYNAMIC_BLOCK] + offset
            }
        }
    }

    /// Number of 4-bit blocks.
    pub fn len(&self) -> usize {
        match self {
            Self::Plain(absmax) => absmax.len(),
            Self::Double { codes, .. } => codes.len(),
        }
    }

    /// Whether there is no block at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held.
    pub fn size_in_bytes(&self) -> usize {
        match self {
            Self::Plain(absmax) => absmax.len() * 4,
            Self::Double { codes, absmax, .. } => codes.len() + absmax.len() * 4 + 4,
        }
    }
}

//! A linear layer with a low-rank adapter (Hu et al. 2021, arXiv:2106.09685), as one op.

use candle_core::{Result, Tensor};

use super::{Weight, linear};

/// The adapter of one linear layer: `ΔW = scale · B A`.
#[derive(Clone, Copy, Debug)]
pub struct Lora<'a> {
    /// `A [r, in]`.
    pub a: &'a Tensor,
    /// `B [out, r]`.
    pub b: &'a Tensor,
    /// `lora_alpha / r`.
    pub scale: f32,
    /// Dropout of the adapter's input, in training.
    pub dropout: Option<Dropout>,
}

/// Inverted dropout whose mask is a pure function of `seed` and the element's index, so that nothing is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability of zeroing an element, in `[0, 1)`.
    pub p: f32,
    /// The key of the mask; use another one for every layer and step.
    pub seed: u64,
}

impl Dropout {
    /// The factor of element `index`: 0 or `1 / (1 - p)`.
    #[inline]
    pub fn factor(self, index: u64) -> f32 {
        // SplitMix64's output function over a Weyl sequence (Steele, Lea and Flood 2014).
        let mut z = self.seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let uniform = (z >> 40) as f32 * (1.0 / (1u32 << 24) as f32);
        if uniform < self.p { 0.0 } else { 1.0 / (1.0 - self.p) }
    }
}

/// `y = x wᵀ + bias + scale · (dropout(x) aᵀ) bᵀ` for `x [T, in]`.
///
/// The backward pass gives the gradients of `x`, `a` and `b`; the base weight is frozen, whatever its type.
pub fn lora_linear(x: &Tensor, weight: &Weight, bias: Option<&Tensor>, lora: &Lora) -> Result<Tensor> {
    let base = match weight {
        Weight::Dense(w) => linear(x, &Weight::Dense(w.detach()), bias)?,
        other => linear(x, other, bias)?,
    };
    let input = match lora.dropout {
        Some(dropout) if dropout.p > 0.0 => {
            let mask: Vec<f32> = (0..x.elem_count() as u64).map(|i| dropout.factor(i)).collect();
            (x * Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?)?
        }
        _ => x.clone(),
    };
    let low = linear(&input, &Weight::Dense(lora.a.clone()), None)?;
    let delta = linear(&low, &Weight::Dense(lora.b.clone()), None)?;
    base + (delta * f64::from(lora.scale))?
}

//! Rotary position embedding (Su et al. 2021, arXiv:2104.09864), with Hugging Face's half-rotation.

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor};

use super::{
    autograd::{Grads, Input, Op, View, apply, fused},
    composed,
    scratch::filled,
    slices,
};

/// Cosines and sines of every position, made once per model from its inverse frequencies (where scalings live).
#[derive(Clone, Debug)]
pub struct Rope {
    half: usize,
    positions: usize,
    /// `[positions, half]`
    cos: Arc<[f32]>,
    /// `[positions, half]`
    sin: Arc<[f32]>,
}

impl Rope {
    /// A table for `0..positions`, from the inverse frequencies of a head's first half. `attention_factor` multiplies
    /// both tables (YaRN; 1 otherwise).
    pub fn new(inv_freq: &[f32], positions: usize, attention_factor: f32) -> Self {
        let angles = (0..positions).flat_map(|p| inv_freq.iter().map(move |f| p as f32 * f));
        let (sin, cos): (Vec<f32>, Vec<f32>) =
            angles.map(|angle| (angle.sin() * attention_factor, angle.cos() * attention_factor)).unzip();
        Self { half: inv_freq.len(), positions, cos: cos.into(), sin: sin.into() }
    }

    /// Half of the head dimension.
    pub fn half(&self) -> usize {
        self.half
    }

    /// Number of positions in the table.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Cosines and sines of one position, `half` of each.
    pub fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let range = position * self.half..(position + 1) * self.half;
        (&self.cos[range.clone()], &self.sin[range])
    }
}

/// Rotates every head of `x [T, heads * head_dim]` by its row's position.
pub fn rope(x: &Tensor, table: &Rope, positions: &[u32]) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    if rows != positions.len() || !width.is_multiple_of(2 * table.half) {
        candle_core::bail!(
            "rope of {rows} x {width} with {} positions and heads of {}",
            positions.len(),
            2 * table.half
        );
    }
    if let Some(position) = positions.iter().find(|&&p| p as usize >= table.positions) {
        candle_core::bail!("position {position} is beyond the rotary table's {}", table.positions);
    }
    if fused(&[x]) {
        return apply(Rotation { table: table.clone(), positions: positions.into() }, [x]);
    }
    let rows = |pick: fn(&Rope, usize) -> &[f32]| {
        let data: Vec<f32> = positions.iter().flat_map(|&p| pick(table, p as usize)).copied().collect();
        Tensor::from_vec(data, (positions.len(), table.half), x.device())
    };
    composed::rope(x, &rows(|t, p| t.at(p).0)?, &rows(|t, p| t.at(p).1)?)
}

struct Rotation {
    table: Rope,
    positions: Box<[u32]>,
}

impl Rotation {
    fn rotated(&self, x: &[f32], sign: f32) -> Vec<f32> {
        filled(x.len(), |out| {
            let width = x.len() / self.positions.len().max(1);
            slices::rotate_rows_into(x, out, width, &self.table, &self.positions, sign);
        })
    }
}

impl Op for Rotation {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn forward(&self, inputs: &[Input]) -> Result<(Vec<f32>, Shape)> {
        Ok((self.rotated(inputs[0].data, 1.0), inputs[0].dims.into()))
    }

    fn backward(&self, _inputs: &[Tensor], _result: &Tensor, grad: &Tensor) -> Result<Grads> {
        // A rotation's transpose turns back (and keeps the attention factor).
        let dx = self.rotated(&View::of(grad)?, -1.0);
        Ok([Some(Tensor::from_vec(dx, grad.shape(), grad.device())?), None, None])
    }
}

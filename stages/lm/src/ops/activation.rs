//! Activations of the feed-forward layers, and the residual sum.

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::{
    autograd::{Grads, Input, Op, View, apply, fused},
    composed,
    math::{sigmoid, simd},
    scratch::filled,
    slices,
};

/// Which GELU: exact, or the tanh approximation (Hendrycks and Gimpel 2016, arXiv:1606.08415).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gelu {
    /// `x Φ(x)` with the error function.
    Erf,
    /// The tanh approximation.
    Tanh,
}

/// `silu(gate) * up`, elementwise.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    same_shape("swiglu", gate, up)?;
    if fused(&[gate, up]) { apply(Swiglu, [gate, up]) } else { composed::swiglu(gate, up) }
}

/// `gelu(x)`, elementwise.
pub fn gelu(x: &Tensor, kind: Gelu) -> Result<Tensor> {
    match kind {
        _ if fused(&[x]) => apply(GeluOp(kind), [x]),
        Gelu::Erf => x.gelu_erf(),
        Gelu::Tanh => x.gelu(),
    }
}

/// `a + b` of equal shapes (a residual sum).
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    same_shape("add", a, b)?;
    if fused(&[a, b]) { apply(Add, [a, b]) } else { a + b }
}

fn same_shape(op: &'static str, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dims() != b.dims() {
        candle_core::bail!("{op} of shapes {:?} and {:?}", a.dims(), b.dims());
    }
    Ok(())
}

struct Add;

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn forward(&self, inputs: &[Input]) -> Result<(Vec<f32>, Shape)> {
        let out = filled(inputs[0].data.len(), |out| slices::sum(inputs[0].data, inputs[1].data, out));
        Ok((out, inputs[0].dims.into()))
    }

    fn backward(&self, _inputs: &[Tensor], _result: &Tensor, grad: &Tensor) -> Result<Grads> {
        Ok([Some(grad.clone()), Some(grad.clone()), None])
    }
}

struct Swiglu;

impl Op for Swiglu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn forward(&self, inputs: &[Input]) -> Result<(Vec<f32>, Shape)> {
        let out = filled(inputs[0].data.len(), |out| slices::swiglu_into(inputs[0].data, inputs[1].data, out));
        Ok((out, inputs[0].dims.into()))
    }

    fn backward(&self, inputs: &[Tensor], _result: &Tensor, grad: &Tensor) -> Result<Grads> {
        const TASK: usize = 1 << 13;
        let (gate, up, dy) = (View::of(&inputs[0])?, View::of(&inputs[1])?, View::of(grad)?);
        let mut d_up = Vec::new();
        let d_gate = filled(gate.len(), |d_gate| {
            d_up = filled(gate.len(), |d_up| {
                let inputs = gate.par_chunks(TASK).zip(up.par_chunks(TASK)).zip(dy.par_chunks(TASK));
                let outputs = d_gate.par_chunks_mut(TASK).zip(d_up.par_chunks_mut(TASK));
                inputs.zip(outputs).for_each(|(((gate, up), dy), (d_gate, d_up))| {
                    swiglu_backward(gate, up, dy, d_gate, d_up);
                });
            });
        });
        let tensor = |data| Tensor::from_vec(data, grad.shape(), grad.device());
        Ok([Some(tensor(d_gate)?), Some(tensor(d_up)?), None])
    }
}

simd! {
    fn swiglu_backward(gate: &[f32], up: &[f32], dy: &[f32], d_gate: &mut [f32], d_up: &mut [f32]) {
        for i in 0..gate.len().min(up.len()).min(dy.len()).min(d_gate.len()).min(d_up.len()) {
            let s = sigmoid::<FMA>(gate[i]);
            d_up[i] = dy[i] * gate[i] * s;
            d_gate[i] = dy[i] * up[i] * s * (1.0 + gate[i] * (1.0 - s));
        }
    }
}

struct GeluOp(Gelu);

impl GeluOp {
    /// The function's value and derivative at `x`.
    fn at(&self, x: f32) -> (f32, f32) {
        use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, SQRT_2};
        let x = f64::from(x);
        let (value, slope) = match self.0 {
            Gelu::Erf => {
                let phi = 0.5 * (1.0 + candle_core::cpu::erf::erf_f64(x * FRAC_1_SQRT_2));
                let density = 0.5 * FRAC_1_SQRT_2 * FRAC_2_SQRT_PI * (-0.5 * x * x).exp();
                (x * phi, phi + x * density)
            }
            Gelu::Tanh => {
                // sqrt(2/π) (x + 0.044715 x³)
                let factor = FRAC_2_SQRT_PI / SQRT_2;
                let t = (factor * (x + 0.044_715 * x * x * x)).tanh();
                let inner = factor * (1.0 + 3.0 * 0.044_715 * x * x);
                (0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner)
            }
        };
        (value as f32, slope as f32)
    }
}

impl Op for GeluOp {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn forward(&self, inputs: &[Input]) -> Result<(Vec<f32>, Shape)> {
        let out = inputs[0].data.par_iter().with_min_len(1 << 10).map(|&x| self.at(x).0).collect();
        Ok((out, inputs[0].dims.into()))
    }

    fn backward(&self, inputs: &[Tensor], _result: &Tensor, grad: &Tensor) -> Result<Grads> {
        let (x, dy) = (View::of(&inputs[0])?, View::of(grad)?);
        let dx: Vec<f32> = x.par_iter().zip(&dy[..]).with_min_len(1 << 10).map(|(&x, dy)| dy * self.at(x).1).collect();
        Ok([Some(Tensor::from_vec(dx, grad.shape(), grad.device())?), None, None])
    }
}

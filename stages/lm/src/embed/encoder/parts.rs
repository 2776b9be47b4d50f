//! What layers are made of: linear maps, norms, tables of vectors.

use candle_core::{DType, Result};
use candle_nn::VarBuilder;

use crate::ops::{
    Crew,
    gemm::{Lhs, PackedWeight, Product, Rhs, Store},
    slices,
};

/// A tensor's elements in f32.
pub(super) fn floats(weights: &VarBuilder, shape: &[usize], name: &str) -> Result<Vec<f32>> {
    weights.get(shape, name)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// `x wᵀ + b`.
pub(in super::super) struct Linear {
    weight: PackedWeight,
    bias: Option<Vec<f32>>,
    inner: usize,
    outer: usize,
}

impl Linear {
    /// Several linear maps of one input, side by side.
    pub(crate) fn joined(
        weights: &VarBuilder,
        (inner, outer): (usize, usize),
        names: &[&str],
        bias: bool,
    ) -> Result<Self> {
        let (mut weight, mut biases) = (Vec::new(), Vec::new());
        for name in names {
            weight.extend(floats(weights, &[outer, inner], &format!("{name}.weight"))?);
            if bias {
                biases.extend(floats(weights, &[outer], &format!("{name}.bias"))?);
            }
        }
        let outer = outer * names.len();
        Ok(Self { weight: PackedWeight::pack(&weight, outer, inner), bias: bias.then_some(biases), inner, outer })
    }

    pub(crate) fn load(weights: &VarBuilder, shape: (usize, usize), name: &str, bias: bool) -> Result<Self> {
        Self::joined(weights, shape, &[name], bias)
    }

    /// `out = x wᵀ + b`.
    pub(crate) fn forward(&self, crew: Crew, x: &[f32], out: &mut [f32]) {
        let store = match &self.bias {
            None => Store::Overwrite,
            Some(bias) => {
                out.chunks_exact_mut(self.outer).for_each(|row| row.copy_from_slice(bias));
                Store::Add
            }
        };
        self.product(crew, x, store, out);
    }

    /// `to += x wᵀ + b`.
    pub(crate) fn add_to(&self, crew: Crew, x: &[f32], to: &mut [f32]) {
        if let Some(bias) = &self.bias {
            to.chunks_exact_mut(self.outer).for_each(|row| super::add(row, bias));
        }
        self.product(crew, x, Store::Add, to);
    }

    fn product(&self, crew: Crew, x: &[f32], store: Store, out: &mut [f32]) {
        let (m, n, k) = (x.len() / self.inner, self.outer, self.inner);
        Product { m, n, k, a: Lhs::Rows(x), b: Rhs::Packed(&self.weight), store }.by(crew, out);
    }
}

/// A layer norm.
pub(in super::super) struct Norm {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    eps: f32,
}

impl Norm {
    pub(crate) fn load(weights: &VarBuilder, dim: usize, name: &str, eps: f64, bias: bool) -> Result<Self> {
        let weights = weights.pp(name);
        let bias = bias.then(|| floats(&weights, &[dim], "bias")).transpose()?;
        Ok(Self { weight: floats(&weights, &[dim], "weight")?, bias, eps: eps as f32 })
    }

    pub(crate) fn forward(&self, crew: Crew, x: &[f32], out: &mut [f32]) {
        slices::layer_norm(crew, x, &self.weight, self.bias.as_deref(), self.eps, out);
    }

    /// `x = norm(x)`; what `spare` holds is lost.
    pub(crate) fn in_place(&self, crew: Crew, x: &mut Vec<f32>, spare: &mut Vec<f32>) {
        spare.resize(x.len(), 0.0);
        self.forward(crew, x, spare);
        std::mem::swap(x, spare);
    }
}

/// A vector for each of some numbers.
pub(super) struct Table {
    rows: Vec<f32>,
    dim: usize,
}

impl Table {
    pub(crate) fn load(weights: &VarBuilder, (rows, dim): (usize, usize), name: &str) -> Result<Self> {
        Ok(Self { rows: floats(weights, &[rows, dim], &format!("{name}.weight"))?, dim })
    }

    pub(crate) fn row(&self, at: usize, what: &str) -> Result<&[f32]> {
        match self.rows.chunks_exact(self.dim).nth(at) {
            Some(row) => Ok(row),
            None => candle_core::bail!("{at} is beyond the {what} of {} rows", self.rows.len() / self.dim.max(1)),
        }
    }
}

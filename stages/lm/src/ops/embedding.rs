//! Token embedding.

use candle_core::{Device, Result, Shape, Tensor};

use super::{
    Weight, WeightTile,
    autograd::{Grads, Input, Op, View, apply, fused},
    scratch::filled,
};

/// Rows `ids` of `table [V, d]`, giving `[T, d]`. Of a dense table the backward pass adds rows in the order of `ids`;
/// others are frozen.
pub fn embedding(table: &Weight, ids: &[u32]) -> Result<Tensor> {
    let (rows, _) = table.shape()?;
    if let Some(id) = ids.iter().find(|&&id| id as usize >= rows) {
        candle_core::bail!("token id {id} is beyond the embedding's {rows} rows");
    }
    let table = match table {
        Weight::Dense(table) => table,
        Weight::Tiles(table) => return frozen(&**table, ids),
        Weight::Packed(table) => return frozen(&**table, ids),
    };
    if fused(&[table]) {
        return apply(Embedding(ids.into()), [table]);
    }
    table.index_select(&Tensor::new(ids, table.device())?, 0)
}

fn frozen(table: &dyn WeightTile, ids: &[u32]) -> Result<Tensor> {
    let d = table.in_features();
    let mut out = vec![0.0; ids.len() * d];
    for (&id, out) in ids.iter().zip(out.chunks_exact_mut(d)) {
        table.read_rows(id as usize..id as usize + 1, out);
    }
    Tensor::from_vec(out, (ids.len(), d), &Device::Cpu)
}

struct Embedding(Box<[u32]>);

impl Op for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn forward(&self, inputs: &[Input]) -> Result<(Vec<f32>, Shape)> {
        let d = inputs[0].dims[1];
        let out = filled(self.0.len() * d, |out| {
            for (&id, out) in self.0.iter().zip(out.chunks_exact_mut(d)) {
                out.copy_from_slice(&inputs[0].data[id as usize * d..][..d]);
            }
        });
        Ok((out, (self.0.len(), d).into()))
    }

    fn backward(&self, inputs: &[Tensor], _result: &Tensor, grad: &Tensor) -> Result<Grads> {
        let (rows, d) = inputs[0].dims2()?;
        let dy = View::of(grad)?;
        let table = filled(rows * d, |table| {
            table.fill(0.0);
            for (&id, dy) in self.0.iter().zip(dy.chunks_exact(d)) {
                for (to, from) in table[id as usize * d..][..d].iter_mut().zip(dy) {
                    *to += from;
                }
            }
        });
        Ok([Some(Tensor::from_vec(table, (rows, d), grad.device())?), None, None])
    }
}

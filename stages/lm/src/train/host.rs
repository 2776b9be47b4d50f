//! Slices of tensors. The optimizer's arithmetic is over `f32` slices on the host, whatever the device; on the CPU the
//! slices are the tensors' own memory.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor, Var};
use rayon::prelude::*;
use std::cell::RefCell;

/// Calls `f` with the values of `tensor` in row-major order, in f32.
pub(super) fn with_values<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    {
        let (storage, layout) = tensor.storage_and_layout();
        if let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) = (&*storage, layout.contiguous_offsets()) {
            return Ok(f(&values[start..end]));
        }
    }
    let values = tensor.flatten_all()?.to_dtype(candle_core::DType::F32)?.to_vec1::<f32>()?;
    Ok(f(&values))
}

/// Calls `f` with the values of `var` and keeps what it writes there.
pub(super) fn update(var: &Var, f: impl FnOnce(&mut [f32])) -> Result<()> {
    if var.device().is_cpu() && var.dtype() == candle_core::DType::F32 {
        return var.inplace_op1(&Update(RefCell::new(Some(f))));
    }
    let mut values = with_values(var, <[f32]>::to_vec)?;
    f(&mut values);
    var.set(&Tensor::from_vec(values, var.shape(), var.device())?.to_dtype(var.dtype())?)
}

/// The function to call, taken once.
struct Update<F>(RefCell<Option<F>>);

impl<F: FnOnce(&mut [f32])> InplaceOp1 for Update<F> {
    fn name(&self) -> &'static str {
        "update"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            candle_core::bail!("a trainable parameter is contiguous and f32")
        };
        if let Some(f) = self.0.borrow_mut().take() {
            f(&mut values[start..end]);
        }
        Ok(())
    }
}

/// Elements per parallel piece; fixed, so that sums do not depend on the number of threads.
pub(super) const CHUNK: usize = 1 << 14;

/// `sum += values`.
pub(super) fn add_assign(sum: &mut [f32], values: &[f32]) {
    let pieces = sum.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK));
    pieces.for_each(|(sum, values)| sum.iter_mut().zip(values).for_each(|(s, x)| *s += x));
}

/// `values *= factor`.
pub(super) fn scale(values: &mut [f32], factor: f32) {
    values.par_chunks_mut(CHUNK).for_each(|piece| piece.iter_mut().for_each(|x| *x *= factor));
}

/// Sum of squares in f64, over pieces of fixed size in fixed order.
pub(super) fn sum_of_squares(values: &[f32]) -> f64 {
    let pieces: Vec<f64> = values
        .par_chunks(CHUNK)
        .map(|piece| {
            // Eight independent sums, so that the loop vectorises; their order is fixed.
            let mut sums = [0f64; 8];
            for eight in piece.chunks(8) {
                for (sum, &x) in sums.iter_mut().zip(eight) {
                    *sum += f64::from(x) * f64::from(x);
                }
            }
            sums.iter().sum()
        })
        .collect();
    pieces.iter().sum()
}

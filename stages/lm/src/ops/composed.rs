//! The ops written with candle's own differentiable operations.
//!
//! They run where the fused kernels do not (other devices, other dtypes), and they are what the kernels' values and
//! gradients are tested against. Nothing here is tuned.

use candle_core::{D, DType, Result, Tensor};

use super::attention_spec::{AttentionSpec, sequences};

/// `x wᵀ + bias` for `x [T, in]`, `w [out, in]`.
pub fn linear(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.matmul(&w.to_dtype(x.dtype())?.t()?)?;
    match bias {
        Some(b) => y.broadcast_add(b),
        None => Ok(y),
    }
}

/// Root-mean-square norm over the last dimension, statistics in f32 or wider.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let wide = widen(x)?;
    let scale = (wide.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?.recip()?;
    wide.broadcast_mul(&scale)?.to_dtype(x.dtype())?.broadcast_mul(weight)
}

/// Layer norm over the last dimension, statistics in f32 or wider.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let wide = widen(x)?;
    let centred = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
    let scale = (centred.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?.recip()?;
    let y = centred.broadcast_mul(&scale)?.to_dtype(x.dtype())?.broadcast_mul(weight)?;
    match bias {
        Some(b) => y.broadcast_add(b),
        None => Ok(y),
    }
}

/// Half-rotation of every head of `x [T, heads * 2h]` by `cos`, `sin` `[T, h]`.
pub fn rope(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let (tokens, dim) = x.dims2()?;
    let half = cos.dim(1)?;
    let heads = dim / (2 * half);
    let x = x.reshape((tokens, heads, 2, half))?;
    let (a, b) = (x.narrow(2, 0, 1)?.squeeze(2)?, x.narrow(2, 1, 1)?.squeeze(2)?);
    let cos = cos.to_dtype(x.dtype())?.unsqueeze(1)?;
    let sin = sin.to_dtype(x.dtype())?.unsqueeze(1)?;
    let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
    let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
    Tensor::stack(&[first, second], 2)?.reshape((tokens, dim))
}

/// `silu(gate) * up`.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.silu()? * up
}

/// Sum over rows of `weights[i] * -log softmax(hidden[i] wᵀ)[targets[i]]`, logits in f32 or wider.
pub fn cross_entropy(hidden: &Tensor, head: &Tensor, targets: &[u32], weights: &[f32]) -> Result<Tensor> {
    let device = hidden.device();
    let rows: Vec<u32> = (0..weights.len() as u32).filter(|&i| weights[i as usize] != 0.0).collect();
    if rows.is_empty() {
        return widen(hidden)?.sum_all()? * 0.0;
    }
    let picked: Vec<u32> = rows.iter().map(|&i| targets[i as usize]).collect();
    let factors: Vec<f32> = rows.iter().map(|&i| weights[i as usize]).collect();
    let count = rows.len();
    let hidden = hidden.index_select(&Tensor::from_vec(rows, count, device)?, 0)?;
    let logits = widen(&linear(&hidden, head, None)?)?;
    let max = logits.max_keepdim(D::Minus1)?.detach();
    let shifted = logits.broadcast_sub(&max)?;
    let log_sum = shifted.exp()?.sum(D::Minus1)?.log()?;
    let picked = Tensor::from_vec(picked, (count, 1), device)?;
    let nll = (log_sum - shifted.gather(&picked, 1)?.squeeze(1)?)?;
    let factors = Tensor::from_vec(factors, count, device)?.to_dtype(nll.dtype())?;
    (nll * factors)?.sum_all()
}

/// Attention of each sequence to itself; scores of one sequence and all its heads are held at once.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec, cu_seqlens: &[u32]) -> Result<Tensor> {
    let (heads, kv_heads, dim) = (spec.n_heads, spec.n_kv_heads, spec.head_dim);
    let mut outputs = Vec::new();
    for range in sequences(cu_seqlens).filter(|range| !range.is_empty()) {
        let (start, len) = (range.start, range.len());
        let split = |t: &Tensor, heads: usize| {
            t.narrow(0, start, len)?.reshape((len, heads, dim))?.transpose(0, 1)?.contiguous()
        };
        let repeat = |t: Tensor| {
            let group = heads / kv_heads;
            t.unsqueeze(1)?.expand((kv_heads, group, len, dim))?.reshape((heads, len, dim))
        };
        let (q, k, v) = (split(q, heads)?, repeat(split(k, kv_heads)?)?, repeat(split(v, kv_heads)?)?);
        let scores = (q.matmul(&k.t()?)? * f64::from(spec.scale))?;
        let bias: Vec<f32> =
            (0..heads * len * len).map(|i| spec.score_bias(i / (len * len), i / len % len, i % len)).collect();
        let bias = Tensor::from_vec(bias, (heads, len, len), q.device())?.to_dtype(q.dtype())?;
        let weights = candle_nn::ops::softmax(&(scores + bias)?, D::Minus1)?;
        outputs.push(weights.matmul(&v)?.transpose(0, 1)?.reshape((len, heads * dim))?);
    }
    Tensor::cat(&outputs, 0)
}

fn widen(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::F32 | DType::F64 => Ok(x.clone()),
        _ => x.to_dtype(DType::F32),
    }
}

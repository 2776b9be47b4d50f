//! The inference pass on other devices: the training layers over candle tensors, with keys and values kept per slot.

use candle_core::{DType, Device, Result, Tensor};

use super::{CachedBatch, Decoder, ModelError, Span, error::Context, layer::Pass};
use crate::ops::{AttentionSpec, Rope};

/// Keys and values of one slot in one layer, `[kv_heads, positions, head_dim]`; `None` while empty.
pub(super) type KeysValues = Option<[Tensor; 2]>;

/// Runs the batch through the blocks, appending to `caches` (`[layer][slot]`), and returns the logits of the tokens
/// `wanted`, `[wanted, vocab]` in f32.
pub(super) fn step(
    decoder: &Decoder,
    batch: &CachedBatch,
    wanted: &[usize],
    adapter: Option<usize>,
    rope: Option<&Rope>,
    caches: &mut [Vec<KeysValues>],
) -> std::result::Result<Vec<f32>, ModelError> {
    let positions: Vec<u32> = batch.spans.iter().flat_map(|s| (s.start..s.start + s.len).map(|p| p as u32)).collect();
    let mut x = decoder.embed_tokens(&batch.tokens)?;
    for (i, (layer, slots)) in decoder.layers.iter().zip(caches).enumerate() {
        let pass = Pass { rope, positions: &positions, adapter, dropout_seed: None };
        let mut attend = |q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec| {
            let mut first = 0;
            let rows = batch.spans.iter().map(|span| {
                let part = |t: &Tensor| t.narrow(0, first, span.len);
                let row = attend_row(&part(q)?, &part(k)?, &part(v)?, spec, *span, &mut slots[span.slot]);
                first += span.len;
                row
            });
            Tensor::cat(&rows.collect::<Result<Vec<_>>>()?, 0)
        };
        x = layer.forward(&x, pass, &mut attend).what(|| format!("layer {i}"))?.detach();
    }
    let logits = || {
        let rows: Vec<u32> = wanted.iter().map(|&row| row as u32).collect();
        let rows = Tensor::new(rows, x.device())?;
        x.index_select(&rows, 0)
    };
    let hidden = decoder.normalise(&logits().what(|| "output rows".to_owned())?)?;
    let logits = decoder.logits(&hidden)?;
    let read = || logits.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1();
    read().what(|| "output projection".to_owned())
}

/// Attention of one row's new tokens, `[len, heads * head_dim]`, to its slot and themselves.
fn attend_row(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    spec: &AttentionSpec,
    span: Span,
    slot: &mut KeysValues,
) -> Result<Tensor> {
    let split = |t: &Tensor, heads: usize| t.reshape((span.len, heads, spec.head_dim))?.transpose(0, 1)?.contiguous();
    let (mut keys, mut values) = (split(k, spec.n_kv_heads)?, split(v, spec.n_kv_heads)?);
    if let Some([old_keys, old_values]) = slot.as_ref().filter(|_| span.start > 0) {
        let kept = |t: &Tensor| t.narrow(1, 0, span.start);
        keys = Tensor::cat(&[&kept(old_keys)?, &keys], 1)?;
        values = Tensor::cat(&[&kept(old_values)?, &values], 1)?;
    }
    *slot = Some([keys.clone(), values.clone()]);
    let total = span.start + span.len;
    let group = spec.n_heads / spec.n_kv_heads;
    let repeat = |t: &Tensor| {
        let shape = (spec.n_kv_heads, group, total, spec.head_dim);
        t.unsqueeze(1)?.expand(shape)?.reshape((spec.n_heads, total, spec.head_dim))
    };
    let scores = (split(q, spec.n_heads)?.matmul(&repeat(&keys)?.t()?)? * f64::from(spec.scale))?;
    let bias: Vec<f32> = (0..spec.n_heads * span.len * total)
        .map(|i| spec.score_bias(i / (span.len * total), span.start + i / total % span.len, i % total))
        .collect();
    let bias = Tensor::from_vec(bias, (spec.n_heads, span.len, total), q.device())?;
    let scores = (scores.to_dtype(DType::F32)? + bias)?;
    let weights = candle_nn::ops::softmax(&scores, candle_core::D::Minus1)?.to_dtype(q.dtype())?;
    weights.matmul(&repeat(&values)?)?.transpose(0, 1)?.reshape((span.len, spec.n_heads * spec.head_dim))
}

//! The inference pass on the CPU: packed weights and plain f32 slices, without candle in between.
//!
//! Every row of every step is computed from that row alone and its slot of the cache, in one fixed order, so its bits
//! depend neither on the other rows of the batch, nor on how a prompt is cut into steps, nor on threads.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::{
    CachedBatch, Decoder, Linear, ModelError, Norm,
    error::Context,
    layer::{Layer, Qkv},
    workspace::Workspace,
};
use crate::{
    config::{Activation, NormKind},
    ops::{
        AttentionSpec, Crew, KvCache, QuerySpan, Rope, RoundedRows, Weight, WeightTile, attention_cached,
        gemm::{Lhs, PackedWeight, Product, Rhs, Store},
        slices,
    },
};

/// What all layers of a step share.
#[derive(Clone, Copy)]
pub(super) struct CpuPass<'a> {
    /// Who computes.
    pub crew: Crew<'a>,
    /// Index of the active adapter.
    pub adapter: Option<usize>,
    /// Rotary table; `None` in models with ALiBi.
    pub rope: Option<&'a Rope>,
}

/// A decoder prepared for inference on the CPU.
#[derive(Debug)]
pub(super) struct CpuModel {
    hidden: usize,
    /// `[vocab, hidden]`; a tied head is the same.
    embedding: Frozen,
    layers: Vec<CpuLayer>,
    final_norm: CpuNorm,
    head: CpuLinear,
}

#[derive(Debug)]
struct CpuLayer {
    attn_norm: CpuNorm,
    /// Three projections, or one that holds all three.
    qkv: Vec<CpuLinear>,
    qk_norm: Option<[CpuNorm; 2]>,
    clip: Option<f32>,
    rope: bool,
    spec: AttentionSpec,
    o: CpuLinear,
    mlp_norm: CpuNorm,
    gate: Option<CpuLinear>,
    up: CpuLinear,
    down: CpuLinear,
    activation: Activation,
}

#[derive(Debug)]
struct CpuNorm {
    kind: NormKind,
    weight: Vec<f32>,
    eps: f32,
}

struct CpuLinear {
    weight: Frozen,
    bias: Option<Vec<f32>>,
    /// By adapter index: `A`, and `B` with the scale folded in.
    adapters: Vec<Option<[PackedWeight; 2]>>,
}

#[derive(Clone)]
enum Frozen {
    Packed(Arc<PackedWeight>),
    Tiles(Arc<dyn WeightTile>),
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>, ModelError> {
    let read = || tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1();
    read().what(|| "a weight".to_owned())
}

fn pack(tensor: &Tensor) -> Result<PackedWeight, ModelError> {
    let (rows, columns) = tensor.dims2().what(|| "a matrix".to_owned())?;
    Ok(PackedWeight::pack(&floats(tensor)?, rows, columns))
}

/// What a linear layer, or several, are applied to.
#[derive(Clone, Copy)]
struct Input<'a> {
    /// `[m, in]`
    x: &'a [f32],
    m: usize,
    /// The same, rounded, for the weights that want it.
    rounded: &'a RoundedRows,
}

impl<'a> Input<'a> {
    fn of<'w>(
        crew: Crew,
        x: &'a [f32],
        m: usize,
        weights: impl IntoIterator<Item = &'w Frozen>,
        to: &'a mut RoundedRows,
    ) -> Self {
        if weights.into_iter().any(|weight| weight.tile().rounds()) {
            to.fill(crew, x, m);
        }
        Self { x, m, rounded: to }
    }
}

impl Frozen {
    fn new(weight: &Weight) -> Result<Self, ModelError> {
        Ok(match weight {
            Weight::Dense(tensor) => Self::Packed(Arc::new(pack(tensor)?)),
            Weight::Packed(packed) => Self::Packed(packed.clone()),
            Weight::Tiles(tiles) => Self::Tiles(tiles.clone()),
        })
    }

    fn tile(&self) -> &dyn WeightTile {
        match self {
            Self::Packed(w) => &**w,
            Self::Tiles(w) => &**w,
        }
    }

    /// `out (+)= x wᵀ`
    fn multiply(&self, crew: Crew, input: Input, store: Store, out: &mut [f32]) {
        let Input { x, m, rounded } = input;
        let (b, n, k) = match self {
            Self::Tiles(w) if w.rounds() => return w.multiply_rounded(rounded, crew, store, out),
            Self::Packed(w) => (Rhs::Packed(w), w.out_features(), w.in_features()),
            Self::Tiles(w) => (Rhs::TilesTransposed(w.as_ref()), w.out_features(), w.in_features()),
        };
        Product { m, n, k, a: Lhs::Rows(x), b, store }.by(crew, out);
    }
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frozen[{}, {}]", self.tile().out_features(), self.tile().in_features())
    }
}

impl std::fmt::Debug for CpuLinear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CpuLinear(out {}, {} adapters)", self.out_features(), self.adapters.len())
    }
}

impl CpuLinear {
    fn new(linear: &Linear, adapters: usize) -> Result<Self, ModelError> {
        let adapter = |index| {
            let Some(lora) = linear.adapter(index) else { return Ok(None) };
            let scaled = (&lora.b * f64::from(lora.scale)).what(|| linear.path().to_owned())?;
            Ok(Some([pack(&lora.a)?, pack(&scaled)?]))
        };
        Ok(Self {
            weight: Frozen::new(linear.weight())?,
            bias: linear.bias().map(floats).transpose()?,
            adapters: (0..adapters).map(adapter).collect::<Result<_, ModelError>>()?,
        })
    }

    fn out_features(&self) -> usize {
        self.weight.tile().out_features()
    }

    fn in_features(&self) -> usize {
        self.weight.tile().in_features()
    }

    /// `out (+)= x wᵀ + bias + adapter(x)`, with `low` as scratch.
    fn apply(&self, pass: CpuPass, input: Input, store: Store, low: &mut Vec<f32>, out: &mut [f32]) {
        let (n, Input { x, m, .. }) = (self.out_features(), input);
        self.weight.multiply(pass.crew, input, store, out);
        if let Some(bias) = &self.bias {
            for row in out.chunks_exact_mut(n) {
                row.iter_mut().zip(bias).for_each(|(o, b)| *o += b);
            }
        }
        if let Some([a, b]) = pass.adapter.and_then(|index| self.adapters.get(index)?.as_ref()) {
            let (r, k) = (a.out_features(), a.in_features());
            low.resize(m * r, 0.0);
            let down = Product { m, n: r, k, a: Lhs::Rows(x), b: Rhs::Packed(a), store: Store::Overwrite };
            down.by(pass.crew, low);
            let up = Product { m, n, k: r, a: Lhs::Rows(low), b: Rhs::Packed(b), store: Store::Add };
            up.by(pass.crew, out);
        }
    }
}

impl CpuNorm {
    fn new(norm: &Norm) -> Result<Self, ModelError> {
        Ok(Self { kind: norm.kind, weight: floats(&norm.weight)?, eps: norm.eps as f32 })
    }

    fn apply(&self, crew: Crew, x: &[f32], out: &mut [f32]) {
        match self.kind {
            NormKind::Rms => slices::rms_norm(crew, x, &self.weight, self.eps, out),
            NormKind::Layer => slices::layer_norm(crew, x, &self.weight, None, self.eps, out),
        }
    }
}

impl CpuModel {
    pub(super) fn new(decoder: &Decoder) -> Result<Self, ModelError> {
        let adapters = decoder.adapter_names.len();
        let layers = decoder.layers.iter().map(|layer| CpuLayer::new(layer, adapters)).collect::<Result<_, _>>()?;
        let embedding = Frozen::new(&decoder.embedding)?;
        let head = decoder.head.as_ref().map_or_else(|| Ok(embedding.clone()), Frozen::new)?;
        let head = CpuLinear { weight: head, bias: None, adapters: Vec::new() };
        Ok(Self {
            hidden: decoder.config.hidden_size,
            embedding,
            layers,
            final_norm: CpuNorm::new(&decoder.final_norm)?,
            head,
        })
    }

    /// Multiply-adds of a token's way to its logits, without attention.
    pub(super) fn work_per_token(&self) -> usize {
        let linears = self.layers.iter().flat_map(|l| l.qkv.iter().chain([&l.o, &l.up, &l.down]).chain(&l.gate));
        linears.chain([&self.head]).map(|linear| linear.out_features() * linear.in_features()).sum()
    }

    /// Runs the batch through the blocks, appending to the caches, and writes the logits of the tokens `wanted`
    /// (indices into the batch) to `logits`, `[wanted, vocab]`.
    pub(super) fn step(
        &self,
        pass: CpuPass,
        batch: &CachedBatch,
        wanted: &[usize],
        caches: &mut [KvCache],
        w: &mut Workspace,
        logits: &mut [f32],
    ) {
        let (tokens, d) = (batch.tokens.len(), self.hidden);
        w.spans.clear();
        w.spans.extend(batch.spans.iter().map(|s| QuerySpan { slot: s.slot, start: s.start, len: s.len }));
        w.positions.clear();
        w.positions.extend(batch.spans.iter().flat_map(|s| (s.start..s.start + s.len).map(|p| p as u32)));
        w.x.resize(tokens * d, 0.0);
        for (row, &token) in w.x.chunks_exact_mut(d).zip(&batch.tokens) {
            self.embedding.tile().read_rows(token as usize..token as usize + 1, row);
        }
        w.h.resize(tokens * d, 0.0);
        for (layer, cache) in self.layers.iter().zip(caches) {
            layer.attend(pass, cache, w);
            layer.feed_forward(pass, w);
        }
        let rows = wanted.len();
        w.picked.clear();
        for &row in wanted {
            w.picked.extend_from_slice(&w.x[row * d..][..d]);
        }
        w.h.resize(rows * d, 0.0);
        self.final_norm.apply(pass.crew, &w.picked, &mut w.h);
        let input = Input::of(pass.crew, &w.h, rows, [&self.head.weight], &mut w.rounded);
        self.head.weight.multiply(pass.crew, input, Store::Overwrite, logits);
    }
}

impl CpuLayer {
    fn new(layer: &Layer, adapters: usize) -> Result<Self, ModelError> {
        let linear = |l: &Linear| CpuLinear::new(l, adapters);
        let attn = &layer.attn;
        let qkv = match &attn.qkv {
            Qkv::Split(three) => three.iter().map(linear).collect::<Result<_, _>>()?,
            Qkv::Fused(one) => vec![linear(one)?],
        };
        let qk_norm = match attn.qk_norm.as_deref() {
            Some([q, k]) => Some([CpuNorm::new(q)?, CpuNorm::new(k)?]),
            None => None,
        };
        Ok(Self {
            attn_norm: CpuNorm::new(&layer.attn_norm)?,
            qkv,
            qk_norm,
            clip: attn.clip.map(|c| c as f32),
            rope: attn.rope,
            spec: attn.spec.clone(),
            o: linear(&attn.o)?,
            mlp_norm: CpuNorm::new(&layer.mlp_norm)?,
            gate: layer.mlp.gate.as_ref().map(linear).transpose()?,
            up: linear(&layer.mlp.up)?,
            down: linear(&layer.mlp.down)?,
            activation: layer.mlp.activation,
        })
    }

    /// `x += attention(norm(x))`
    fn attend(&self, pass: CpuPass, cache: &mut KvCache, w: &mut Workspace) {
        let tokens = w.positions.len();
        let (q_width, kv_width) = (self.spec.n_heads * self.spec.head_dim, self.spec.n_kv_heads * self.spec.head_dim);
        self.attn_norm.apply(pass.crew, &w.x, &mut w.h);
        w.q.resize(tokens * q_width, 0.0);
        w.k.resize(tokens * kv_width, 0.0);
        w.v.resize(tokens * kv_width, 0.0);
        let input = Input::of(pass.crew, &w.h, tokens, self.qkv.iter().map(|l| &l.weight), &mut w.rounded);
        if let [q, k, v] = self.qkv.as_slice() {
            for (linear, out) in [(q, &mut w.q), (k, &mut w.k), (v, &mut w.v)] {
                linear.apply(pass, input, Store::Overwrite, &mut w.low, out);
            }
        } else {
            let width = q_width + 2 * kv_width;
            w.wide.resize(tokens * width, 0.0);
            self.qkv[0].apply(pass, input, Store::Overwrite, &mut w.low, &mut w.wide);
            for (t, row) in w.wide.chunks_exact(width).enumerate() {
                let (q, kv) = row.split_at(q_width);
                let (k, v) = kv.split_at(kv_width);
                w.q[t * q_width..][..q_width].copy_from_slice(q);
                w.k[t * kv_width..][..kv_width].copy_from_slice(k);
                w.v[t * kv_width..][..kv_width].copy_from_slice(v);
            }
        }
        if let Some(c) = self.clip {
            for values in [&mut w.q, &mut w.k, &mut w.v] {
                for x in values.iter_mut() {
                    *x = x.clamp(-c, c);
                }
            }
        }
        if let Some([q_norm, k_norm]) = &self.qk_norm {
            for (norm, values) in [(q_norm, &mut w.q), (k_norm, &mut w.k)] {
                w.wide.resize(values.len(), 0.0);
                norm.apply(pass.crew, values, &mut w.wide);
                std::mem::swap(values, &mut w.wide);
            }
        }
        if let Some(table) = pass.rope.filter(|_| self.rope) {
            slices::rope(pass.crew, &mut w.q, q_width, table, &w.positions);
            slices::rope(pass.crew, &mut w.k, kv_width, table, &w.positions);
        }
        cache.append(pass.crew, &w.spans, &w.k, &w.v);
        w.wide.resize(tokens * q_width, 0.0);
        attention_cached(pass.crew, &w.q, &w.spans, cache, &self.spec, &mut w.wide);
        let input = Input::of(pass.crew, &w.wide, tokens, [&self.o.weight], &mut w.rounded);
        self.o.apply(pass, input, Store::Add, &mut w.low, &mut w.x);
    }

    /// `x += mlp(norm(x))`
    fn feed_forward(&self, pass: CpuPass, w: &mut Workspace) {
        let (tokens, width) = (w.positions.len(), self.up.out_features());
        self.mlp_norm.apply(pass.crew, &w.x, &mut w.h);
        w.up.resize(tokens * width, 0.0);
        let both = [Some(&self.up), self.gate.as_ref()].into_iter().flatten().map(|linear| &linear.weight);
        let input = Input::of(pass.crew, &w.h, tokens, both, &mut w.rounded);
        self.up.apply(pass, input, Store::Overwrite, &mut w.low, &mut w.up);
        let hidden = if let Some(gate) = &self.gate {
            w.wide.resize(tokens * width, 0.0);
            gate.apply(pass, input, Store::Overwrite, &mut w.low, &mut w.wide);
            if self.activation == Activation::Silu {
                slices::swiglu(pass.crew, &mut w.wide, &w.up);
            } else {
                activate(&mut w.wide, self.activation);
                w.wide.iter_mut().zip(&w.up).for_each(|(g, u)| *g *= u);
            }
            &w.wide
        } else {
            activate(&mut w.up, self.activation);
            &w.up
        };
        let input = Input::of(pass.crew, hidden, tokens, [&self.down.weight], &mut w.rounded);
        self.down.apply(pass, input, Store::Add, &mut w.low, &mut w.x);
    }
}

fn activate(values: &mut [f32], activation: Activation) {
    let apply: fn(f32) -> f32 = match activation {
        Activation::Silu => |x| x / (1.0 + (-x).exp()),
        Activation::Gelu => |x| 0.5 * x * (1.0 + candle_core::cpu::erf::erf_f32(x * std::f32::consts::FRAC_1_SQRT_2)),
        Activation::GeluTanh => |x| {
            let inner = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        },
        Activation::Relu => |x| x.max(0.0),
    };
    for x in values {
        *x = apply(*x);
    }
}

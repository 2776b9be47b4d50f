//! One block of the decoder: attention and MLP, each behind a norm and with a residual sum.

use candle_core::{Result, Tensor};

use super::Linear;
use crate::{
    config::{Activation, NormKind},
    ops::{self, AttentionSpec, Gelu, Rope},
};

/// A norm over the residual stream or over heads.
#[derive(Debug, Clone)]
pub struct Norm {
    pub(super) kind: NormKind,
    pub(super) weight: Tensor,
    pub(super) eps: f64,
    /// Name of the weight in the checkpoint.
    pub(super) name: String,
}

impl Norm {
    /// Normalises each row of `x [T, d]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self.kind {
            NormKind::Rms => ops::rms_norm(x, &self.weight, self.eps),
            NormKind::Layer => ops::layer_norm(x, &self.weight, None, self.eps),
        }
    }

    /// Normalises each head of `x [T, heads * head_dim]`.
    fn per_head(&self, x: &Tensor) -> Result<Tensor> {
        if self.kind == NormKind::Rms {
            return self.forward(x); // by groups as wide as the weight
        }
        let (tokens, width) = x.dims2()?;
        let head_dim = self.weight.elem_count();
        self.forward(&x.reshape((tokens * width / head_dim, head_dim))?)?.reshape((tokens, width))
    }
}

/// The projections to queries, keys and values: three layers, or one whose output holds all three (MPT).
#[derive(Debug, Clone)]
pub enum Qkv {
    /// `q_proj`, `k_proj`, `v_proj`.
    Split(Box<[Linear; 3]>),
    /// `Wqkv`.
    Fused(Box<Linear>),
}

/// Self-attention.
#[derive(Debug, Clone)]
pub struct Attention {
    pub(super) qkv: Qkv,
    pub(super) o: Linear,
    /// Norms over the heads of q and k (Qwen3).
    pub(super) qk_norm: Option<Box<[Norm; 2]>>,
    pub(super) clip: Option<f64>,
    /// Whether the rotary embedding applies in this layer.
    pub(super) rope: bool,
    pub(super) spec: AttentionSpec,
}

/// The feed-forward part.
#[derive(Debug, Clone)]
pub struct Mlp {
    /// Present in gated MLPs: `down(act(gate(x)) * up(x))`.
    pub(super) gate: Option<Linear>,
    pub(super) up: Linear,
    pub(super) down: Linear,
    pub(super) activation: Activation,
}

/// One decoder block.
#[derive(Debug, Clone)]
pub struct Layer {
    pub(super) attn_norm: Norm,
    pub(super) attn: Attention,
    pub(super) mlp_norm: Norm,
    pub(super) mlp: Mlp,
}

/// What a forward pass through the layers carries along.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    /// Rotary table; `None` in models with ALiBi.
    pub rope: Option<&'a Rope>,
    /// Position of each row of the packed activations.
    pub positions: &'a [u32],
    /// Index of the active adapter.
    pub adapter: Option<usize>,
    /// Seed of this layer's dropout in this step; `None` outside training.
    pub dropout_seed: Option<u64>,
}

/// Attention over q `[T, heads * head_dim]`, k, v `[T, kv_heads * head_dim]`; training and cached inference differ
/// here.
pub(super) type Attend<'a> = &'a mut dyn FnMut(&Tensor, &Tensor, &Tensor, &AttentionSpec) -> Result<Tensor>;

impl Layer {
    /// `x [T, d]` through the block.
    pub(super) fn forward(&self, x: &Tensor, pass: Pass, attend: Attend) -> Result<Tensor> {
        let h = self.attn.forward(&self.attn_norm.forward(x)?, pass, attend)?;
        let x = ops::add(x, &h)?;
        let h = self.mlp.forward(&self.mlp_norm.forward(&x)?, pass)?;
        ops::add(&x, &h)
    }

    /// All linear layers, in the order of computation.
    pub fn linears(&self) -> impl Iterator<Item = &Linear> {
        let qkv = match &self.attn.qkv {
            Qkv::Split(three) => three.as_slice(),
            Qkv::Fused(one) => std::slice::from_ref(one.as_ref()),
        };
        qkv.iter().chain([&self.attn.o]).chain(&self.mlp.gate).chain([&self.mlp.up, &self.mlp.down])
    }

    /// All linear layers, to be changed.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        let qkv = match &mut self.attn.qkv {
            Qkv::Split(three) => three.as_mut_slice(),
            Qkv::Fused(one) => std::slice::from_mut(one.as_mut()),
        };
        qkv.iter_mut().chain([&mut self.attn.o]).chain(&mut self.mlp.gate).chain([&mut self.mlp.up, &mut self.mlp.down])
    }

    /// All norms.
    pub(super) fn norms_mut(&mut self) -> impl Iterator<Item = &mut Norm> {
        let heads = self.attn.qk_norm.iter_mut().flat_map(|pair| pair.iter_mut());
        [&mut self.attn_norm, &mut self.mlp_norm].into_iter().chain(heads)
    }

    /// All norms.
    pub(super) fn norms(&self) -> impl Iterator<Item = &Norm> {
        let heads = self.attn.qk_norm.iter().flat_map(|pair| pair.iter());
        [&self.attn_norm, &self.mlp_norm].into_iter().chain(heads)
    }
}

impl Attention {
    fn forward(&self, x: &Tensor, pass: Pass, attend: Attend) -> Result<Tensor> {
        let [mut q, mut k, mut v] = self.project(x, pass)?;
        if let Some(c) = self.clip {
            (q, k, v) = (q.clamp(-c, c)?, k.clamp(-c, c)?, v.clamp(-c, c)?);
        }
        if let Some([q_norm, k_norm]) = self.qk_norm.as_deref() {
            (q, k) = (q_norm.per_head(&q)?, k_norm.per_head(&k)?);
        }
        if let Some(table) = pass.rope.filter(|_| self.rope) {
            (q, k) = (ops::rope(&q, table, pass.positions)?, ops::rope(&k, table, pass.positions)?);
        }
        let y = attend(&q, &k, &v, &self.spec)?;
        self.o.forward(&y, pass.adapter, pass.dropout_seed)
    }

    fn project(&self, x: &Tensor, pass: Pass) -> Result<[Tensor; 3]> {
        let apply = |linear: &Linear| linear.forward(x, pass.adapter, pass.dropout_seed);
        match &self.qkv {
            Qkv::Split(three) => {
                let [q, k, v] = three.as_ref();
                Ok([apply(q)?, apply(k)?, apply(v)?])
            }
            Qkv::Fused(one) => {
                let y = apply(one)?;
                let (q, kv) = (self.spec.n_heads * self.spec.head_dim, self.spec.n_kv_heads * self.spec.head_dim);
                let part = |start, len| y.narrow(1, start, len)?.contiguous();
                Ok([part(0, q)?, part(q, kv)?, part(q + kv, kv)?])
            }
        }
    }
}

impl Mlp {
    fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let apply = |linear: &Linear, x: &Tensor| linear.forward(x, pass.adapter, pass.dropout_seed);
        let up = apply(&self.up, x)?;
        let hidden = match &self.gate {
            Some(gate) if self.activation == Activation::Silu => ops::swiglu(&apply(gate, x)?, &up)?,
            Some(gate) => (activate(&apply(gate, x)?, self.activation)? * up)?,
            None => activate(&up, self.activation)?,
        };
        apply(&self.down, &hidden)
    }
}

fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Silu => x.silu(),
        Activation::Gelu => ops::gelu(x, Gelu::Erf),
        Activation::GeluTanh => ops::gelu(x, Gelu::Tanh),
        Activation::Relu => x.relu(),
    }
}

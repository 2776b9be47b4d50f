//! A layer: attention and feed-forward, each added to its input, with a norm behind the sum or in front of what is
//! added.

use super::{
    attention::Attention,
    config::Activation,
    parts::{Linear, Norm},
};
use crate::ops::{Crew, Gelu, gelu_in_place, silu_in_place};

/// Where the norms of a layer stand.
pub(super) enum Order {
    /// Behind the sums (BERT).
    Behind { attended: Norm, fed: Norm },
    /// In front of attention and feed-forward (ModernBERT, whose first layer has none in front of attention).
    InFront { attended: Option<Norm>, fed: Norm },
}

/// A layer.
pub(super) struct Layer {
    pub attention: Attention,
    /// Queries, keys and values.
    pub qkv: Linear,
    pub attended: Linear,
    pub up: Linear,
    /// Whether the second half of what `up` gives is multiplied with the activated first half.
    pub gated: bool,
    pub activation: Activation,
    pub down: Linear,
    pub inner: usize,
    pub order: Order,
}

/// Memory that layers use one after the other.
#[derive(Default)]
pub(super) struct Buffers {
    pub out: Vec<f32>,
    qkv: Vec<f32>,
    context: Vec<f32>,
    heads: Vec<f32>,
    up: Vec<f32>,
    gated: Vec<f32>,
}

impl Activation {
    fn in_place(self, crew: Crew, x: &mut [f32]) {
        match self {
            Self::Gelu => gelu_in_place(crew, x, Gelu::Erf),
            Self::GeluNew => gelu_in_place(crew, x, Gelu::Tanh),
            Self::Silu => silu_in_place(crew, x),
            Self::Relu => x.iter_mut().for_each(|x| *x = x.max(0.0)),
        }
    }
}

impl Layer {
    /// `hidden [tokens, dim]` of texts of some lengths, in place.
    pub(crate) fn forward(&self, crew: Crew, lengths: &[usize], hidden: &mut Vec<f32>, buffers: &mut Buffers) {
        match &self.order {
            Order::Behind { attended, fed } => {
                self.attend(crew, lengths, hidden, buffers);
                self.attended.add_to(crew, &buffers.context, hidden);
                attended.in_place(crew, hidden, &mut buffers.out);
                self.feed(crew, hidden, buffers);
                self.add_fed(crew, hidden, buffers);
                fed.in_place(crew, hidden, &mut buffers.out);
            }
            Order::InFront { attended, fed } => {
                let mut normed = std::mem::take(&mut buffers.out);
                normed.resize(hidden.len(), 0.0);
                match attended {
                    Some(norm) => norm.forward(crew, hidden, &mut normed),
                    None => normed.copy_from_slice(hidden),
                }
                self.attend(crew, lengths, &normed, buffers);
                self.attended.add_to(crew, &buffers.context, hidden);
                fed.forward(crew, hidden, &mut normed);
                self.feed(crew, &normed, buffers);
                self.add_fed(crew, hidden, buffers);
                buffers.out = normed;
            }
        }
    }

    /// Attention over `x`, into `buffers.context`.
    fn attend(&self, crew: Crew, lengths: &[usize], x: &[f32], buffers: &mut Buffers) {
        buffers.qkv.resize(3 * x.len(), 0.0);
        buffers.context.resize(x.len(), 0.0);
        self.qkv.forward(crew, x, &mut buffers.qkv);
        let dim = self.attention.heads * self.attention.head_dim;
        let (mut qkv, mut context) = (&buffers.qkv[..], &mut buffers.context[..]);
        for length in lengths {
            let (of_text, rest) = qkv.split_at(3 * dim * length);
            let (out, left) = context.split_at_mut(dim * length);
            self.attention.forward(crew, of_text, &mut buffers.heads, out);
            (qkv, context) = (rest, left);
        }
    }

    /// The activated inner values of `x`, into `buffers.up` or `buffers.gated`.
    fn feed(&self, crew: Crew, x: &[f32], buffers: &mut Buffers) {
        let tokens = x.len() / (self.attention.heads * self.attention.head_dim);
        let width = if self.gated { 2 * self.inner } else { self.inner };
        buffers.up.resize(tokens * width, 0.0);
        self.up.forward(crew, x, &mut buffers.up);
        if !self.gated {
            self.activation.in_place(crew, &mut buffers.up);
            return;
        }
        buffers.gated.resize(tokens * self.inner, 0.0);
        for (row, from) in buffers.gated.chunks_exact_mut(self.inner).zip(buffers.up.chunks_exact(width)) {
            row.copy_from_slice(&from[..self.inner]);
        }
        self.activation.in_place(crew, &mut buffers.gated);
        for (row, from) in buffers.gated.chunks_exact_mut(self.inner).zip(buffers.up.chunks_exact(width)) {
            row.iter_mut().zip(&from[self.inner..]).for_each(|(x, gate)| *x *= gate);
        }
    }

    fn add_fed(&self, crew: Crew, hidden: &mut [f32], buffers: &Buffers) {
        self.down.add_to(crew, if self.gated { &buffers.gated } else { &buffers.up }, hidden);
    }
}

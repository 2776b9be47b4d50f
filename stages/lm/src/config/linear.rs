//! The projections of a decoder layer: what they are called in each family, and their shapes.

use super::{DecoderConfig, Family};

/// A projection of a decoder layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Linear {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// Queries, keys and values in one, stacked in that order (MPT).
    Qkv,
    /// Attention output.
    O,
    /// Gate of the MLP.
    Gate,
    /// Up projection of the MLP.
    Up,
    /// Down projection of the MLP.
    Down,
}

impl Linear {
    /// The projections of a layer, in the order in which they are applied.
    pub fn of(config: &DecoderConfig) -> impl Iterator<Item = Self> {
        config.family.names.linears.iter().map(|(linear, _)| *linear)
    }

    /// The module's name within its layer, such as `self_attn.q_proj`. Its last part is what PEFT's `target_modules`
    /// lists.
    ///
    /// # Panics
    /// Models of this family have no such projection.
    pub fn module(self, family: Family) -> &'static str {
        let named = family.names.linears.iter().find(|(linear, _)| *linear == self);
        named.unwrap_or_else(|| panic!("{family:?} has no projection {self:?}")).1
    }

    /// The module's full name, such as `model.layers.3.self_attn.q_proj`: the stem of PEFT's keys.
    pub fn path(self, family: Family, layer: usize) -> String {
        format!("{}.{layer}.{}", family.names.layers, self.module(family))
    }

    /// `[out, in]` of the weight.
    pub fn shape(self, config: &DecoderConfig) -> [usize; 2] {
        let q = config.num_attention_heads * config.head_dim;
        let kv = config.num_key_value_heads * config.head_dim;
        match self {
            Self::Q => [q, config.hidden_size],
            Self::K | Self::V => [kv, config.hidden_size],
            Self::Qkv => [q + 2 * kv, config.hidden_size],
            Self::O => [config.hidden_size, q],
            Self::Gate | Self::Up => [config.intermediate_size, config.hidden_size],
            Self::Down => [config.hidden_size, config.intermediate_size],
        }
    }

    /// Whether the projection has a bias.
    pub fn has_bias(self, config: &DecoderConfig) -> bool {
        match self {
            Self::Q | Self::K | Self::V | Self::Qkv => config.qkv_bias,
            Self::O => config.o_bias,
            Self::Gate | Self::Up | Self::Down => config.mlp_bias,
        }
    }
}

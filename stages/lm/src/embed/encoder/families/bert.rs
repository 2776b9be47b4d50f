//! BERT (Devlin et al. 2018, arXiv:1810.04805); RoBERTa and XLM-R (Liu et al. 2019, arXiv:1907.11692; Conneau et al.
//! 2019, arXiv:1911.02116), whose positions begin behind the id of the token that fills up.

use serde::Deserialize;

use super::{
    super::{super::read, Config, Counting, attention::Distance, config::Activation},
    Family,
    named::{Names, load},
};

pub(super) const BERT: Family = Family {
    names: &["bert"],
    read: |place| Ok(read::<Raw>(place)?.config(false)),
    load: |weights, config| load(weights, config, &names("bert"), Counting::All, |_| Ok(Distance::Nothing)),
};

pub(super) const ROBERTA: Family = Family {
    names: &["roberta", "xlm-roberta", "camembert"],
    read: |place| Ok(read::<Raw>(place)?.config(true)),
    load: |weights, config| {
        load(weights, config, &names("roberta"), Counting::Behind(config.pad), |_| Ok(Distance::Nothing))
    },
};

const fn names(prefix: &'static str) -> Names {
    Names {
        prefix,
        layers: "encoder.layer",
        qkv: ["attention.self.query", "attention.self.key", "attention.self.value"],
        attended: "attention.output.dense",
        attended_norm: "attention.output.LayerNorm",
        up: "intermediate.dense",
        down: "output.dense",
        down_norm: "output.LayerNorm",
    }
}

#[derive(Deserialize)]
struct Raw {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: Activation,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
    pad_token_id: Option<u32>,
    #[serde(default)]
    #[expect(dead_code, reason = "reading it refuses the kinds of positions that are not computed")]
    position_embedding_type: Positions,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Positions {
    #[default]
    Absolute,
}

impl Raw {
    fn config(self, behind: bool) -> Config {
        let pad = self.pad_token_id.unwrap_or(u32::from(behind));
        let taken = if behind { pad as usize + 1 } else { 0 };
        Config {
            vocabulary: self.vocab_size,
            dim: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            inner: self.intermediate_size,
            activation: self.hidden_act,
            eps: self.layer_norm_eps,
            positions: self.max_position_embeddings,
            segments: self.type_vocab_size,
            pad,
            longest: self.max_position_embeddings.saturating_sub(taken),
            rotary: None,
        }
    }
}

//! What GGUF calls the parameters, and the order of rows in q and k.

use crate::{
    config::Family,
    weights::{LayerParam, Linear, Param},
};

/// The tensor's name; MPT's fused projection has none here.
pub(super) fn name(param: Param) -> String {
    match param {
        Param::Embedding => "token_embd.weight".to_owned(),
        Param::FinalNorm => "output_norm.weight".to_owned(),
        Param::LmHead => "output.weight".to_owned(),
        Param::Layer(layer, param) => {
            let stem = |linear| match linear {
                Linear::Q => "attn_q",
                Linear::K => "attn_k",
                Linear::V => "attn_v",
                Linear::Qkv => "attn_qkv",
                Linear::O => "attn_output",
                Linear::Gate => "ffn_gate",
                Linear::Up => "ffn_up",
                Linear::Down => "ffn_down",
            };
            let tail = match param {
                LayerParam::AttentionNorm => "attn_norm.weight".to_owned(),
                LayerParam::MlpNorm => "ffn_norm.weight".to_owned(),
                LayerParam::QNorm => "attn_q_norm.weight".to_owned(),
                LayerParam::KNorm => "attn_k_norm.weight".to_owned(),
                LayerParam::Weight(linear) => format!("{}.weight", stem(linear)),
                LayerParam::Bias(linear) => format!("{}.bias", stem(linear)),
            };
            format!("blk.{layer}.{tail}")
        }
    }
}

/// Whether the rows of a parameter are interleaved: the architecture `llama` rotates neighbours (`x[2i]` with
/// `x[2i+1]`), Hugging Face halves (`x[i]` with `x[i + d/2]`), so within each head the rows of q and k stand in another
/// order.
pub(super) fn is_interleaved(family: Family, param: Param) -> bool {
    let Param::Layer(_, LayerParam::Weight(linear) | LayerParam::Bias(linear)) = param else { return false };
    family.gguf == Some("llama") && matches!(linear, Linear::Q | Linear::K)
}

/// Where GGUF keeps the row that Hugging Face has at `row`.
pub(super) fn interleaved_row(row: usize, head_dim: usize) -> usize {
    let (head, within) = (row / head_dim, row % head_dim);
    let half = head_dim / 2;
    head * head_dim + 2 * (within % half) + within / half
}

/// The rows of Hugging Face in the order in which GGUF keeps them.
pub(super) fn stored_order(rows: usize, head_dim: usize) -> Vec<u32> {
    let mut order = vec![0; rows];
    for row in 0..rows {
        order[interleaved_row(row, head_dim)] = row as u32;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaving_is_that_of_llama_cpps_converter() {
        // reshape(heads, 2, dim/2).swapaxes(1, 2) of 0..dim: the row at position p is [0, 4, 1, 5, 2, 6, 3, 7][p].
        let order = [0, 4, 1, 5, 2, 6, 3, 7];
        for (position, row) in order.into_iter().enumerate() {
            assert_eq!(interleaved_row(row, 8), position);
            assert_eq!(interleaved_row(8 + row, 8), 8 + position);
        }
    }
}

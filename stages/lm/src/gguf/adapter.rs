//! LoRA adapters as llama.cpp and Ollama read them: what llama.cpp's `convert_lora_to_gguf.py` writes.

use std::path::Path;

use candle_core::{Tensor, quantized::GgmlDType};

use super::{
    GgufError,
    layout::{Planned, write_file},
    meta::Meta,
    names,
};
use crate::{
    adapter::AdapterConfig,
    config::DecoderConfig,
    model::{Adapter, LoraWeights},
    weights::{LayerParam, Linear, Param, WeightsError},
};

/// A matrix of the file, with its values.
type Matrix = Planned<Vec<f32>>;

/// Writes an adapter of a model of configuration `model` as a GGUF file, its matrices in f32: `NAME.lora_a [r, in]` and
/// `NAME.lora_b [out, r]` for each module. The file appears under its name only when it is complete.
///
/// # Errors
/// The architecture has no counterpart in llama.cpp, or the file cannot be written.
pub fn export_gguf_adapter(
    path: &Path,
    model: &DecoderConfig,
    config: &AdapterConfig,
    adapter: &Adapter,
) -> Result<(), GgufError> {
    let architecture = model.family.gguf.ok_or_else(|| {
        GgufError::Unsupported(format!("the architecture {} is not supported", model.family.architecture))
    })?;
    let entries = [
        ("general.type".to_owned(), Meta::Text("adapter".to_owned())),
        ("general.architecture".to_owned(), Meta::Text(architecture.to_owned())),
        ("adapter.type".to_owned(), Meta::Text("lora".to_owned())),
        ("adapter.lora.alpha".to_owned(), Meta::Number(config.lora_alpha as f32)),
    ];
    let mut matrices: Vec<Matrix> = Vec::new();
    for layer in 0..model.num_layers() {
        for linear in Linear::of(model) {
            if let Some(weights) = adapter.modules.get(&linear.path(model.family, layer)) {
                let param = Param::Layer(layer, LayerParam::Weight(linear));
                let pair = pair(model, config, param, weights);
                let error = |source| WeightsError::Tensor { name: names::name(param), source };
                matrices.extend(pair.map_err(error)?);
            }
        }
    }
    write_file(path, &entries, &matrices, |matrix| {
        Ok(matrix.from.iter().flat_map(|value| value.to_le_bytes()).collect())
    })
}

/// A and B of one module. llama.cpp scales all modules by alpha over their rank; what a module is scaled by otherwise
/// (rsLoRA, patterns of alpha) goes into its B.
fn pair(
    model: &DecoderConfig,
    config: &AdapterConfig,
    param: Param,
    weights: &LoraWeights,
) -> candle_core::Result<[Matrix; 2]> {
    let (rank, out) = (weights.a.dim(0)?, weights.b.dim(0)?);
    let factor = f64::from(weights.scale) * rank as f64 / config.lora_alpha;
    let b = if (factor - 1.0).abs() < 1e-6 { weights.b.clone() } else { (&weights.b * factor)? };
    let b = if names::is_interleaved(model.family, param) {
        let order = names::stored_order(out, model.head_dim);
        b.index_select(&Tensor::new(order, b.device())?, 0)?
    } else {
        b
    };
    let matrix = |letter: &str, tensor: &Tensor| -> candle_core::Result<Matrix> {
        Ok(Planned {
            name: format!("{}.lora_{letter}", names::name(param)),
            shape: tensor.dims().to_vec(),
            dtype: GgmlDType::F32,
            from: tensor.flatten_all()?.to_vec1()?,
        })
    };
    Ok([matrix("a", &weights.a)?, matrix("b", &b)?])
}

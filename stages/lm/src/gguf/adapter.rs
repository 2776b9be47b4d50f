//! LoRA adapters as llama.cpp and Ollama read them: what llama.cpp's `convert_lora_to_gguf.py` writes.

use std::{
    io::{BufWriter, Write},
    path::Path,
};

use candle_core::{Tensor, quantized::GgmlDType};

use super::{GgufError, meta::Meta, names, write::Counted};
use crate::{
    adapter::AdapterConfig,
    config::DecoderConfig,
    model::{Adapter, LoraWeights},
    weights::{LayerParam, Linear, Param, WeightsError, temporary_beside},
};

/// A matrix of the file: its name, shape and values.
type Matrix = (String, Vec<usize>, Vec<f32>);

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
    let io = |source| GgufError::Io { action: "write", path: path.to_owned(), source };
    let temporary = temporary_beside(path).map_err(io)?;
    let mut out = Counted::new(BufWriter::new(temporary.as_file()));
    let tensors = matrices.iter().map(|(name, shape, _)| (&**name, &**shape, GgmlDType::F32));
    out.header(&entries, tensors).map_err(io)?;
    for (_, _, values) in &matrices {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        out.bytes(&bytes).and_then(|()| out.pad()).map_err(io)?;
    }
    out.into_inner().flush().map_err(io)?;
    temporary.as_file().sync_all().map_err(io)?;
    temporary.persist(path).map_err(|e| io(e.error))?;
    Ok(())
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
    let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    let name = names::name(param);
    Ok([
        (format!("{name}.lora_a"), weights.a.dims().to_vec(), values(&weights.a)?),
        (format!("{name}.lora_b"), b.dims().to_vec(), values(&b)?),
    ])
}

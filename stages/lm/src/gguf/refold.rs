//! Folding an adapter into a GGUF file, which becomes another one.
//!
//! What the adapter does not change stays as it is, byte for byte: metadata, tokenizer, norms, and the blocks of all
//! other matrices. The changed ones are expanded, `scale * B A` is added in f32 to what the adapter was trained on, and
//! the sum is stored in the type asked for (llama.cpp's `export-lora` does the same, with f16).

use std::{collections::BTreeMap, path::Path};

use candle_core::quantized::gguf_file::Value;

use super::{
    GgufError, GgufType,
    file::GgufModel,
    layout::{Planned, write_file},
    meta::Meta,
    names,
    write::{encoded, file_type, matrix_type},
};
use crate::{
    adapter::folded,
    model::{Adapter, LoraWeights},
    weights::{LayerParam, Linear, Param, WeightsError},
};

/// Writes the GGUF file `base` with `adapter` folded in. The file appears under its name only when it is complete.
///
/// # Errors
/// The file cannot be read or written, or the adapter does not fit.
pub fn export_gguf_again(path: &Path, base: &GgufModel, adapter: &Adapter, stored: GgufType) -> Result<(), GgufError> {
    let config = base.config();
    let layers = 0..config.num_layers();
    let linears = layers.flat_map(|layer| Linear::of(config).map(move |linear| (layer, linear)));
    let changed: BTreeMap<String, (Param, &LoraWeights)> = linears
        .filter_map(|(layer, linear)| {
            let param = Param::Layer(layer, LayerParam::Weight(linear));
            let lora = adapter.modules.get(&linear.path(config.family, layer))?;
            Some((names::name(param), (param, lora)))
        })
        .collect();
    let tensors: Vec<_> = base
        .tensors()
        .map(|(name, info)| {
            let (shape, from) = (info.shape.dims().to_vec(), changed.get(name));
            let dtype = if from.is_some() { matrix_type(stored, &shape) } else { info.ggml_dtype };
            Planned { name: name.clone(), shape, dtype, from }
        })
        .collect();
    write_file(path, &entries(base, stored), &tensors, |tensor| match tensor.from {
        Some((param, lora)) => {
            let error = |source| WeightsError::Tensor { name: tensor.name.clone(), source };
            let sum = folded(base.load(*param)?, lora).map_err(error)?;
            Ok(encoded(&sum, config, *param, tensor.dtype).map_err(error)?)
        }
        None => Ok(base.bytes(&tensor.name)?),
    })
}

/// The metadata of the base, in a fixed order, the architecture first.
fn entries(base: &GgufModel, stored: GgufType) -> Vec<(String, Meta)> {
    const FILE_TYPE: &str = "general.file_type";
    let pairs = base.pairs();
    // Files are written with the usual alignment, whatever this one has.
    let mut keys: Vec<&String> = pairs.keys().filter(|key| *key != "general.alignment").collect();
    keys.sort_by_key(|key| (*key != "general.architecture", *key));
    let entry = |key: &String| match pairs[key] {
        // Most of its matrices are of another type now.
        Value::U32(_) if key == FILE_TYPE => (key.clone(), Meta::Count(file_type(stored))),
        ref value => (key.clone(), Meta::Stored(value.clone())),
    };
    keys.into_iter().map(entry).collect()
}

//! Folding an adapter into a GGUF file, which becomes another one.
//!
//! What the adapter does not change stays as it is, byte for byte: metadata, tokenizer, norms, and the blocks of all
//! other matrices. The changed ones are expanded, `scale * B A` is added in f32 to what the adapter was trained on, and
//! the sum is stored in the type asked for (llama.cpp's `export-lora` does the same, with f16).

use std::{
    io::{BufWriter, Write},
    path::Path,
};

use candle_core::quantized::gguf_file::Value;

use super::{
    GgufError, GgufType,
    file::GgufModel,
    meta::Meta,
    names,
    write::{Counted, encoded, file_type, matrix_type},
};
use crate::{
    adapter::folded,
    model::{Adapter, LoraWeights},
    weights::{LayerParam, Linear, Param, WeightsError, temporary_beside},
};

/// Writes the GGUF file `base` with `adapter` folded in. The file appears under its name only when it is complete.
///
/// # Errors
/// The file cannot be read or written, or the adapter does not fit.
pub fn export_gguf_again(path: &Path, base: &GgufModel, adapter: &Adapter, stored: GgufType) -> Result<(), GgufError> {
    let config = base.config();
    let changed = |name: &str| -> Option<(Param, &LoraWeights)> {
        (0..config.num_layers()).flat_map(|layer| Linear::of(config).map(move |linear| (layer, linear))).find_map(
            |(layer, linear)| {
                let param = Param::Layer(layer, LayerParam::Weight(linear));
                if names::name(param) != name {
                    return None;
                }
                adapter.modules.get(&linear.path(config.family, layer)).map(|lora| (param, lora))
            },
        )
    };
    let tensors: Vec<_> = base
        .tensors()
        .map(|(name, info)| {
            let (shape, changed) = (info.shape.dims().to_vec(), changed(name));
            let dtype = if changed.is_some() { matrix_type(stored, &shape) } else { info.ggml_dtype };
            (name.clone(), shape, dtype, changed)
        })
        .collect();
    let io = |source| GgufError::Io { action: "write", path: path.to_owned(), source };
    let temporary = temporary_beside(path).map_err(io)?;
    let mut out = Counted::new(BufWriter::new(temporary.as_file()));
    let headed = tensors.iter().map(|(name, shape, dtype, _)| (&**name, &**shape, *dtype));
    out.header(&entries(base, stored), headed).map_err(io)?;
    for (name, _, dtype, changed) in &tensors {
        let bytes = match changed {
            Some((param, lora)) => {
                let error = |source| WeightsError::Tensor { name: name.clone(), source };
                let sum = folded(base.load(*param)?, lora).map_err(error)?;
                encoded(&sum, config, *param, *dtype).map_err(error)?
            }
            None => base.bytes(name)?,
        };
        out.bytes(&bytes).and_then(|()| out.pad()).map_err(io)?;
    }
    out.into_inner().flush().map_err(io)?;
    temporary.as_file().sync_all().map_err(io)?;
    temporary.persist(path).map_err(|e| io(e.error))?;
    Ok(())
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

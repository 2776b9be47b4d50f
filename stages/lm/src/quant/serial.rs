//! The keys under which bitsandbytes stores a 4-bit weight, so that checkpoints can be exchanged.
//!
//! For a module's `weight`: `weight` (packed codes, `[n/2, 1]`), `weight.absmax`, `weight.quant_map`,
//! `weight.nested_absmax`, `weight.nested_quant_map`, and `weight.quant_state.bitsandbytes__nf4`, a JSON object as bytes.

use super::{BLOCK, CODEBOOK, DYNAMIC_BLOCK, Nf4Tensor, QuantError, Scales, dynamic_map};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A part of a serialised weight.
#[derive(Debug, Clone, PartialEq)]
pub enum SerializedTensor {
    /// Bytes with a shape.
    U8(Vec<u8>, Vec<usize>),
    /// Floats, one-dimensional.
    F32(Vec<f32>),
}

#[derive(Serialize, Deserialize)]
struct QuantState {
    quant_type: String,
    blocksize: usize,
    dtype: String,
    shape: [usize; 2],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nested_blocksize: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nested_dtype: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nested_offset: Option<f64>,
}

const STATE: &str = "quant_state.bitsandbytes__nf4";

impl Nf4Tensor {
    /// The parts of the weight called `name`. `dtype` (for example `float16`) is what readers should dequantise to.
    pub fn to_parts(&self, name: &str, dtype: &str) -> BTreeMap<String, SerializedTensor> {
        let mut parts = BTreeMap::new();
        let mut put = |suffix: &str, part| {
            let key = if suffix.is_empty() { name.to_owned() } else { format!("{name}.{suffix}") };
            parts.insert(key, part);
        };
        let mut state = QuantState {
            quant_type: "nf4".to_owned(),
            blocksize: BLOCK,
            dtype: dtype.to_owned(),
            shape: self.shape(),
            nested_blocksize: None,
            nested_dtype: None,
            nested_offset: None,
        };
        match self.scales() {
            Scales::Plain(absmax) => put("absmax", SerializedTensor::F32(absmax.clone())),
            Scales::Double { codes, absmax, offset } => {
                state.nested_blocksize = Some(DYNAMIC_BLOCK);
                state.nested_dtype = Some("float32".to_owned());
                state.nested_offset = Some(f64::from(*offset));
                put("absmax", SerializedTensor::U8(codes.clone(), vec![codes.len()]));
                put("nested_absmax", SerializedTensor::F32(absmax.clone()));
                put("nested_quant_map", SerializedTensor::F32(dynamic_map().to_vec()));
            }
        }
        put("", SerializedTensor::U8(self.packed().to_vec(), vec![self.packed().len(), 1]));
        put("quant_map", SerializedTensor::F32(CODEBOOK.to_vec()));
        let json = serde_json::to_vec(&state).expect("plain data");
        put(STATE, SerializedTensor::U8(json.clone(), vec![json.len()]));
        parts
    }

    /// Reads the parts of the weight called `name`.
    pub fn from_named_parts(name: &str, parts: &BTreeMap<String, SerializedTensor>) -> Result<Self, QuantError> {
        let malformed = |reason: String| QuantError::Malformed { name: name.to_owned(), reason };
        let get = |key: String| {
            parts.get(&key).ok_or_else(|| QuantError::MissingPart { name: name.to_owned(), part: key.clone() })
        };
        let bytes = |key: String| match get(key.clone())? {
            SerializedTensor::U8(bytes, _) => Ok(bytes),
            SerializedTensor::F32(_) => Err(malformed(format!("`{key}` holds floats instead of bytes"))),
        };
        let floats = |key: String| match get(key.clone())? {
            SerializedTensor::F32(floats) => Ok(floats),
            SerializedTensor::U8(..) => Err(malformed(format!("`{key}` holds bytes instead of floats"))),
        };
        let state: QuantState = serde_json::from_slice(bytes(format!("{name}.{STATE}"))?)
            .map_err(|e| malformed(format!("its quant_state is not understood: {e}")))?;
        if state.quant_type != "nf4" || state.blocksize != BLOCK {
            return Err(malformed(format!(
                "it is {} in blocks of {}; only nf4 in blocks of {BLOCK} is supported",
                state.quant_type, state.blocksize
            )));
        }
        if floats(format!("{name}.quant_map"))?.as_slice() != CODEBOOK {
            return Err(malformed("its code book is not NF4's".to_owned()));
        }
        let n = state.shape[0] * state.shape[1];
        let packed = bytes(name.to_owned())?.clone();
        let scales = match state.nested_offset {
            None => Scales::Plain(floats(format!("{name}.absmax"))?.clone()),
            Some(offset) => {
                if state.nested_blocksize != Some(DYNAMIC_BLOCK)
                    || floats(format!("{name}.nested_quant_map"))?.as_slice() != dynamic_map()
                {
                    return Err(malformed(format!("its scales are not in dynamic 8-bit blocks of {DYNAMIC_BLOCK}")));
                }
                let codes = bytes(format!("{name}.absmax"))?.clone();
                let absmax = floats(format!("{name}.nested_absmax"))?.clone();
                if absmax.len() != codes.len().div_ceil(DYNAMIC_BLOCK) {
                    return Err(malformed(format!("{} codes have {} nested scales", codes.len(), absmax.len())));
                }
                Scales::Double { codes, absmax, offset: offset as f32 }
            }
        };
        if packed.len() != n.div_ceil(2) || scales.len() != n.div_ceil(BLOCK) {
            return Err(malformed(format!(
                "{} bytes and {} scales do not make a weight of shape {:?}",
                packed.len(),
                scales.len(),
                state.shape
            )));
        }
        Ok(Self::from_parts(state.shape, packed, scales))
    }
}

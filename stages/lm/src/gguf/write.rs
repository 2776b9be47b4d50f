//! Writing GGUF version 3, one tensor in memory at a time.
//!
//! Layout: magic, version, counts; the metadata; name, shape (fastest dimension first), type and offset of each tensor;
//! then, aligned to 32 bytes, the tensors, each aligned again.

use std::{
    io::{BufWriter, Write},
    path::Path,
};

use candle_core::{
    Tensor,
    quantized::{GgmlDType, QTensor, gguf_file::Value},
};

use super::{GgufError, config::yarn_attention, meta::Meta, names, tokenizer_write};
use crate::{
    adapter::Merged,
    config::{Activation, DecoderConfig, Position, RopeScaling},
    tokenizer::Tokenizer,
    weights::{Param, WeightsError, temporary_beside},
};

/// How the matrices of an export are stored. Norms and biases are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GgufType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 8-bit integers in blocks of 32 with an f16 scale; matrices whose rows are not a multiple of 32 are stored as
    /// f16.
    Q8_0,
}

const ALIGNMENT: usize = 32;

/// llama.cpp's number of a type of tensors.
fn type_code(dtype: GgmlDType) -> u32 {
    match dtype {
        GgmlDType::F32 => 0,
        GgmlDType::F16 => 1,
        GgmlDType::Q4_0 => 2,
        GgmlDType::Q4_1 => 3,
        GgmlDType::Q5_0 => 6,
        GgmlDType::Q5_1 => 7,
        GgmlDType::Q8_0 => 8,
        GgmlDType::Q8_1 => 9,
        GgmlDType::Q2K => 10,
        GgmlDType::Q3K => 11,
        GgmlDType::Q4K => 12,
        GgmlDType::Q5K => 13,
        GgmlDType::Q6K => 14,
        GgmlDType::Q8K => 15,
        GgmlDType::BF16 => 30,
    }
}

/// llama.cpp's number of a type of files: all f32, mostly f16, mostly Q8_0.
pub(super) fn file_type(stored: GgufType) -> u32 {
    match stored {
        GgufType::F32 => 0,
        GgufType::F16 => 1,
        GgufType::Q8_0 => 7,
    }
}

/// The type of a tensor of this shape.
pub(super) fn matrix_type(stored: GgufType, shape: &[usize]) -> GgmlDType {
    match (stored, shape) {
        (GgufType::F32, _) | (_, [_]) => GgmlDType::F32,
        (GgufType::Q8_0, [_, columns]) if columns % 32 == 0 => GgmlDType::Q8_0,
        _ => GgmlDType::F16,
    }
}

/// Writes a model, with its adapter folded in, and its tokenizer as one GGUF file that llama.cpp runs. `ends` are all
/// tokens that end a text. The file appears under its name only when it is complete.
///
/// # Errors The architecture, its rope scaling or the tokenizer has no counterpart in llama.cpp, a tensor cannot be
/// computed, or the file cannot be written.
pub fn export_gguf(
    path: &Path,
    model: &Merged<'_>,
    tokenizer: &Tokenizer,
    chat_template: Option<&str>,
    ends: &[u32],
    stored: GgufType,
) -> Result<(), GgufError> {
    let config = model.config();
    let mut entries = describe(config, stored)?;
    entries.extend(tokenizer_write::entries(tokenizer, config.vocab_size, ends)?);
    entries.extend(chat_template.map(|t| ("tokenizer.chat_template".to_owned(), Meta::Text(t.to_owned()))));
    let factors = rope_factors(config);
    let mut tensors: Vec<(String, Vec<usize>, GgmlDType, Option<Param>)> = Param::all(config)
        .into_iter()
        .map(|param| {
            let shape = param.shape(config);
            let dtype = matrix_type(stored, &shape);
            (names::name(param), shape, dtype, Some(param))
        })
        .collect();
    tensors.extend(factors.as_ref().map(|f| ("rope_freqs.weight".to_owned(), vec![f.len()], GgmlDType::F32, None)));

    let io = |source| GgufError::Io { action: "write", path: path.to_owned(), source };
    let temporary = temporary_beside(path).map_err(io)?;
    let mut out = Counted::new(BufWriter::new(temporary.as_file()));
    let headed = tensors.iter().map(|(name, shape, dtype, _)| (&**name, &**shape, *dtype));
    out.header(&entries, headed).map_err(io)?;
    for (name, _, dtype, param) in &tensors {
        let bytes = match param {
            Some(param) => encode(model, *param, *dtype)?,
            None => factors.iter().flatten().flat_map(|f| f.to_le_bytes()).collect(),
        };
        tracing::trace!(name, bytes = bytes.len(), "tensor written");
        out.bytes(&bytes).and_then(|()| out.pad()).map_err(io)?;
    }
    out.into_inner().flush().map_err(io)?;
    temporary.as_file().sync_all().map_err(io)?;
    temporary.persist(path).map_err(|e| io(e.error))?;
    Ok(())
}

fn encode(model: &Merged<'_>, param: Param, dtype: GgmlDType) -> Result<Vec<u8>, GgufError> {
    let bytes = encoded(&model.load_f32(param)?, model.config(), param, dtype);
    bytes.map_err(|source| WeightsError::Tensor { name: names::name(param), source }.into())
}

/// A parameter in the order of Hugging Face as the file holds it.
pub(super) fn encoded(
    tensor: &Tensor,
    config: &DecoderConfig,
    param: Param,
    dtype: GgmlDType,
) -> candle_core::Result<Vec<u8>> {
    let ordered;
    let tensor = if names::is_interleaved(config.family, param) {
        let order = names::stored_order(tensor.dims()[0], config.head_dim);
        ordered = tensor.index_select(&Tensor::new(order, tensor.device())?, 0)?;
        &ordered
    } else {
        tensor
    };
    Ok(QTensor::quantize(tensor, dtype)?.data()?.into_owned())
}

/// `general.*` and the architecture's own keys.
fn describe(config: &DecoderConfig, stored: GgufType) -> Result<Vec<(String, Meta)>, GgufError> {
    let unsupported = |what: String| GgufError::Unsupported(what);
    let architecture = config
        .family
        .gguf
        .ok_or_else(|| unsupported(format!("the architecture {} is not supported", config.family.architecture)))?;
    let Position::Rope(rope) = &config.position else { return Err(unsupported("it has no rotary embedding".into())) };
    if config.layers.iter().any(|l| l.sliding_window.is_some_and(|w| w < config.max_position_embeddings)) {
        return Err(unsupported("llama.cpp would ignore its sliding window".into()));
    }
    if config.mlp_bias || config.o_bias {
        return Err(unsupported("biases on the MLP or the attention output are not supported".into()));
    }
    if config.activation != Activation::Silu || !config.gated_mlp {
        return Err(unsupported(format!("llama.cpp would compute SiLU in place of its {:?}", config.activation)));
    }
    let usual_scale = 1.0 / (config.head_dim as f64).sqrt();
    if (config.softmax_scale - usual_scale).abs() > 1e-9 || config.clip_qkv.is_some() {
        return Err(unsupported("its attention is scaled or clipped".into()));
    }
    let count = |n: usize| Meta::Count(n as u32);
    let mut entries = vec![
        ("general.architecture".to_owned(), Meta::Text(architecture.into())),
        ("general.file_type".to_owned(), Meta::Count(file_type(stored))),
        ("general.quantization_version".to_owned(), Meta::Count(2)),
    ];
    let mut add = |tail: &str, entry| entries.push((format!("{architecture}.{tail}"), entry));
    add("block_count", count(config.num_layers()));
    add("context_length", count(config.max_position_embeddings));
    add("embedding_length", count(config.hidden_size));
    add("feed_forward_length", count(config.intermediate_size));
    add("attention.head_count", count(config.num_attention_heads));
    add("attention.head_count_kv", count(config.num_key_value_heads));
    add("attention.key_length", count(config.head_dim));
    add("attention.value_length", count(config.head_dim));
    add("attention.layer_norm_rms_epsilon", Meta::Number(config.norm_eps as f32));
    add("rope.dimension_count", count(config.head_dim));
    add("rope.freq_base", Meta::Number(rope.theta as f32));
    add("vocab_size", count(config.vocab_size));
    match &rope.scaling {
        RopeScaling::Default | RopeScaling::Llama3 { .. } | RopeScaling::Factors { .. } => {}
        RopeScaling::Linear { factor } => {
            add("rope.scaling.type", Meta::Text("linear".into()));
            add("rope.scaling.factor", Meta::Number(*factor as f32));
        }
        RopeScaling::Yarn {
            factor,
            original_max_position_embeddings,
            attention_factor,
            beta_fast,
            beta_slow,
            truncate,
        } => {
            if !truncate {
                return Err(unsupported("YaRN with `truncate: false` has no counterpart".into()));
            }
            add("rope.scaling.type", Meta::Text("yarn".into()));
            add("rope.scaling.factor", Meta::Number(*factor as f32));
            add("rope.scaling.original_context_length", count(*original_max_position_embeddings));
            // llama.cpp has the usual values by itself.
            let attention = attention_factor / yarn_attention(*factor);
            for (tail, found, usual) in [
                ("rope.scaling.attn_factor", attention, 1.0),
                ("rope.scaling.yarn_beta_fast", *beta_fast, 32.0),
                ("rope.scaling.yarn_beta_slow", *beta_slow, 1.0),
            ] {
                if (found - usual).abs() > 1e-9 {
                    add(tail, Meta::Number(found as f32));
                }
            }
        }
        RopeScaling::Dynamic { .. } => return Err(unsupported("dynamic rope scaling has no counterpart".into())),
    }
    Ok(entries)
}

/// Llama 3's scaling as divisors of the plain frequencies.
fn rope_factors(config: &DecoderConfig) -> Option<Vec<f32>> {
    let Position::Rope(rope) = &config.position else { return None };
    if !matches!(rope.scaling, RopeScaling::Llama3 { .. } | RopeScaling::Factors { .. }) {
        return None;
    }
    let plain = crate::config::Rope { theta: rope.theta, scaling: RopeScaling::Default };
    let (plain, _) = plain.inverse_frequencies(config.head_dim, 1);
    let (scaled, _) = rope.inverse_frequencies(config.head_dim, 1);
    Some(plain.into_iter().zip(scaled).map(|(plain, scaled)| plain / scaled).collect())
}

/// A writer that knows its position, for alignment.
pub(super) struct Counted<W> {
    out: W,
    written: usize,
}

impl<W: Write> Counted<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, written: 0 }
    }

    pub(super) fn into_inner(self) -> W {
        self.out
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.written += bytes.len();
        self.out.write_all(bytes)
    }

    fn u32(&mut self, n: u32) -> std::io::Result<()> {
        self.bytes(&n.to_le_bytes())
    }

    fn u64(&mut self, n: usize) -> std::io::Result<()> {
        self.bytes(&(n as u64).to_le_bytes())
    }

    fn text(&mut self, text: &str) -> std::io::Result<()> {
        self.u64(text.len())?;
        self.bytes(text.as_bytes())
    }

    pub(super) fn pad(&mut self) -> std::io::Result<()> {
        self.bytes(&vec![0; self.written.next_multiple_of(ALIGNMENT) - self.written])
    }

    /// Metadata, and of each tensor its name, shape and type, in the order in which they follow.
    pub(super) fn header<'t>(
        &mut self,
        entries: &[(String, Meta)],
        tensors: impl ExactSizeIterator<Item = (&'t str, &'t [usize], GgmlDType)>,
    ) -> std::io::Result<()> {
        self.bytes(b"GGUF")?;
        self.u32(3)?;
        self.u64(tensors.len())?;
        self.u64(entries.len())?;
        for (key, entry) in entries {
            self.text(key)?;
            self.entry(entry)?;
        }
        let mut offset: usize = 0;
        for (name, shape, dtype) in tensors {
            self.text(name)?;
            self.u32(shape.len() as u32)?;
            for size in shape.iter().rev() {
                self.u64(*size)?;
            }
            self.u32(type_code(dtype))?;
            self.u64(offset)?;
            let count: usize = shape.iter().product();
            offset = (offset + count / dtype.block_size() * dtype.type_size()).next_multiple_of(ALIGNMENT);
        }
        self.pad()
    }

    fn entry(&mut self, entry: &Meta) -> std::io::Result<()> {
        const ARRAY: u32 = 9;
        match entry {
            Meta::Count(n) => {
                self.u32(4)?;
                self.u32(*n)
            }
            Meta::Number(x) => {
                self.u32(6)?;
                self.bytes(&x.to_le_bytes())
            }
            Meta::Flag(flag) => {
                self.u32(7)?;
                self.bytes(&[u8::from(*flag)])
            }
            Meta::Text(text) => {
                self.u32(8)?;
                self.text(text)
            }
            Meta::Texts(texts) => {
                self.u32(ARRAY)?;
                self.u32(8)?;
                self.u64(texts.len())?;
                texts.iter().try_for_each(|t| self.text(t))
            }
            Meta::Numbers(numbers) => {
                self.u32(ARRAY)?;
                self.u32(6)?;
                self.u64(numbers.len())?;
                numbers.iter().try_for_each(|x| self.bytes(&x.to_le_bytes()))
            }
            Meta::Kinds(kinds) => {
                self.u32(ARRAY)?;
                self.u32(5)?;
                self.u64(kinds.len())?;
                kinds.iter().try_for_each(|k| self.bytes(&k.to_le_bytes()))
            }
            Meta::Stored(value) => {
                self.u32(value_code(value))?;
                self.value(value)
            }
        }
    }

    fn value(&mut self, value: &Value) -> std::io::Result<()> {
        match value {
            Value::U8(n) => self.bytes(&[*n]),
            Value::I8(n) => self.bytes(&n.to_le_bytes()),
            Value::U16(n) => self.bytes(&n.to_le_bytes()),
            Value::I16(n) => self.bytes(&n.to_le_bytes()),
            Value::U32(n) => self.bytes(&n.to_le_bytes()),
            Value::I32(n) => self.bytes(&n.to_le_bytes()),
            Value::U64(n) => self.bytes(&n.to_le_bytes()),
            Value::I64(n) => self.bytes(&n.to_le_bytes()),
            Value::F32(x) => self.bytes(&x.to_le_bytes()),
            Value::F64(x) => self.bytes(&x.to_le_bytes()),
            Value::Bool(flag) => self.bytes(&[u8::from(*flag)]),
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                // An empty list has lost its type.
                self.u32(items.first().map_or(8, value_code))?;
                self.u64(items.len())?;
                items.iter().try_for_each(|item| self.value(item))
            }
        }
    }
}

/// GGUF's number of a type of values.
fn value_code(value: &Value) -> u32 {
    match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::String(_) => 8,
        Value::Array(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    }
}

//! An opened GGUF file.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::{
    DType, Device, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{Content, TensorInfo, Value},
    },
};

use super::{
    GgufError, config,
    metadata::Metadata,
    names,
    tensors::{RowOrder, tile},
    tokenizer_read,
};
use crate::{
    config::{DecoderConfig, RopeScaling},
    model::{ModelError, WeightProvider},
    ops::{Weight, gemm::PackedWeight},
    quiet::caught,
    tokenizer::Tokenizer,
    weights::{Param, WeightsError},
};

/// A GGUF file with its configuration: a source of weights for [`crate::model::Decoder::build`].
pub struct GgufModel {
    path: PathBuf,
    content: Content,
    config: DecoderConfig,
}

impl std::fmt::Debug for GgufModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GgufModel").field("path", &self.path).field("config", &self.config).finish_non_exhaustive()
    }
}

const ROPE_FACTORS: &str = "rope_freqs.weight";
/// What says of the model which tensors it has.
const DESCRIBED_IN: &str = "its metadata";

/// Tensors that are read elsewhere (the factors), or that old files have although nothing reads them.
fn is_without_effect(name: &str) -> bool {
    name == ROPE_FACTORS || name.ends_with(".attn_rot_embd") || name.ends_with(".attn_rot_embd.weight")
}

/// The types of tensors that are read.
const TYPES: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K";
/// Those that files have and that are not, by llama.cpp's numbers.
const OTHER_TYPES: [(u32, &str); 12] = [
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
];

/// The type of tensors that candle did not know, where that is what it says.
fn unknown_type(error: &candle_core::Error) -> Option<String> {
    let told = error.to_string();
    let number: u32 = told.lines().next()?.strip_prefix("unknown dtype for tensor ")?.parse().ok()?;
    let named = OTHER_TYPES.iter().find(|(code, _)| *code == number);
    Some(named.map_or_else(|| format!("type {number}"), |(_, name)| format!("type {name}")))
}

/// Where a tensor ends in the file; `None` where its shape overflows, or its rows are no whole blocks.
fn end(content: &Content, tensor: &TensorInfo) -> Option<u64> {
    let dims = tensor.shape.dims();
    let count = dims.iter().try_fold(1usize, |count, size| count.checked_mul(*size))?;
    let block = tensor.ggml_dtype.block_size();
    if dims.last().is_some_and(|row| !row.is_multiple_of(block)) {
        return None;
    }
    let bytes = (count / block).checked_mul(tensor.ggml_dtype.type_size())? as u64;
    content.tensor_data_offset.checked_add(tensor.offset)?.checked_add(bytes)
}

impl GgufModel {
    /// Reads header and metadata, and checks that every tensor is there with the right shape. No tensor is read but the
    /// rotary factors.
    ///
    /// # Errors The file is missing, truncated or malformed, its architecture is not supported, or tensors are missing
    /// or of the wrong shape.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let io = |source| GgufError::Io { action: "open", path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        let format = |source| GgufError::Format { path: path.to_owned(), source };
        // candle divides by the alignment that the file gives, 0 or not.
        let content = caught(|| Content::read(&mut file))
            .map_err(|_| GgufError::invalid(path, "its header is damaged, `general.alignment` perhaps"))?
            .map_err(|source| match unknown_type(&source) {
                Some(found) => GgufError::invalid(
                    path,
                    format!(
                        "it has tensors of {found}, which is not supported (supported: {TYPES}); take another form"
                    ),
                ),
                None => format(source),
            })?;
        let found = file.metadata().map_err(io)?.len();
        let mut expected = 0;
        let mut tensors: Vec<(&String, &TensorInfo)> = content.tensor_infos.iter().collect();
        tensors.sort_by_key(|(name, _)| *name);
        for (name, tensor) in tensors {
            let end = end(&content, tensor).ok_or_else(|| {
                let shape = tensor.shape.dims();
                GgufError::invalid(path, format!("`{name}` of shape {shape:?} is impossible in its encoding"))
            })?;
            expected = end.max(expected);
        }
        if found < expected {
            return Err(GgufError::Truncated { path: path.to_owned(), found, expected });
        }
        let metadata = Metadata { path, pairs: &content.metadata };
        let rope_factors = content
            .tensor_infos
            .contains_key(ROPE_FACTORS)
            .then(|| content.tensor(&mut file, ROPE_FACTORS, &Device::Cpu)?.dequantize(&Device::Cpu)?.to_vec1::<f32>())
            .transpose()
            .map_err(format)?;
        let embedding = content.tensor_infos.get(&names::name(Param::Embedding));
        let vocab_size = embedding.and_then(|t| t.shape.dims().first().copied()).unwrap_or(0);
        let has = |name: &str| content.tensor_infos.contains_key(name);
        let config = config::read(&metadata, config::Tensors { has: &has, rope_factors, vocab_size })?;
        let model = Self { path: path.to_owned(), content, config };
        model.check()?;
        Ok(model)
    }

    fn check(&self) -> Result<(), GgufError> {
        let place = || self.path.display().to_string();
        let mut unknown: BTreeSet<&str> = self.content.tensor_infos.keys().map(String::as_str).collect();
        unknown.retain(|name| !is_without_effect(name));
        for param in Param::all(&self.config) {
            let name = names::name(param);
            unknown.remove(name.as_str());
            let Some(info) = self.content.tensor_infos.get(&name) else {
                return Err(WeightsError::Missing { place: place(), names: vec![name], more: 0 }.into());
            };
            let (found, expected) = (info.shape.dims().to_vec(), param.shape(&self.config));
            if found != expected {
                let (file, found, expected, described_in) = (place(), found.into(), expected.into(), DESCRIBED_IN);
                return Err(WeightsError::Shape { file, described_in, name, found, expected }.into());
            }
        }
        // A layer, a norm or a bias that is left out makes another model.
        if let Some(first) = unknown.first() {
            let (name, more) = ((*first).to_owned(), unknown.len() - 1);
            return Err(WeightsError::Unexpected { file: place(), described_in: DESCRIBED_IN, name, more }.into());
        }
        if let crate::config::Position::Rope(rope) = &self.config.position
            && let RopeScaling::Factors { factors } = &rope.scaling
            && factors.len() != self.config.head_dim / 2
        {
            let problem =
                format!("`{ROPE_FACTORS}` has {} entries for heads of {}", factors.len(), self.config.head_dim);
            return Err(GgufError::invalid(&self.path, problem));
        }
        Ok(())
    }

    /// What the metadata say of the model.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The tokenizer inside.
    ///
    /// # Errors
    /// It is of a kind that is not supported, or its lists do not belong together.
    pub fn tokenizer(&self) -> Result<Tokenizer, GgufError> {
        tokenizer_read::read(&self.metadata())
    }

    /// The chat template inside, in Jinja.
    ///
    /// # Errors
    /// The entry is not a text.
    pub fn chat_template(&self) -> Result<Option<String>, GgufError> {
        Ok(self.metadata().text("tokenizer.chat_template")?.map(str::to_owned))
    }

    fn metadata(&self) -> Metadata<'_> {
        Metadata { path: &self.path, pairs: &self.content.metadata }
    }

    /// The metadata as they are.
    pub(super) fn pairs(&self) -> &HashMap<String, Value> {
        &self.content.metadata
    }

    /// All tensors, in the order in which the file has them.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (&String, &TensorInfo)> {
        let mut tensors: Vec<_> = self.content.tensor_infos.iter().collect();
        tensors.sort_by_key(|(_, info)| info.offset);
        tensors.into_iter()
    }

    /// A tensor as the file has it.
    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>, WeightsError> {
        let error = |source| WeightsError::Tensor { name: name.to_owned(), source };
        Ok(self.tensor(name)?.data().map_err(error)?.into_owned())
    }

    fn stored(&self, param: Param) -> Result<QTensor, WeightsError> {
        self.tensor(&names::name(param))
    }

    fn tensor(&self, name: &str) -> Result<QTensor, WeightsError> {
        let io = |source| WeightsError::Io { action: "open", path: self.path.clone(), source };
        let mut file = File::open(&self.path).map_err(io)?;
        let error = |source| WeightsError::Tensor { name: name.to_owned(), source };
        self.content.tensor(&mut file, name, &Device::Cpu).map_err(error)
    }

    fn order(&self, param: Param) -> RowOrder {
        if names::is_interleaved(self.config.family, param) {
            RowOrder::Interleaved { head_dim: self.config.head_dim }
        } else {
            RowOrder::Plain
        }
    }

    /// A parameter in f32 on the CPU, in the order of Hugging Face.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load(&self, param: Param) -> Result<Tensor, WeightsError> {
        let stored = self.stored(param)?;
        let order = self.order(param);
        let expand = || {
            let plain = stored.dequantize(&Device::Cpu)?;
            let RowOrder::Interleaved { head_dim } = order else { return Ok(plain) };
            let rows: Vec<u32> = (0..plain.dims()[0]).map(|row| names::interleaved_row(row, head_dim) as u32).collect();
            plain.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)
        };
        expand().map_err(|source| WeightsError::Tensor { name: names::name(param), source })
    }

    fn matrix_tiles(&self, param: Param, rounding: bool) -> Result<Weight, ModelError> {
        let tile = tile(self.stored(param)?, self.order(param), rounding);
        Ok(Weight::Tiles(tile.map_err(|source| WeightsError::Tensor { name: names::name(param), source })?))
    }

    /// Whether it has matrices in `Q8_0`, which [`Rounding`] is for.
    pub fn has_q8_0(&self) -> bool {
        self.content.tensor_infos.values().any(|tensor| tensor.ggml_dtype == GgmlDType::Q8_0)
    }
}

impl WeightProvider for &GgufModel {
    fn matrix(&mut self, param: Param) -> Result<Weight, ModelError> {
        self.matrix_tiles(param, false)
    }

    fn vector(&mut self, param: Param) -> Result<Tensor, ModelError> {
        let tensor = self.load(param)?;
        tensor.to_dtype(DType::F32).map_err(|source| WeightsError::Tensor { name: names::name(param), source }.into())
    }
}

/// A GGUF file whose matrices in `Q8_0` are multiplied with activations rounded to 8 bits in inference.
#[derive(Debug)]
pub struct Rounding<'a>(pub &'a GgufModel);

impl WeightProvider for Rounding<'_> {
    fn matrix(&mut self, param: Param) -> Result<Weight, ModelError> {
        self.0.matrix_tiles(param, true)
    }

    fn vector(&mut self, param: Param) -> Result<Tensor, ModelError> {
        self.0.vector(param)
    }
}

/// A GGUF file whose blocks are expanded to f32 once, and laid out for the CPU's kernels.
#[derive(Debug)]
pub struct Expanded<'a>(pub &'a GgufModel);

impl WeightProvider for Expanded<'_> {
    fn matrix(&mut self, param: Param) -> Result<Weight, ModelError> {
        let matrix = self.0.matrix(param)?;
        let Weight::Tiles(tile) = matrix else { return Ok(matrix) };
        let mut packed = PackedWeight::zeroed(tile.out_features(), tile.in_features());
        let mut rows = Vec::new();
        for first in (0..tile.out_features()).step_by(PackedWeight::ROWS) {
            let range = first..tile.out_features().min(first + PackedWeight::ROWS);
            rows.resize(range.len() * tile.in_features(), 0.0);
            tile.read_rows(range, &mut rows);
            packed.put_rows(first, &rows);
        }
        Ok(Weight::Packed(Arc::new(packed)))
    }

    fn vector(&mut self, param: Param) -> Result<Tensor, ModelError> {
        self.0.vector(param)
    }
}

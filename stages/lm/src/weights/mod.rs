//! A model's tensors: memory-mapped safetensors, tensors in memory, or a GGUF file, behind one lookup by [`Param`].
//!
//! Opening checks every name and shape against the configuration and reads no tensor. A tensor is read, converted and
//! moved to its device when it is asked for, so that a model larger than memory can be quantised layer by layer.

mod error;
mod names;
mod safetensors_files;
mod write;

use std::{collections::BTreeMap, ops::Range};

use candle_core::{DType, Device, Tensor};

pub use error::WeightsError;
pub use names::{LayerParam, Param};
use safetensors_files::SINGLE;
pub(crate) use safetensors_files::SafetensorsFiles;
pub(crate) use write::temporary_beside;
pub use write::{TensorSet, write_safetensors, write_sharded};

pub use crate::config::Linear;
use crate::{
    config::{DecoderConfig, Family},
    folder::{Carried, Folder},
};

/// The tensors of one model, complete and of the right shapes.
#[derive(Debug)]
pub struct Weights {
    family: Family,
    backend: Backend,
    /// What Hugging Face calls a tensor -> what the backend calls it, where the two differ.
    renamed: BTreeMap<String, String>,
}

#[derive(Debug)]
enum Backend {
    Files(SafetensorsFiles),
    Memory(BTreeMap<String, Tensor>),
}

impl Weights {
    /// Opens the safetensors of a checkpoint directory: `model.safetensors`, or the shards that
    /// `model.safetensors.index.json` lists.
    ///
    /// The files stay mapped as long as the value lives; they must not be changed meanwhile.
    ///
    /// # Errors A file is missing, truncated or malformed; a tensor is missing, unexpected, of the wrong shape, or of a
    /// type other than f32, f16 or bf16. The message names file and tensor.
    pub fn from_dir<'a>(dir: impl Into<Folder<'a>>, config: &DecoderConfig) -> Result<Self, WeightsError> {
        match dir.into() {
            Folder::Disk(dir) => Self::checked(Backend::Files(SafetensorsFiles::open_dir(dir)?), config),
            Folder::Carried(carried) => Self::carried(carried, config),
        }
    }

    /// Those of a model that the program carries: a small one, in one file.
    fn carried(carried: Carried, config: &DecoderConfig) -> Result<Self, WeightsError> {
        let path = Folder::from(carried).place(SINGLE);
        let bytes = Folder::from(carried).bytes(SINGLE);
        let bytes = bytes.map_err(|source| WeightsError::Io { action: "read", path: path.clone(), source })?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu);
        let tensors = tensors.map_err(|source| WeightsError::Tensor { name: path.display().to_string(), source })?;
        Self::from_tensors(tensors.into_iter().collect(), config)
    }

    /// Takes tensors by their Hugging Face names, such as a new model's or a merged one's.
    ///
    /// # Errors
    /// A tensor is missing, unexpected, or of the wrong shape.
    pub fn from_tensors(tensors: BTreeMap<String, Tensor>, config: &DecoderConfig) -> Result<Self, WeightsError> {
        Self::checked(Backend::Memory(tensors), config)
    }

    /// The stored type of a parameter.
    ///
    /// # Errors
    /// The model has no such parameter.
    pub fn dtype(&self, param: Param) -> Result<DType, WeightsError> {
        let name = self.stored_name(param);
        let found = match &self.backend {
            Backend::Files(files) => files.entry(&name).map(|e| e.dtype),
            Backend::Memory(tensors) => tensors.get(&name).map(Tensor::dtype),
        };
        found.ok_or_else(|| self.missing(name))
    }

    /// Reads a parameter as `dtype` on `device`. The result owns its memory; nothing stays cached.
    ///
    /// # Errors
    /// The model has no such parameter, or the device refuses it.
    pub fn load(&self, param: Param, dtype: DType, device: &Device) -> Result<Tensor, WeightsError> {
        let name = self.stored_name(param);
        let tensor = match &self.backend {
            Backend::Files(files) => files.load(&name)?,
            Backend::Memory(tensors) => tensors.get(&name).cloned().ok_or_else(|| self.missing(name.clone()))?,
        };
        // Converted before it moves: the stored type is never wider than what is asked for by much, and CPU converts
        // every pair.
        tensor.to_dtype(dtype).and_then(|t| t.to_device(device)).map_err(|source| WeightsError::Tensor { name, source })
    }

    /// Reads a matrix in blocks of `rows_per_block` rows as f32 and hands each with its row range to `visit`, so that
    /// one larger than memory can be quantised. Nothing of it stays resident afterwards.
    ///
    /// # Errors
    /// The model has no such parameter, it is not a matrix, or its file cannot be read.
    pub fn for_each_rows(
        &self,
        param: Param,
        rows_per_block: usize,
        visit: &mut dyn FnMut(Range<usize>, &[f32]),
    ) -> Result<(), WeightsError> {
        let name = self.stored_name(param);
        match &self.backend {
            Backend::Files(files) => files.for_each_rows(&name, rows_per_block, visit),
            Backend::Memory(_) => {
                let values = self
                    .load(param, DType::F32, &Device::Cpu)?
                    .to_vec2::<f32>()
                    .map_err(|source| WeightsError::Tensor { name, source })?;
                for (block, rows) in values.chunks(rows_per_block.max(1)).enumerate() {
                    let first = block * rows_per_block.max(1);
                    visit(first..first + rows.len(), &rows.concat());
                }
                Ok(())
            }
        }
    }

    /// Whose names the tensors carry.
    pub fn family(&self) -> Family {
        self.family
    }

    fn stored_name(&self, param: Param) -> String {
        let name = param.name(self.family);
        self.renamed.get(&name).cloned().unwrap_or(name)
    }

    fn missing(&self, name: String) -> WeightsError {
        WeightsError::Missing { place: self.backend.place(), names: vec![name], more: 0 }
    }

    fn checked(backend: Backend, config: &DecoderConfig) -> Result<Self, WeightsError> {
        let found = backend.shapes();
        let mut renamed = without_prefix(&found, config);
        tied_under_the_heads_name(&found, config, &mut renamed);
        let mut unknown: BTreeMap<&str, &Vec<usize>> = found.iter().map(|(n, s)| (n.as_str(), s)).collect();
        let mut missing = Vec::new();
        for param in Param::all(config) {
            let name = param.name(config.family);
            let stored = renamed.get(&name).unwrap_or(&name);
            let Some(shape) = unknown.remove(stored.as_str()) else {
                missing.push(name);
                continue;
            };
            let expected = param.shape(config);
            if *shape != expected {
                let file = backend.file_of(stored);
                let (found, expected, described_in) = (shape.as_slice().into(), expected.into(), "config.json");
                return Err(WeightsError::Shape { file, described_in, name, found, expected });
            }
        }
        if !missing.is_empty() {
            let more = missing.len().saturating_sub(5);
            missing.truncate(5);
            return Err(WeightsError::Missing { place: backend.place(), names: missing, more });
        }
        let extra: Vec<String> = unknown
            .into_keys()
            .filter(|n| !n.ends_with("rotary_emb.inv_freq"))
            .filter(|n| !(config.tie_word_embeddings && *n == Param::LmHead.name(config.family)))
            .map(str::to_owned)
            .collect();
        if let Some(first) = extra.first() {
            let file = backend.file_of(first);
            let (name, more) = (first.clone(), extra.len() - 1);
            return Err(WeightsError::Unexpected { file, described_in: "config.json", name, more });
        }
        Ok(Self { family: config.family, backend, renamed })
    }
}

/// Of two tied matrices a checkpoint may hold either; some hold the head's.
fn tied_under_the_heads_name(
    found: &BTreeMap<String, Vec<usize>>,
    config: &DecoderConfig,
    renamed: &mut BTreeMap<String, String>,
) {
    let (embedding, head) = (Param::Embedding.name(config.family), Param::LmHead.name(config.family));
    let stored = renamed.get(&embedding).unwrap_or(&embedding);
    if config.tie_word_embeddings && !found.contains_key(stored) && found.contains_key(&head) {
        renamed.insert(embedding, head);
    }
}

/// Checkpoints of the bare decoder (saved without its language-model head) leave out the leading `model.` or
/// `transformer.`.
fn without_prefix(found: &BTreeMap<String, Vec<usize>>, config: &DecoderConfig) -> BTreeMap<String, String> {
    if found.contains_key(&Param::Embedding.name(config.family)) {
        return BTreeMap::new();
    }
    Param::all(config)
        .into_iter()
        .filter_map(|p| {
            let name = p.name(config.family);
            let bare = name.strip_prefix("model.").or_else(|| name.strip_prefix("transformer."))?.to_owned();
            found.contains_key(&bare).then_some((name, bare))
        })
        .collect()
}

impl Backend {
    fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        match self {
            Self::Files(files) => files.shapes(),
            Self::Memory(tensors) => tensors.iter().map(|(n, t)| (n.clone(), t.dims().to_vec())).collect(),
        }
    }

    fn file_of(&self, name: &str) -> String {
        match self {
            Self::Files(files) => files.file_of(name),
            Self::Memory(_) => self.place(),
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Files(files) => files.place(),
            Self::Memory(_) => "memory".to_owned(),
        }
    }
}

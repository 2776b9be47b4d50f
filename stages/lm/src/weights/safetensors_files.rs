//! One or several memory-mapped safetensors files, looked up by tensor name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use memmap2::Mmap;
use safetensors::{SafeTensorError, SafeTensors};
use serde::Deserialize;

use super::WeightsError;

pub(super) const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Where a tensor lies.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    file: usize,
    bytes: Range<usize>,
    pub dtype: DType,
    pub shape: Vec<usize>,
}

#[derive(Debug)]
struct Mapped {
    path: PathBuf,
    map: Mmap,
}

/// The files and the place of every tensor in them.
#[derive(Debug)]
pub(crate) struct SafetensorsFiles {
    place: PathBuf,
    files: Vec<Mapped>,
    entries: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl SafetensorsFiles {
    /// Opens `model.safetensors` or the shards of `model.safetensors.index.json`; with both present the single file
    /// wins, as in `transformers`.
    pub(crate) fn open_dir(dir: &Path) -> Result<Self, WeightsError> {
        let single = dir.join(SINGLE);
        if single.exists() {
            return Self::open_file(&single);
        }
        let index_path = dir.join(INDEX);
        let text = match std::fs::read_to_string(&index_path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let pickle = ["pytorch_model.bin", "pytorch_model.bin.index.json"].iter().any(|f| dir.join(f).exists());
                return Err(WeightsError::NoWeights { dir: dir.to_owned(), pickle });
            }
            Err(source) => return Err(WeightsError::Io { action: "read", path: index_path, source }),
        };
        let index: Index = serde_json::from_str(&crate::json::plain(&text))
            .map_err(|e| WeightsError::Index { path: index_path.clone(), reason: e.to_string() })?;
        let mut opened = Self { place: dir.to_owned(), files: Vec::new(), entries: BTreeMap::new() };
        for shard in index.weight_map.values().collect::<BTreeSet<_>>() {
            // An index from elsewhere must not reach outside its directory.
            if Path::new(shard).components().count() != 1 || shard == ".." {
                let reason = format!("`{shard}` is not the name of a file in the same directory");
                return Err(WeightsError::Index { path: index_path, reason });
            }
            let path = dir.join(shard);
            if !path.exists() {
                return Err(WeightsError::MissingShard { path, index: index_path });
            }
            opened.add(path)?;
        }
        for (name, shard) in index.weight_map {
            let path = dir.join(shard);
            if opened.entries.get(&name).is_none_or(|e| opened.files[e.file].path != path) {
                return Err(WeightsError::NotInShard { name, path, index: index_path });
            }
        }
        Ok(opened)
    }

    /// Opens one file of any name.
    pub(crate) fn open_file(path: &Path) -> Result<Self, WeightsError> {
        let mut opened = Self { place: path.to_owned(), files: Vec::new(), entries: BTreeMap::new() };
        opened.add(path.to_owned())?;
        Ok(opened)
    }

    fn add(&mut self, path: PathBuf) -> Result<(), WeightsError> {
        let io = |source| WeightsError::Io { action: "open", path: path.clone(), source };
        let file = File::open(&path).map_err(io)?;
        // SAFETY: the mapping is read-only, and that the files are not changed while they are mapped is required of
        // callers.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(|source| malformed(&path, &map, source))?;
        let data = header + size_of::<u64>();
        let tensors: BTreeMap<_, _> = metadata.tensors().into_iter().collect();
        for (name, info) in tensors {
            let Some(dtype) = float(info.dtype) else {
                return Err(WeightsError::Type { name, path, dtype: info.dtype.to_string() });
            };
            let (start, end) = info.data_offsets;
            let entry =
                Entry { file: self.files.len(), bytes: data + start..data + end, dtype, shape: info.shape.clone() };
            if let Some(other) = self.entries.insert(name.clone(), entry) {
                return Err(WeightsError::Twice { name, first: self.files[other.file].path.clone(), second: path });
            }
        }
        self.files.push(Mapped { path, map });
        Ok(())
    }

    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub(crate) fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.entries.iter().map(|(name, e)| (name.clone(), e.shape.clone())).collect()
    }

    /// Copies a tensor out of its file, in its stored type.
    pub(crate) fn load(&self, name: &str) -> Result<Tensor, WeightsError> {
        let Some(entry) = self.entries.get(name) else {
            return Err(WeightsError::Missing { place: self.place(), names: vec![name.to_owned()], more: 0 });
        };
        let map = &self.files[entry.file].map;
        let tensor = Tensor::from_raw_buffer(&map[entry.bytes.clone()], entry.dtype, &entry.shape, &Device::Cpu)
            .map_err(|source| WeightsError::Tensor { name: name.to_owned(), source })?;
        release(map, &entry.bytes);
        Ok(tensor)
    }

    /// Reads a matrix block by block through a small buffer, which leaves no mapped page resident.
    pub(crate) fn for_each_rows(
        &self,
        name: &str,
        rows_per_block: usize,
        visit: &mut dyn FnMut(Range<usize>, &[f32]),
    ) -> Result<(), WeightsError> {
        let Some(entry) = self.entries.get(name) else {
            return Err(WeightsError::Missing { place: self.place(), names: vec![name.to_owned()], more: 0 });
        };
        let tensor_error = |source| WeightsError::Tensor { name: name.to_owned(), source };
        let [rows, columns] = entry.shape[..] else {
            let message = format!("its shape {:?} is not a matrix's", entry.shape);
            return Err(tensor_error(candle_core::Error::Msg(message)));
        };
        let path = &self.files[entry.file].path;
        let io = |source| WeightsError::Io { action: "read", path: path.clone(), source };
        let mut file = File::open(path).map_err(io)?;
        file.seek(SeekFrom::Start(entry.bytes.start as u64)).map_err(io)?;
        let mut bytes = Vec::new();
        let step = rows_per_block.max(1);
        for first in (0..rows).step_by(step) {
            let block = first..(first + step).min(rows);
            bytes.resize(block.len() * columns * entry.dtype.size_in_bytes(), 0);
            file.read_exact(&mut bytes).map_err(io)?;
            let values = Tensor::from_raw_buffer(&bytes, entry.dtype, &[block.len() * columns], &Device::Cpu)
                .and_then(|t| t.to_dtype(DType::F32)?.to_vec1::<f32>())
                .map_err(tensor_error)?;
            visit(block, &values);
        }
        Ok(())
    }

    pub(crate) fn file_of(&self, name: &str) -> String {
        self.entries.get(name).map_or_else(|| self.place(), |e| self.files[e.file].path.display().to_string())
    }

    pub(crate) fn place(&self) -> String {
        self.place.display().to_string()
    }
}

/// Lets the system take back the pages just copied, so that memory does not hold the model twice. Advice only: a
/// refusal is harmless.
fn release(map: &Mmap, bytes: &Range<usize>) {
    #[cfg(unix)]
    // SAFETY: the mapping is of a file and read-only, so dropped pages are read again from the file when they are next
    // touched.
    let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, bytes.start, bytes.len()) };
    #[cfg(not(unix))]
    let _ = (map, bytes);
}

fn float(dtype: safetensors::Dtype) -> Option<DType> {
    match dtype {
        safetensors::Dtype::F32 => Some(DType::F32),
        safetensors::Dtype::F16 => Some(DType::F16),
        safetensors::Dtype::BF16 => Some(DType::BF16),
        _ => None,
    }
}

/// Tells a file that was cut short from one that is something else.
fn malformed(path: &Path, bytes: &[u8], source: SafeTensorError) -> WeightsError {
    let found = bytes.len() as u64;
    let truncated = |expected| WeightsError::Truncated { path: path.to_owned(), found, expected };
    let Some(header) = bytes.first_chunk::<8>().map(|n| u64::from_le_bytes(*n)) else {
        return truncated(8);
    };
    match source {
        SafeTensorError::InvalidHeaderLength => truncated(header.saturating_add(8)),
        SafeTensorError::MetadataIncompleteBuffer => {
            let end = announced_end(bytes, header).unwrap_or(0) + header + 8;
            if end > found { truncated(end) } else { WeightsError::Format { path: path.to_owned(), source } }
        }
        source => WeightsError::Format { path: path.to_owned(), source },
    }
}

/// The last data offset that the header names.
fn announced_end(bytes: &[u8], header: u64) -> Option<u64> {
    let text = bytes.get(8..8 + usize::try_from(header).ok()?)?;
    let json: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(text).ok()?;
    json.values().filter_map(|t| t.get("data_offsets")?.get(1)?.as_u64()).max()
}

//! Writing safetensors, one tensor in memory at a time.

use std::{
    collections::BTreeMap,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use candle_core::{DType, Tensor};
use serde_json::{Map, Value, json};

use super::WeightsError;

/// Tensors to be written: their names, types and shapes are known at once, their values are asked for one after the
/// other.
pub trait TensorSet {
    /// Name, type and shape of every tensor, sorted by name.
    fn specs(&self) -> Vec<(String, DType, Vec<usize>)>;

    /// The values of one of them, in the announced type and shape.
    ///
    /// # Errors
    /// Whatever prevents the tensor from being read or computed.
    fn tensor(&self, name: &str) -> Result<Tensor, WeightsError>;
}

impl TensorSet for BTreeMap<String, Tensor> {
    fn specs(&self) -> Vec<(String, DType, Vec<usize>)> {
        self.iter().map(|(n, t)| (n.clone(), t.dtype(), t.dims().to_vec())).collect()
    }

    fn tensor(&self, name: &str) -> Result<Tensor, WeightsError> {
        let missing = || WeightsError::Missing { place: "memory".into(), names: vec![name.to_owned()], more: 0 };
        self.get(name).cloned().ok_or_else(missing)
    }
}

type Spec = (String, DType, Vec<usize>);

/// Writes all tensors into one file, with metadata `format: pt`. The file appears under its name only when it is
/// complete and synced.
///
/// # Errors
/// The file cannot be written, or a tensor cannot be computed.
pub fn write_safetensors(path: &Path, tensors: &dyn TensorSet) -> Result<(), WeightsError> {
    write_file(path, &tensors.specs(), tensors)
}

/// Writes `model.safetensors`, or `model-0000i-of-0000n.safetensors` with their index if the tensors take more than
/// `max_shard_bytes`. A tensor larger than that gets a shard of its own. Returns the files written, the index last.
///
/// # Errors
/// A file cannot be written, or a tensor cannot be computed.
pub fn write_sharded(dir: &Path, tensors: &dyn TensorSet, max_shard_bytes: u64) -> Result<Vec<PathBuf>, WeightsError> {
    let mut shards: Vec<Vec<Spec>> = vec![Vec::new()];
    let (mut used, mut total) = (0, 0);
    for spec in tensors.specs() {
        let size = bytes(&spec) as u64;
        if used + size > max_shard_bytes && used > 0 {
            shards.push(Vec::new());
            used = 0;
        }
        used += size;
        total += size;
        shards.last_mut().expect("there is always a last shard").push(spec);
    }
    if let [only] = shards.as_slice() {
        let path = dir.join("model.safetensors");
        write_file(&path, only, tensors)?;
        return Ok(vec![path]);
    }
    let mut written = Vec::new();
    let mut weight_map = BTreeMap::new();
    for (i, shard) in shards.iter().enumerate() {
        let file = format!("model-{:05}-of-{:05}.safetensors", i + 1, shards.len());
        let path = dir.join(&file);
        write_file(&path, shard, tensors)?;
        weight_map.extend(shard.iter().map(|(name, ..)| (name.clone(), file.clone())));
        written.push(path);
    }
    let index = json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
    let path = dir.join("model.safetensors.index.json");
    let text = serde_json::to_string_pretty(&index).expect("a map of strings is JSON");
    replace(&path, |out| out.write_all(text.as_bytes()).map_err(|e| io(&path, e)))?;
    written.push(path);
    Ok(written)
}

fn bytes((_, dtype, shape): &Spec) -> usize {
    shape.iter().product::<usize>() * dtype.size_in_bytes()
}

fn write_file(path: &Path, specs: &[Spec], tensors: &dyn TensorSet) -> Result<(), WeightsError> {
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut end = 0;
    for spec in specs {
        let start = end;
        end += bytes(spec);
        let (name, dtype, shape) = spec;
        let dtype: safetensors::Dtype = (*dtype).into();
        let entry = json!({ "dtype": dtype.to_string(), "shape": shape, "data_offsets": [start, end] });
        header.insert(name.clone(), entry);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    replace(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes()).map_err(|e| io(path, e))?;
        out.write_all(&header).map_err(|e| io(path, e))?;
        for (name, dtype, shape) in specs {
            let tensor = tensors.tensor(name)?;
            debug_assert_eq!((tensor.dtype(), tensor.dims()), (*dtype, shape.as_slice()), "{name}");
            let tensor_error = |source| WeightsError::Tensor { name: name.clone(), source };
            tensor.write_bytes(out).map_err(tensor_error)?;
        }
        Ok(())
    })
}

/// An empty file in the directory of `path`, with the permissions of an ordinary new file (temporary ones are private
/// by default).
pub(crate) fn temporary_beside(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(dir)
}

/// Writes next to `path`, syncs, and renames, so that no reader and no mapping ever sees half a file.
fn replace(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&std::fs::File>) -> Result<(), WeightsError>,
) -> Result<(), WeightsError> {
    let temporary = temporary_beside(path).map_err(|e| io(path, e))?;
    let mut out = BufWriter::new(temporary.as_file());
    fill(&mut out)?;
    out.flush().map_err(|e| io(path, e))?;
    drop(out);
    temporary.as_file().sync_all().map_err(|e| io(path, e))?;
    temporary.persist(path).map_err(|e| io(path, e.error))?;
    Ok(())
}

fn io(path: &Path, source: std::io::Error) -> WeightsError {
    WeightsError::Io { action: "write", path: path.to_owned(), source }
}

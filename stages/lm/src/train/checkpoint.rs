//! Checkpoints from which a killed training goes on to the same bytes.
//!
//! Layout: `DIR/step-00000012/{state.safetensors, state.json}`. A checkpoint is written beside its place, synced and
//! renamed, so that a folder with that name is whole. Since the order of the data and all randomness are functions
//! of the step, weights, moments, step and log are the entire state.

use super::{Optimizer, Params, TrainError, TrainLog, host};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Where and how often to write checkpoints. Does not influence what is learned.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    /// A folder for this training alone.
    pub dir: PathBuf,
    /// Optimizer steps between checkpoints.
    pub every: u64,
    /// How many of the newest to keep; at least 1.
    pub keep: usize,
}

/// What makes two trainings the same; a checkpoint is only resumed by the training that wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// The parameters of the training, as JSON.
    pub config: String,
    /// Digest of the rows.
    pub data: String,
    /// Digest of the held-out rows, if any, and of how often they are evaluated.
    pub eval: String,
    /// Names and shapes of what is trained, and the caller's name for the frozen rest.
    pub model: String,
}

#[derive(Serialize, Deserialize)]
struct State {
    format: u32,
    step: u64,
    identity: Identity,
    /// blake3 of `state.safetensors`.
    tensors: String,
    log: TrainLog,
}

const FORMAT: u32 = 1;

/// What a checkpoint brings back, beside the weights and moments already put in place.
pub(super) struct Resumed {
    pub step: u64,
    pub log: TrainLog,
}

impl Checkpoints {
    /// Writes a checkpoint after `step` steps, then removes those beyond `keep`.
    pub(super) fn write(
        &self,
        step: u64,
        identity: &Identity,
        params: &Params,
        optimizer: &Optimizer,
        log: &TrainLog,
    ) -> Result<(), TrainError> {
        fs::create_dir_all(&self.dir).map_err(|e| failed(&self.dir, "created", e))?;
        let place = self.dir.join(format!("step-{step:08}"));
        if place.exists() {
            return Ok(()); // A resumed training passes its own checkpoint again: same step, same bytes.
        }
        let staging = tempfile::Builder::new()
            .prefix(".writing-")
            .tempdir_in(&self.dir)
            .map_err(|e| failed(&self.dir, "written", e))?;
        let bytes = serialize(params, optimizer)?;
        let state = State {
            format: FORMAT,
            step,
            identity: identity.clone(),
            tensors: blake3::hash(&bytes).to_hex().to_string(),
            log: log.clone(),
        };
        let json = serde_json::to_vec(&state).map_err(|e| failed(&place, "written", e.into()))?;
        write_synced(&staging.path().join("state.safetensors"), &bytes)?;
        write_synced(&staging.path().join("state.json"), &json)?;
        sync_dir(staging.path())?;
        fs::rename(staging.path(), &place).map_err(|e| failed(&place, "moved into place", e))?;
        sync_dir(&self.dir)?;
        self.prune()
    }

    /// Puts the newest whole checkpoint back into `params` and `optimizer`. A damaged one is passed over for the one
    /// before it.
    pub(super) fn resume(
        &self,
        identity: &Identity,
        params: &Params,
        optimizer: &mut Optimizer,
    ) -> Result<Option<Resumed>, TrainError> {
        for place in self.places()?.into_iter().rev() {
            let (state, bytes) = match read(&place) {
                Ok(read) => read,
                Err(error) => {
                    tracing::warn!(path = %place.display(), %error, "passing over a damaged checkpoint");
                    continue;
                }
            };
            if let Some(what) = difference(&state.identity, identity) {
                return Err(TrainError::CheckpointMismatch { dir: self.dir.clone(), what: what.to_owned() });
            }
            restore(&bytes, state.step, params, optimizer).map_err(|e| failed(&place, "read", e))?;
            return Ok(Some(Resumed { step: state.step, log: state.log }));
        }
        Ok(None)
    }

    /// Folders of finished checkpoints, oldest first.
    fn places(&self) -> Result<Vec<PathBuf>, TrainError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&self.dir, "listed", error)),
        };
        let mut places = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| failed(&self.dir, "listed", e))?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("step-")) {
                places.push(path);
            }
        }
        places.sort();
        Ok(places)
    }

    fn prune(&self) -> Result<(), TrainError> {
        let places = self.places()?;
        for old in &places[..places.len().saturating_sub(self.keep.max(1))] {
            fs::remove_dir_all(old).map_err(|e| failed(old, "removed", e))?;
        }
        Ok(())
    }
}

fn difference(found: &Identity, expected: &Identity) -> Option<&'static str> {
    [
        ("model", found.model == expected.model),
        ("set of examples", found.data == expected.data),
        ("set of held-out examples", found.eval == expected.eval),
        ("configuration", found.config == expected.config),
    ]
    .into_iter()
    .find_map(|(what, same)| (!same).then_some(what))
}

fn serialize(params: &Params, optimizer: &Optimizer) -> Result<Vec<u8>, TrainError> {
    let mut tensors: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, var) in params {
        tensors.push((format!("param/{name}"), host::with_values(var, to_bytes)?));
    }
    tensors.extend(optimizer.state(params).map(|(name, values)| (name, to_bytes(values))));
    let views = tensors.iter().map(|(name, bytes)| {
        let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes).expect("four bytes per value");
        (name.as_str(), view)
    });
    safetensors::serialize(views, None)
        .map_err(|e| failed(Path::new("state.safetensors"), "written", io::Error::other(e)))
}

fn read(place: &Path) -> io::Result<(State, Vec<u8>)> {
    let state: State = serde_json::from_slice(&fs::read(place.join("state.json"))?)?;
    let bytes = fs::read(place.join("state.safetensors"))?;
    if state.format != FORMAT {
        return Err(io::Error::other(format!("format {} is not {FORMAT}", state.format)));
    }
    if blake3::hash(&bytes).to_hex().as_str() != state.tensors {
        return Err(io::Error::other("state.safetensors does not have the digest in state.json"));
    }
    Ok((state, bytes))
}

fn restore(bytes: &[u8], step: u64, params: &Params, optimizer: &mut Optimizer) -> io::Result<()> {
    let tensors = SafeTensors::deserialize(bytes).map_err(io::Error::other)?;
    let fill = |name: &str, out: &mut [f32]| -> io::Result<()> {
        let data = tensors.tensor(name).map_err(io::Error::other)?;
        if data.data().len() != out.len() * 4 {
            return Err(io::Error::other(format!("`{name}` has the wrong size")));
        }
        for (value, bytes) in out.iter_mut().zip(data.data().chunks_exact(4)) {
            *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Ok(())
    };
    for (name, var) in params {
        let mut result = Ok(());
        host::update(var, |values| result = fill(&format!("param/{name}"), values)).map_err(io::Error::other)?;
        result?;
    }
    optimizer.restore(params, step, fill)
}

fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let write = || -> io::Result<()> {
        let mut file = fs::File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| failed(path, "written", e))
}

fn sync_dir(path: &Path) -> Result<(), TrainError> {
    // Windows cannot open a folder to sync it, and does not need to.
    if cfg!(unix) {
        fs::File::open(path).and_then(|dir| dir.sync_all()).map_err(|e| failed(path, "synced", e))?;
    }
    Ok(())
}

fn failed(path: &Path, action: &'static str, source: io::Error) -> TrainError {
    TrainError::Checkpoint { path: path.to_owned(), action, source }
}

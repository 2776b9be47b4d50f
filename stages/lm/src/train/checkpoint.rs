//! Checkpoints from which a killed training goes on to the same bytes.
//!
//! Layout: `DIR/step-00000012/{state.safetensors, state.json}`. A checkpoint is written beside its place, synced and
//! renamed, so that a folder with that name is whole. Since the order of the data and all randomness are functions
//! of the step, weights, moments, step and log are the entire state.

use super::{EvalRecord, Optimizer, Params, StepRecord, TrainError, TrainLog, host, stopping::Best};
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
}

const FORMAT: u32 = 1;

/// Beginning of the names of the best weights in a checkpoint.
const BEST: &str = "best/";
/// Of evaluations, where there is a judge.
const SCORES: &str = "log/scores";

/// Beginning of the names of checkpoints that are being written.
const STAGING: &str = ".writing-";

impl Checkpoints {
    /// Writes a checkpoint after `step` steps, then removes those beyond `keep`.
    pub(super) fn write(
        &self,
        step: u64,
        identity: &Identity,
        params: &Params,
        optimizer: &Optimizer,
        log: &TrainLog,
        best: &Best,
    ) -> Result<(), TrainError> {
        fs::create_dir_all(&self.dir).map_err(|e| failed(&self.dir, "created", e))?;
        let place = self.dir.join(format!("step-{step:08}"));
        if place.exists() {
            return Ok(()); // A resumed training passes its own checkpoint again: same step, same bytes.
        }
        let staging = tempfile::Builder::new()
            .prefix(STAGING)
            .tempdir_in(&self.dir)
            .map_err(|e| failed(&self.dir, "written", e))?;
        let bytes = serialize(params, optimizer, log, best)?;
        let state = State {
            format: FORMAT,
            step,
            identity: identity.clone(),
            tensors: blake3::hash(&bytes).to_hex().to_string(),
        };
        let json = serde_json::to_vec(&state).map_err(|e| failed(&place, "written", e.into()))?;
        write_synced(&staging.path().join("state.safetensors"), &bytes)?;
        write_synced(&staging.path().join("state.json"), &json)?;
        sync_dir(staging.path())?;
        fs::rename(staging.path(), &place).map_err(|e| failed(&place, "moved into place", e))?;
        sync_dir(&self.dir)?;
        self.prune()
    }

    /// Puts the newest whole checkpoint back into `params`, `optimizer` and `log`, and returns its step. A damaged one
    /// is passed over for the one before it.
    pub(super) fn resume(
        &self,
        identity: &Identity,
        params: &Params,
        optimizer: &mut Optimizer,
        log: &mut TrainLog,
        best: &mut Best,
    ) -> Result<Option<u64>, TrainError> {
        for place in self.places("step-")?.into_iter().rev() {
            let (state, bytes) = match read(&place) {
                Ok(read) => read,
                Err(error) => {
                    tracing::warn!(path = %place.display(), %error, "passing over a damaged checkpoint");
                    // Out of the way of the one that will be written at this step again.
                    fs::remove_dir_all(&place).map_err(|e| failed(&place, "removed", e))?;
                    continue;
                }
            };
            if let Some(what) = difference(&state.identity, identity) {
                return Err(TrainError::CheckpointMismatch { dir: self.dir.clone(), what: what.to_owned() });
            }
            let restored = restore(&bytes, state.step, params, optimizer, log);
            *best = restored.map_err(|e| failed(&place, "read", e))?;
            return Ok(Some(state.step));
        }
        Ok(None)
    }

    /// Folders whose names begin with `prefix`, in order of their names: those of checkpoints, oldest first.
    fn places(&self, prefix: &str) -> Result<Vec<PathBuf>, TrainError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&self.dir, "listed", error)),
        };
        let mut places = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| failed(&self.dir, "listed", e))?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)) {
                places.push(path);
            }
        }
        places.sort();
        Ok(places)
    }

    fn prune(&self) -> Result<(), TrainError> {
        let mut old = self.places("step-")?;
        old.truncate(old.len().saturating_sub(self.keep.max(1)));
        // Left behind by a process that was killed while writing: the folder belongs to this training alone.
        old.extend(self.places(STAGING)?);
        for path in old {
            fs::remove_dir_all(&path).map_err(|e| failed(&path, "removed", e))?;
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

fn serialize(params: &Params, optimizer: &Optimizer, log: &TrainLog, best: &Best) -> Result<Vec<u8>, TrainError> {
    let mut tensors: Vec<(String, Dtype, Vec<u8>)> = Vec::new();
    for (name, var) in params {
        tensors.push((format!("param/{name}"), Dtype::F32, host::with_values(var, to_bytes)?));
    }
    let kept = params.keys().zip(&best.0);
    tensors.extend(kept.map(|(name, values)| (format!("{BEST}{name}"), Dtype::F32, to_bytes(values))));
    tensors.extend(optimizer.state(params).map(|(name, values)| (name, Dtype::F32, to_bytes(values))));
    // The log is kept as numbers, not as JSON, whose readers may round the last bit.
    let steps = log.steps.iter().flat_map(|s| s.to_row()).flat_map(f64::to_le_bytes).collect();
    let evals = log.evals.iter().flat_map(|e| [e.step as f64, e.loss]).flat_map(f64::to_le_bytes).collect();
    tensors.push(("log/steps".to_owned(), Dtype::F64, steps));
    tensors.push(("log/evals".to_owned(), Dtype::F64, evals));
    let scores: Vec<u8> = log.evals.iter().filter_map(|e| e.score).flat_map(f64::to_le_bytes).collect();
    if !scores.is_empty() {
        tensors.push((SCORES.to_owned(), Dtype::F64, scores));
    }
    let views = tensors.iter().map(|(name, dtype, bytes)| {
        let width = if *dtype == Dtype::F64 { 8 } else { 4 };
        let view = TensorView::new(*dtype, vec![bytes.len() / width], bytes).expect("whole values");
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

/// Puts a checkpoint's contents in their places; gives the best weights, if it holds some.
fn restore(
    bytes: &[u8],
    step: u64,
    params: &Params,
    optimizer: &mut Optimizer,
    log: &mut TrainLog,
) -> io::Result<Best> {
    let tensors = SafeTensors::deserialize(bytes).map_err(io::Error::other)?;
    let tensor = |name: &str| tensors.tensor(name).map_err(io::Error::other);
    let fill = |name: &str, out: &mut [f32]| -> io::Result<()> {
        let data = tensor(name)?;
        let (values, rest) = data.data().as_chunks::<4>();
        if values.len() != out.len() || !rest.is_empty() {
            return Err(io::Error::other(format!("`{name}` has the wrong size")));
        }
        for (value, bytes) in out.iter_mut().zip(values) {
            *value = f32::from_le_bytes(*bytes);
        }
        Ok(())
    };
    for (name, var) in params {
        let mut result = Ok(());
        host::update(var, |values| result = fill(&format!("param/{name}"), values)).map_err(io::Error::other)?;
        result?;
    }
    optimizer.restore(params, step, fill)?;
    let numbers = |name: &str| -> io::Result<Vec<f64>> {
        Ok(tensor(name)?.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect())
    };
    log.steps = numbers("log/steps")?.as_chunks::<7>().0.iter().map(|row| StepRecord::from_row(*row)).collect();
    let evals = numbers("log/evals")?;
    let scores = if tensors.tensor(SCORES).is_ok() { numbers(SCORES)? } else { Vec::new() };
    let records = evals.as_chunks::<2>().0.iter().enumerate();
    log.evals = records
        .map(|(i, &[step, loss])| EvalRecord { step: step as u64, loss, score: scores.get(i).copied() })
        .collect();
    let mut best = Best::default();
    for (name, var) in params {
        let name = format!("{BEST}{name}");
        if tensors.tensor(&name).is_ok() {
            let mut values = vec![0.0; var.elem_count()];
            fill(&name, &mut values)?;
            best.0.push(values);
        }
    }
    Ok(best)
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

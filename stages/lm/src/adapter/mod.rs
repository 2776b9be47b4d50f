//! LoRA adapters on disk, in the layout of Hugging Face PEFT, and merged into their base.
//!
//! A directory holds `adapter_config.json` and `adapter_model.safetensors` with the keys
//! `base_model.model.<module>.lora_A.weight` (`[r, in]`) and `.lora_B.weight` (`[out, r]`).

mod config;
mod merge;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};

pub use config::{AdapterConfig, TargetModules};
pub use merge::Merged;
pub(crate) use merge::folded;

use crate::{
    config::DecoderConfig,
    model::{Adapter, LoraWeights},
    weights::{SafetensorsFiles, WeightsError, write_safetensors},
};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// Reads an adapter directory that PEFT or [`save_adapter`] wrote, for a model of configuration `model`. The matrices
/// come as f32 on the CPU.
///
/// # Errors A file is missing or damaged; the configuration asks for something that is not supported (DoRA, saved
/// modules, embeddings); a targeted module lacks its matrices, has them in another shape, or there are matrices that no
/// target explains.
pub fn load_adapter(dir: &Path, model: &DecoderConfig) -> Result<(AdapterConfig, Adapter), AdapterError> {
    let config = AdapterConfig::from_dir(dir)?;
    let path = dir.join(WEIGHTS);
    if !path.exists() {
        let pickle = dir.join("adapter_model.bin").exists();
        return Err(AdapterError::NoWeights { dir: dir.to_owned(), pickle });
    }
    let files = SafetensorsFiles::open_file(&path)?;
    let invalid = |problem| AdapterError::Invalid { path: path.clone(), problem };
    let misconfigured = |problem| AdapterError::Invalid { path: dir.join(CONFIG), problem };
    let mut unknown = files.shapes();
    let mut modules = BTreeMap::new();
    for (module, _, linear) in config.targets(model).map_err(misconfigured)? {
        let rank = config.rank(&module).map_err(misconfigured)?;
        let [out, inner] = linear.shape(model);
        let mut matrix = |letter: &str, expected: [usize; 2]| {
            let name = key(&module, letter);
            match unknown.remove(&name) {
                None => Err(invalid(AdapterProblem::Missing { name })),
                Some(found) if found != expected => {
                    Err(invalid(AdapterProblem::Shape { name, found, expected: expected.to_vec() }))
                }
                Some(_) => {
                    let tensor = files.load(&name)?;
                    tensor.to_dtype(DType::F32).map_err(|source| WeightsError::Tensor { name, source }.into())
                }
            }
        };
        let (a, b) = (matrix("A", [rank, inner])?, matrix("B", [out, rank])?);
        let scale = config.scale(&module).map_err(misconfigured)? as f32;
        modules.insert(module, LoraWeights { a, b, scale, dropout: config.lora_dropout as f32 });
    }
    if let Some(name) = unknown.into_keys().next() {
        let outside = [".embed_tokens.", ".lm_head.", ".wte."].iter().any(|module| name.contains(module));
        let problem = if name.contains("lora_embedding") || outside {
            AdapterProblem::Embedding { name }
        } else {
            AdapterProblem::Unexplained { name }
        };
        return Err(invalid(problem));
    }
    Ok((config, Adapter { modules }))
}

/// Writes an adapter as PEFT does, in f32. The directory is created; existing files of an adapter are replaced.
///
/// # Errors A file cannot be written, or the matrices do not fit the configuration's targets, ranks and scales: what is
/// written must load to the same model.
pub fn save_adapter(
    dir: &Path,
    config: &AdapterConfig,
    adapter: &Adapter,
    model: &DecoderConfig,
) -> Result<(), AdapterError> {
    let path = dir.join(CONFIG);
    let invalid = |problem| AdapterError::Invalid { path: path.clone(), problem };
    let mut tensors = BTreeMap::new();
    let targets = config.targets(model).map_err(invalid)?;
    if let Some(module) = adapter.modules.keys().find(|m| !targets.iter().any(|(path, ..)| path == *m)) {
        return Err(invalid(AdapterProblem::Unexplained { name: module.clone() }));
    }
    for (module, _, linear) in targets {
        let lora =
            adapter.modules.get(&module).ok_or_else(|| invalid(AdapterProblem::Missing { name: module.clone() }))?;
        let rank = config.rank(&module).map_err(invalid)?;
        let [out, inner] = linear.shape(model);
        let scale = config.scale(&module).map_err(invalid)? as f32;
        if (lora.scale - scale).abs() > 1e-6 * scale.abs() {
            return Err(invalid(AdapterProblem::Scale { module, found: lora.scale, expected: scale }));
        }
        for (letter, tensor, expected) in [("A", &lora.a, [rank, inner]), ("B", &lora.b, [out, rank])] {
            let name = key(&module, letter);
            if tensor.dims() != expected {
                let found = tensor.dims().to_vec();
                return Err(invalid(AdapterProblem::Shape { name, found, expected: expected.to_vec() }));
            }
            let plain = |t: &Tensor| t.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous();
            let tensor = plain(tensor).map_err(|source| WeightsError::Tensor { name: name.clone(), source })?;
            tensors.insert(name, tensor.detach());
        }
    }
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| AdapterError::Io { action: "write", path, source }
    };
    std::fs::create_dir_all(dir).map_err(io(dir))?;
    write_safetensors(&dir.join(WEIGHTS), &tensors)?;
    let text = serde_json::to_string_pretty(&config.to_json()).expect("numbers and strings are JSON");
    std::fs::write(&path, text).map_err(io(&path))
}

fn key(module: &str, letter: &str) -> String {
    format!("base_model.model.{module}.lora_{letter}.weight")
}

/// Why an adapter could not be used.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// A file could not be read or written.
    #[error("{action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A directory of something else.
    #[error(
        "read an adapter from {}: there is no {CONFIG}{}",
        dir.display(),
        instead(*model, named)
    )]
    NoConfig {
        /// The directory.
        dir: PathBuf,
        /// Whether a model lies there.
        model: bool,
        /// Folders in it that hold adapters.
        named: Vec<String>,
    },
    /// A directory without weights.
    #[error(
        "find {WEIGHTS} in {}{}",
        dir.display(),
        if *pickle { "; adapter_model.bin is not read because it can run code: convert it to safetensors" } else { "" }
    )]
    NoWeights {
        /// The directory.
        dir: PathBuf,
        /// Whether there are weights in PyTorch's pickle format.
        pickle: bool,
    },
    /// The files contradict themselves or the model, or ask for what is not supported.
    #[error("use {}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: AdapterProblem,
    },
    /// The weights cannot be read or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// What is wrong with an adapter.
#[derive(Debug, thiserror::Error)]
pub enum AdapterProblem {
    /// Not JSON, or a key of the wrong type.
    #[error("{0}")]
    Json(serde_path_to_error::Error<serde_json::Error>),
    /// A key that changes what the adapter computes, in a way that is not supported.
    #[error("`{key}` is {value}, which is not supported{}", hint(key))]
    Unsupported {
        /// The key.
        key: String,
        /// Its value, as JSON.
        value: String,
    },
    /// A pattern that is no regular expression, or uses look-around.
    #[error("`{key}` has the pattern `{pattern}`: {source}")]
    Pattern {
        /// The key.
        key: &'static str,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
    /// No module of the model is targeted.
    #[error("`target_modules` is {targets}, and no linear layer of the model is called so")]
    NoTargets {
        /// `target_modules`, as JSON.
        targets: String,
    },
    /// A targeted module lacks a matrix.
    #[error("`{name}` is missing, though `target_modules` names its module")]
    Missing {
        /// Tensor or module.
        name: String,
    },
    /// A matrix of the wrong shape.
    #[error("the shape of `{name}` is {found:?}, but base model and rank ask for {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that model and rank ask for.
        expected: Vec<usize>,
    },
    /// A factor that the configuration does not give.
    #[error("the scale of `{module}` is {found}, but the configuration gives {expected}")]
    Scale {
        /// The module.
        module: String,
        /// Its factor.
        found: f32,
        /// What the configuration gives.
        expected: f32,
    },
    /// A tensor that no target explains.
    #[error("`{name}` belongs to no module that `target_modules` names in this model")]
    Unexplained {
        /// The tensor or module.
        name: String,
    },
    /// An adapter of another kind than LoRA.
    #[error(
        "`peft_type` is {found}{}, which is not supported: only LORA is; where PEFT can merge it, merge it there and \
         use the merged model",
        does.map(|does| format!(" ({does})")).unwrap_or_default()
    )]
    Kind {
        /// `peft_type`.
        found: String,
        /// What such an adapter does.
        does: Option<&'static str>,
    },
    /// An adapter on the embedding or the output projection.
    #[error(
        "`{name}` adapts the embedding or the output projection, which is not supported; train without `embed_tokens` \
         and `lm_head` among the \
         target modules, or merge the adapter with PEFT and use the merged model"
    )]
    Embedding {
        /// The tensor.
        name: String,
    },
}

/// What lies where an adapter was looked for.
fn instead(model: bool, named: &[String]) -> String {
    if model {
        ", but a whole model: name it as the model, or train it with `method: lora`".to_owned()
    } else if named.is_empty() {
        String::new()
    } else {
        format!(", but folders with adapters of their own: give one of them ({})", named.join(", "))
    }
}

fn hint(key: &str) -> &'static str {
    match key {
        "exclude_modules"
        | "layer_replication"
        | "layers_pattern"
        | "lora_bias"
        | "modules_to_save"
        | "target_parameters"
        | "trainable_token_indices"
        | "use_dora" => "; merge the adapter with PEFT and use the merged model",
        "init_lora_weights" => {
            " because the base weights were changed with it; merge the adapter with PEFT and use the merged model"
        }
        "bias" => "; train with `bias` none",
        "r" => "; it is between 1 and 65536",
        _ => "",
    }
}

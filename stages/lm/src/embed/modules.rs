//! The modules of a sentence-transformers folder: what its `modules.json` lists, computed or refused by name.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, safetensors};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{EmbedError, Pooling, read, read_if_there};
use crate::origin::files::{MODULES, is_module_folder};

/// What follows the transformer.
#[derive(Default)]
pub(super) struct Modules {
    /// `None` where the folder says nothing.
    pub pooling: Option<Vec<Pooling>>,
    pub dense: Vec<Dense>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    path: String,
}

/// A linear layer over the pooled vector.
pub(super) struct Dense {
    weight: Tensor,
    bias: Option<Tensor>,
    activation: Activation,
}

#[derive(Clone, Copy)]
enum Activation {
    Identity,
    Tanh,
    Relu,
    Gelu,
    Sigmoid,
    Silu,
}

#[derive(Deserialize)]
struct DenseConfig {
    in_features: usize,
    out_features: usize,
    #[serde(default = "yes")]
    bias: bool,
    activation_function: Option<String>,
}

fn yes() -> bool {
    true
}

/// Names and folders of the modules, in their order: from the list, or else from the names of the folders.
fn listed(dir: &Path) -> Result<Vec<Listed>, EmbedError> {
    if let Some(listed) = read_if_there(dir.join(MODULES))? {
        return Ok(listed);
    }
    let failed = |source| EmbedError::Read { path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_module_folder(&name)
            && entry.path().is_dir()
            && let Some((number, kind)) = name.split_once('_')
        {
            found.push((
                number.parse::<u64>().unwrap_or(u64::MAX),
                Listed { kind: kind.to_owned(), path: name.clone() },
            ));
        }
    }
    found.sort_by(|a, b| (a.0, &a.1.path).cmp(&(b.0, &b.1.path)));
    Ok(found.into_iter().map(|(_, listed)| listed).collect())
}

impl Modules {
    pub(crate) fn read(dir: &Path) -> Result<Self, EmbedError> {
        let mut modules = Self::default();
        for Listed { kind, path } in listed(dir)? {
            let refuse = |problem: String| EmbedError::Module { path: dir.join(&path), problem };
            if !path.is_empty() && !is_module_folder(&path) {
                return Err(refuse("a module lies in a folder such as `2_Dense`".to_owned()));
            }
            match kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" if path.is_empty() || path.starts_with("0_") => {}
                "Pooling" if modules.dense.is_empty() => {
                    let config: Map<String, Value> = read(dir.join(&path).join("config.json"))?;
                    modules.pooling = Some(Pooling::of_config(&config).map_err(refuse)?);
                }
                "Dense" => modules.dense.push(Dense::read(&dir.join(&path))?),
                // All vectors have length 1 here; dropout is for training.
                "Normalize" | "Dropout" => {}
                other => return Err(refuse(format!("the module `{other}` is not supported here"))),
            }
        }
        Ok(modules)
    }
}

impl Dense {
    fn read(dir: &Path) -> Result<Self, EmbedError> {
        let refuse = |problem: String| EmbedError::Module { path: dir.to_owned(), problem };
        let config: DenseConfig = read(dir.join("config.json"))?;
        let named = config.activation_function.as_deref().unwrap_or("torch.nn.modules.activation.Tanh");
        let activation = match named.rsplit('.').next().unwrap_or_default() {
            "Identity" => Activation::Identity,
            "Tanh" => Activation::Tanh,
            "ReLU" => Activation::Relu,
            "GELU" => Activation::Gelu,
            "Sigmoid" => Activation::Sigmoid,
            "SiLU" => Activation::Silu,
            _ => return Err(refuse(format!("the activation `{named}` is not supported"))),
        };
        let weights: PathBuf = dir.join("model.safetensors");
        if !weights.exists() {
            let pickle = dir.join("pytorch_model.bin").exists();
            let why = if pickle { "; pytorch_model.bin is not read because it can run code" } else { "" };
            return Err(refuse(format!("its model.safetensors is missing{why}")));
        }
        let wrong = |source| EmbedError::Weights { path: dir.to_owned(), source };
        let mut tensors = safetensors::load(&weights, &Device::Cpu).map_err(wrong)?;
        let mut take = |name: &str, shape: &[usize]| {
            let tensor = tensors.remove(name).ok_or_else(|| refuse(format!("`{name}` is missing")))?;
            if tensor.dims() != shape {
                return Err(refuse(format!("the shape of `{name}` is {:?} and not {shape:?}", tensor.dims())));
            }
            tensor.to_dtype(DType::F32).map_err(wrong)
        };
        Ok(Self {
            weight: take("linear.weight", &[config.out_features, config.in_features])?,
            bias: config.bias.then(|| take("linear.bias", &[config.out_features])).transpose()?,
            activation,
        })
    }

    /// Width of its input and output.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.weight.dims()[1], self.weight.dims()[0])
    }

    pub(crate) fn forward(&self, vector: Vec<f32>) -> candle_core::Result<Vec<f32>> {
        let x = Tensor::from_vec(vector, (self.shape().0, 1), &Device::Cpu)?;
        let mut y = self.weight.matmul(&x)?.squeeze(1)?;
        if let Some(bias) = &self.bias {
            y = (y + bias)?;
        }
        match self.activation {
            Activation::Identity => Ok(y),
            Activation::Tanh => y.tanh(),
            Activation::Relu => y.relu(),
            Activation::Gelu => y.gelu_erf(),
            Activation::Sigmoid => candle_nn::ops::sigmoid(&y),
            Activation::Silu => y.silu(),
        }?
        .to_vec1()
    }
}

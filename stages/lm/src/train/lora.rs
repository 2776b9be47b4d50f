//! A fresh adapter: which layers get one, and its first values.

use super::{TrainError, init};
use crate::{
    adapter::{AdapterConfig, TargetModules},
    config::DecoderConfig,
    model::{Adapter, Decoder, LoraWeights},
    weights::Linear,
};
use candle_core::{Device, Tensor, Var};
use std::collections::{BTreeMap, BTreeSet};

/// A fresh adapter for a model of configuration `model` (Hu et al. 2021, arXiv 2106.09685): A is random from `seed` and
/// the module's path, B is zero. Its matrices are variables.
///
/// # Errors
/// A target that names no linear layer of the model, or a rank or dropout out of range.
pub fn fresh_lora(
    config: &AdapterConfig,
    model: &DecoderConfig,
    seed: u64,
    device: &Device,
) -> Result<Adapter, TrainError> {
    let targets = config.targets(model)?;
    check_names(model, config)?;
    if !(0.0..1.0).contains(&config.lora_dropout) {
        let value = config.lora_dropout.to_string();
        return Err(TrainError::BadParameter { name: "lora_dropout", value, must: "at least 0 and below 1" });
    }
    let mut modules = BTreeMap::new();
    for (path, _, linear) in targets {
        let [out, inner] = linear.shape(model);
        let r = config.rank(&path)?;
        if r == 0 {
            return Err(TrainError::BadParameter { name: "r", value: "0".to_owned(), must: "at least 1" });
        }
        let weights = LoraWeights {
            a: init::lora_a(seed, &path, r, inner, device)?.into_inner(),
            b: init::lora_b(r, out, device)?.into_inner(),
            scale: config.scale(&path)? as f32,
            dropout: config.lora_dropout as f32,
        };
        modules.insert(path, weights);
    }
    Ok(Adapter { modules })
}

/// Adds a fresh adapter ([`fresh_lora`]) called `name` to `model`, and makes it the active one.
///
/// # Errors
/// Those of [`fresh_lora`].
pub fn attach_lora(model: &mut Decoder, name: &str, config: &AdapterConfig, seed: u64) -> Result<(), TrainError> {
    let adapter = fresh_lora(config, model.config(), seed, model.device())?;
    model.add_adapter(name, &adapter)?;
    model.set_adapter(Some(name))?;
    Ok(())
}

/// Adds an adapter with the values that it has, to be trained further under `name`, and makes it the active one.
///
/// # Errors
/// A module that the model lacks, or matrices that do not fit it.
pub fn continue_lora(model: &mut Decoder, name: &str, adapter: &Adapter, dropout: f64) -> Result<(), TrainError> {
    let mut modules = BTreeMap::new();
    for (path, weights) in &adapter.modules {
        let variable = |values: &Tensor| Ok::<_, TrainError>(Var::from_tensor(&values.copy()?)?.into_inner());
        let (a, b) = (variable(&weights.a)?, variable(&weights.b)?);
        modules.insert(path.clone(), LoraWeights { a, b, dropout: dropout as f32, ..weights.clone() });
    }
    model.add_adapter(name, &Adapter { modules })?;
    model.set_adapter(Some(name))?;
    Ok(())
}

/// Each name must be that of some layer: one misspelt among several would quietly train less than was asked for.
fn check_names(model: &DecoderConfig, config: &AdapterConfig) -> Result<(), TrainError> {
    let TargetModules::Names(names) = &config.target_modules else { return Ok(()) };
    let all: Vec<String> = (0..model.num_layers())
        .flat_map(|layer| Linear::of(model).map(move |linear| linear.path(model.family, layer)))
        .collect();
    let used = |name: &str| {
        let matches = |path: &String| path == name || path.strip_suffix(name).is_some_and(|front| front.ends_with('.'));
        all.iter().any(matches)
    };
    match names.iter().find(|name| !used(name)) {
        None => Ok(()),
        Some(name) => {
            let known: BTreeSet<_> = all.iter().filter_map(|path| path.rsplit('.').next()).collect();
            let known = known.into_iter().map(str::to_owned).collect();
            Err(TrainError::UnknownTarget { name: name.clone(), known })
        }
    }
}

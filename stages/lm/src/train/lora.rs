//! A fresh adapter: which layers get one, and its first values.

use super::{TrainError, init};
use crate::{
    adapter::{AdapterConfig, TargetModules},
    model::{Adapter, Decoder, LoraWeights},
};
use candle_core::{Tensor, Var};
use std::collections::{BTreeMap, BTreeSet};

/// Adds a fresh trainable adapter called `name` to `model` and makes it the active one (Hu et al. 2021,
/// arXiv 2106.09685). A is random from `seed` and the module's path, B is zero.
///
/// # Errors
/// A target that names no linear layer of the model, or a rank or dropout out of range.
pub fn attach_lora(model: &mut Decoder, name: &str, config: &AdapterConfig, seed: u64) -> Result<(), TrainError> {
    let targets: BTreeSet<String> = config.targets(model.config())?.into_iter().map(|(path, ..)| path).collect();
    check_names(model, config)?;
    if !(0.0..1.0).contains(&config.lora_dropout) {
        let value = config.lora_dropout.to_string();
        return Err(TrainError::BadParameter { name: "lora_dropout", value, must: "at least 0 and below 1" });
    }
    let device = model.device().clone();
    let mut modules = BTreeMap::new();
    for linear in model.linears().filter(|linear| targets.contains(linear.path())) {
        let r = config.rank(linear.path())?;
        if r == 0 {
            return Err(TrainError::BadParameter { name: "r", value: "0".to_owned(), must: "at least 1" });
        }
        let weights = LoraWeights {
            a: init::lora_a(seed, linear.path(), r, linear.in_features(), &device)?.into_inner(),
            b: init::lora_b(r, linear.out_features(), &device)?.into_inner(),
            scale: config.scale(linear.path())? as f32,
            dropout: config.lora_dropout as f32,
        };
        modules.insert(linear.path().to_owned(), weights);
    }
    model.add_adapter(name, &Adapter { modules })?;
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
fn check_names(model: &Decoder, config: &AdapterConfig) -> Result<(), TrainError> {
    let TargetModules::Names(names) = &config.target_modules else { return Ok(()) };
    let used = |name: &str| {
        let matches = |path: &str| path == name || path.strip_suffix(name).is_some_and(|front| front.ends_with('.'));
        model.linears().any(|linear| matches(linear.path()))
    };
    match names.iter().find(|name| !used(name)) {
        None => Ok(()),
        Some(name) => {
            let known: BTreeSet<_> = model.linears().filter_map(|l| l.path().rsplit('.').next()).collect();
            let known = known.into_iter().map(str::to_owned).collect();
            Err(TrainError::UnknownTarget { name: name.clone(), known })
        }
    }
}

//! Which layers get an adapter, and its first values.

use super::{TrainError, init};
use crate::model::{Adapter, Decoder, LoraWeights};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The modules that get an adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetModules {
    /// `all-linear`: every linear layer but the head. Any other single name is a list of one.
    Name(String),
    /// Module names, matched as PEFT does: the whole path, or its last parts (`q_proj`, `self_attn.q_proj`).
    Names(Vec<String>),
}

impl Default for TargetModules {
    fn default() -> Self {
        Self::Name("all-linear".to_owned())
    }
}

impl TargetModules {
    fn names(&self) -> &[String] {
        match self {
            Self::Name(name) => std::slice::from_ref(name),
            Self::Names(names) => names,
        }
    }

    fn matching<'a>(&'a self, path: &str) -> impl Iterator<Item = &'a String> {
        let is_match =
            move |name: &str| path == name || path.strip_suffix(name).is_some_and(|front| front.ends_with('.'));
        let path_matches: Vec<&String> =
            self.names().iter().filter(|name| name.as_str() == "all-linear" || is_match(name)).collect();
        path_matches.into_iter()
    }
}

/// A LoRA adapter to be trained (Hu et al. 2021, arXiv 2106.09685).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// Rank.
    pub r: usize,
    /// The update is scaled by `alpha / r`.
    pub alpha: f64,
    /// Probability of dropping an input of the adapter in training.
    pub dropout: f64,
    /// Where adapters go.
    pub target_modules: TargetModules,
    /// Scale by `alpha / sqrt(r)` instead (Kalajdzievski 2023, arXiv 2312.03732).
    pub use_rslora: bool,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self { r: 16, alpha: 32.0, dropout: 0.0, target_modules: TargetModules::default(), use_rslora: false }
    }
}

impl LoraConfig {
    /// The factor of the update.
    pub fn scale(&self) -> f64 {
        let r = self.r as f64;
        self.alpha / if self.use_rslora { r.sqrt() } else { r }
    }

    fn validate(&self) -> Result<(), TrainError> {
        let bad = |name, value: f64, must| TrainError::BadParameter { name, value: value.to_string(), must };
        if self.r == 0 {
            return Err(bad("lora.r", 0.0, "at least 1"));
        }
        if !self.alpha.is_finite() {
            return Err(bad("lora.alpha", self.alpha, "a finite number"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(bad("lora.dropout", self.dropout, "at least 0 and below 1"));
        }
        Ok(())
    }
}

/// Adds a fresh trainable adapter called `name` to `model` and makes it the active one. A is random from `seed` and the
/// module's path, B is zero.
///
/// # Errors
/// A target that names no linear layer of the model, or a parameter out of range.
pub fn attach_lora(model: &mut Decoder, name: &str, config: &LoraConfig, seed: u64) -> Result<(), TrainError> {
    config.validate()?;
    let mut modules = BTreeMap::new();
    let mut unused: Vec<&String> = config.target_modules.names().iter().collect();
    let device = model.device().clone();
    for linear in model.linears() {
        let mut matches = config.target_modules.matching(linear.path()).peekable();
        if matches.peek().is_none() {
            continue;
        }
        matches.for_each(|hit| unused.retain(|name| *name != hit));
        let a = init::lora_a(seed, linear.path(), config.r, linear.in_features(), &device)?;
        let b = init::lora_b(config.r, linear.out_features(), &device)?;
        let weights = LoraWeights {
            a: a.into_inner(),
            b: b.into_inner(),
            scale: config.scale() as f32,
            dropout: config.dropout as f32,
        };
        modules.insert(linear.path().to_owned(), weights);
    }
    if let Some(name) = unused.first() {
        let known = model.linears().map(|l| last_part(l.path())).collect::<std::collections::BTreeSet<_>>();
        return Err(TrainError::UnknownTarget {
            name: (*name).clone(),
            known: known.into_iter().map(str::to_owned).collect(),
        });
    }
    model.add_adapter(name, &Adapter { modules })?;
    model.set_adapter(Some(name))?;
    Ok(())
}

fn last_part(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(targets: &str, path: &str, expect: bool) {
        let targets: TargetModules = serde_json::from_str(targets).unwrap();
        assert_eq!(targets.matching(path).next().is_some(), expect, "{targets:?} on {path}");
    }

    #[test]
    fn targets_match_as_in_peft() {
        let q = "model.layers.0.self_attn.q_proj";
        check(r#""all-linear""#, q, true);
        check(r#"["q_proj", "v_proj"]"#, q, true);
        check(r#""self_attn.q_proj""#, q, true);
        check(r#"["proj"]"#, q, false);
        check(r#"["v_proj"]"#, q, false);
    }

    #[test]
    fn scales() {
        let config = LoraConfig { r: 16, alpha: 32.0, ..LoraConfig::default() };
        assert!((config.scale() - 2.0).abs() < 1e-12);
        assert!((LoraConfig { use_rslora: true, ..config }.scale() - 8.0).abs() < 1e-12);
    }
}

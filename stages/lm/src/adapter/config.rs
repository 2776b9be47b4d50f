//! `adapter_config.json`: which modules have an adapter, and how strong it is.

use std::{io::ErrorKind, path::Path};

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{AdapterError, AdapterProblem, CONFIG};
use crate::{config::DecoderConfig, weights::Linear};

/// Which linear modules of a model have an adapter.
#[derive(Debug, Clone)]
pub enum TargetModules {
    /// All linear layers but the output projection.
    AllLinear,
    /// Modules whose whole name matches, such as `.*\.(q|v)_proj`.
    Pattern(String),
    /// Modules with one of these names, or ending in one behind a dot.
    Names(Vec<String>),
}

/// The keys of `adapter_config.json` that matter for using an adapter.
#[derive(Debug, Clone)]
pub struct AdapterConfig {
    /// The model it was trained on, as its author named it.
    pub base_model_name_or_path: Option<String>,
    /// Rank, where [`AdapterConfig::rank_pattern`] does not say otherwise.
    pub r: usize,
    /// Numerator of the scale, where [`AdapterConfig::alpha_pattern`] does not say otherwise.
    pub lora_alpha: f64,
    /// Dropout in training; has no effect afterwards.
    pub lora_dropout: f64,
    /// Which modules.
    pub target_modules: TargetModules,
    /// The scale is `alpha / sqrt(r)` instead of `alpha / r` (Kalajdzievski 2023).
    pub use_rslora: bool,
    /// Ranks of single modules; the first pattern that matches counts.
    pub rank_pattern: Vec<(String, usize)>,
    /// Alphas of single modules; the first pattern that matches counts.
    pub alpha_pattern: Vec<(String, f64)>,
    /// Only these layers, if given.
    pub layers_to_transform: Option<Vec<usize>>,
}

impl AdapterConfig {
    /// A plain adapter of rank `r` on `target_modules`.
    pub fn new(r: usize, lora_alpha: f64, target_modules: TargetModules) -> Self {
        Self {
            base_model_name_or_path: None,
            r,
            lora_alpha,
            lora_dropout: 0.0,
            target_modules,
            use_rslora: false,
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            layers_to_transform: None,
        }
    }

    /// The linear modules of a model that have an adapter, by their full names, each with layer and kind.
    ///
    /// # Errors
    /// A pattern is not a regular expression, no module matches, or the rank is beyond all reason.
    pub fn targets(&self, model: &DecoderConfig) -> Result<Vec<(String, usize, Linear)>, AdapterProblem> {
        if self.r == 0 || self.r > MAX_RANK {
            return Err(AdapterProblem::Unsupported { key: "r".to_owned(), value: self.r.to_string() });
        }
        let pattern = match &self.target_modules {
            TargetModules::Pattern(pattern) => Some(whole("target_modules", pattern)?),
            _ => None,
        };
        let mut found = Vec::new();
        for layer in 0..model.num_layers() {
            for linear in Linear::of(model) {
                let path = linear.path(model.family, layer);
                let chosen = match (&self.target_modules, &pattern) {
                    (TargetModules::Names(names), _) => {
                        names.iter().any(|n| path == *n || path.strip_suffix(n).is_some_and(|p| p.ends_with('.')))
                            && self.layers_to_transform.as_ref().is_none_or(|layers| layers.contains(&layer))
                    }
                    (_, Some(pattern)) => pattern.is_match(&path),
                    (_, None) => true,
                };
                if chosen {
                    found.push((path, layer, linear));
                }
            }
        }
        if found.is_empty() {
            Err(AdapterProblem::NoTargets { targets: self.targets_json().to_string() })
        } else {
            Ok(found)
        }
    }

    /// The rank in one module.
    ///
    /// # Errors
    /// A pattern is not a regular expression.
    pub fn rank(&self, path: &str) -> Result<usize, AdapterProblem> {
        Ok(*pattern_value("rank_pattern", &self.rank_pattern, path)?.unwrap_or(&self.r))
    }

    /// The factor on `B(A(x))` in one module.
    ///
    /// # Errors
    /// A pattern is not a regular expression.
    pub fn scale(&self, path: &str) -> Result<f64, AdapterProblem> {
        let alpha = *pattern_value("alpha_pattern", &self.alpha_pattern, path)?.unwrap_or(&self.lora_alpha);
        let rank = self.rank(path)? as f64;
        Ok(alpha / if self.use_rslora { rank.sqrt() } else { rank })
    }

    /// The keys that PEFT writes and reads.
    pub(super) fn to_json(&self) -> Value {
        let ranks: Map<_, _> = self.rank_pattern.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        let alphas: Map<_, _> = self.alpha_pattern.iter().map(|(k, v)| (k.clone(), number(*v))).collect();
        json!({
            "alpha_pattern": alphas,
            "base_model_name_or_path": self.base_model_name_or_path,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "layers_to_transform": self.layers_to_transform,
            "lora_alpha": number(self.lora_alpha),
            "lora_dropout": self.lora_dropout,
            "modules_to_save": null,
            "peft_type": "LORA",
            "r": self.r,
            "rank_pattern": ranks,
            "revision": null,
            "target_modules": self.targets_json(),
            "task_type": "CAUSAL_LM",
            "use_dora": false,
            "use_rslora": self.use_rslora,
        })
    }

    fn targets_json(&self) -> Value {
        match &self.target_modules {
            TargetModules::AllLinear => json!("all-linear"),
            TargetModules::Pattern(pattern) => json!(pattern),
            TargetModules::Names(names) => json!(names),
        }
    }

    /// Reads `adapter_config.json` of an adapter directory.
    ///
    /// # Errors
    /// The file is missing or malformed, or it asks for something that is not supported: the message names it.
    pub fn from_dir(dir: &Path) -> Result<Self, AdapterError> {
        let path = dir.join(CONFIG);
        let text = std::fs::read_to_string(&path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => AdapterError::NoConfig {
                dir: dir.to_owned(),
                model: dir.join("config.json").exists(),
                named: named_adapters(dir),
            },
            _ => AdapterError::Io { action: "read", path: path.clone(), source },
        })?;
        let kind: Result<Kind, _> = crate::json::parse(&text);
        let raw = kind.map_err(AdapterProblem::Json).and_then(|kind| {
            // Of other kinds the other keys are not those of LoRA.
            kind.check()?;
            crate::json::parse::<Raw>(&text).map_err(AdapterProblem::Json)
        });
        raw.and_then(Raw::checked).map_err(|problem| AdapterError::Invalid { path, problem })
    }
}

/// The folders of a directory that hold adapters: PEFT writes there those that have names of their own. In order of
/// their names.
fn named_adapters(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let adapters = entries.filter(|entry| entry.path().join(CONFIG).is_file());
    let mut names: Vec<String> = adapters.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// PEFT compares some of these by type, so whole numbers are written without a fraction.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}

fn whole(key: &'static str, pattern: &str) -> Result<Regex, AdapterProblem> {
    compile(key, pattern, &format!("^(?:{pattern})$"))
}

fn compile(key: &'static str, pattern: &str, full: &str) -> Result<Regex, AdapterProblem> {
    Regex::new(full).map_err(|source| AdapterProblem::Pattern {
        key,
        pattern: pattern.to_owned(),
        source: Box::new(source),
    })
}

/// PEFT's rule: the pattern matches the whole name, or what is behind one of its dots.
fn pattern_value<'a, T>(
    key: &'static str,
    patterns: &'a [(String, T)],
    path: &str,
) -> Result<Option<&'a T>, AdapterProblem> {
    for (pattern, value) in patterns {
        if compile(key, pattern, &format!(r"^(?:.*\.)?(?:{pattern})$"))?.is_match(path) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "neither one value of the right type nor a list of such values")]
enum OneOrMany<O, M> {
    One(O),
    Many(Vec<M>),
}

#[derive(Deserialize)]
struct Kind {
    peft_type: String,
}

/// What PEFT calls other kinds of adapters, and what they do.
const OTHER_KINDS: &[(&str, &str)] = &[
    ("IA3", "IA3 scales activations"),
    ("PROMPT_TUNING", "prompt tuning puts trained vectors in front of the prompt"),
    ("MULTITASK_PROMPT_TUNING", "prompt tuning puts trained vectors in front of the prompt"),
    ("P_TUNING", "P-tuning puts trained vectors in front of the prompt"),
    ("PREFIX_TUNING", "prefix tuning puts trained keys and values in front of the prompt"),
    ("VERA", "VeRA shares random matrices between layers"),
    ("ADALORA", "AdaLoRA has a rank of its own for every module"),
    ("LOHA", "LoHa multiplies two low-rank products"),
    ("LOKR", "LoKr is a Kronecker product"),
    ("OFT", "OFT rotates the weights"),
    ("BOFT", "BOFT rotates the weights"),
    ("LN_TUNING", "LN tuning trains the norms"),
];

impl Kind {
    fn check(&self) -> Result<(), AdapterProblem> {
        if self.peft_type == "LORA" {
            return Ok(());
        }
        let known = OTHER_KINDS.iter().find(|(name, _)| *name == self.peft_type);
        Err(AdapterProblem::Kind { found: self.peft_type.clone(), does: known.map(|(_, does)| *does) })
    }
}

/// Modules outside of the layers, which an adapter of ours cannot change: the embedding table and the output
/// projection, in the spellings of the supported families and others.
const OUTSIDE: &[&str] = &["embed_tokens", "lm_head", "wte", "word_embeddings", "embed_out"];

/// Highest rank: no matrix of a model is as narrow as that is wide, and every module gets two matrices of it.
const MAX_RANK: usize = 1 << 16;

#[derive(Deserialize)]
struct Raw {
    base_model_name_or_path: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f64,
    target_modules: Option<OneOrMany<String, String>>,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    rank_pattern: Option<Map<String, Value>>,
    #[serde(default)]
    alpha_pattern: Option<Map<String, Value>>,
    #[serde(default)]
    layers_to_transform: Option<OneOrMany<usize, usize>>,
    /// Everything else, looked at for what would change the result.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Keys that change what the adapter computes and are not supported unless null, false or empty.
const UNSUPPORTED: &[&str] = &[
    "alora_invocation_tokens",
    "arrow_config",
    "exclude_modules",
    "layer_replication",
    "layers_pattern",
    "lora_bias",
    "modules_to_save",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
];

impl Raw {
    fn checked(self) -> Result<AdapterConfig, AdapterProblem> {
        let unsupported =
            |key: &str, value: &Value| AdapterProblem::Unsupported { key: key.to_owned(), value: value.to_string() };
        for key in UNSUPPORTED {
            let value = self.rest.get(*key).unwrap_or(&Value::Null);
            let empty = match value {
                Value::Null | Value::Bool(false) => true,
                Value::Array(items) => items.is_empty(),
                Value::Object(items) => items.is_empty(),
                _ => false,
            };
            if !empty {
                return Err(unsupported(key, value));
            }
        }
        if let Some(bias) = self.rest.get("bias").filter(|b| *b != "none") {
            return Err(unsupported("bias", bias));
        }
        // PiSSA, OLoRA, CorDA and their like change the base weights too, so the adapter alone does not describe the
        // model.
        if let Some(init) = self.rest.get("init_lora_weights")
            && !(init.is_boolean()
                || init.is_null()
                || ["gaussian", "eva", "orthogonal"].iter().any(|kind| init == kind))
        {
            return Err(unsupported("init_lora_weights", init));
        }
        if self.r == 0 || self.r > MAX_RANK {
            return Err(unsupported("r", &json!(self.r)));
        }
        if let Some(OneOrMany::Many(names)) = &self.target_modules
            && let Some(name) = names.iter().find(|name| OUTSIDE.iter().any(|outside| name.ends_with(outside)))
        {
            return Err(AdapterProblem::Embedding { name: name.clone() });
        }
        Ok(AdapterConfig {
            base_model_name_or_path: self.base_model_name_or_path,
            r: self.r,
            lora_alpha: self.lora_alpha,
            lora_dropout: self.lora_dropout,
            target_modules: match self.target_modules {
                None => return Err(unsupported("target_modules", &Value::Null)),
                Some(OneOrMany::One(all)) if all.eq_ignore_ascii_case("all-linear") => TargetModules::AllLinear,
                Some(OneOrMany::One(pattern)) => TargetModules::Pattern(pattern),
                Some(OneOrMany::Many(names)) => TargetModules::Names(names),
            },
            use_rslora: self.use_rslora,
            rank_pattern: numbers("rank_pattern", self.rank_pattern, |v| {
                v.as_u64().filter(|r| *r > 0 && *r <= MAX_RANK as u64).map(|r| r as usize)
            })?,
            alpha_pattern: numbers("alpha_pattern", self.alpha_pattern, Value::as_f64)?,
            layers_to_transform: self.layers_to_transform.map(|layers| match layers {
                OneOrMany::One(layer) => vec![layer],
                OneOrMany::Many(layers) => layers,
            }),
        })
    }
}

fn numbers<T>(
    key: &str,
    patterns: Option<Map<String, Value>>,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<(String, T)>, AdapterProblem> {
    patterns
        .unwrap_or_default()
        .into_iter()
        .map(|(pattern, value)| {
            let number = read(&value);
            number.map(|n| (pattern.clone(), n)).ok_or_else(|| AdapterProblem::Unsupported {
                key: format!("{key}.{pattern}"),
                value: value.to_string(),
            })
        })
        .collect()
}

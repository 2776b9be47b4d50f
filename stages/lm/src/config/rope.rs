//! Rotary position embeddings: the inverse frequencies of each scaling, as `transformers`' `modeling_rope_utils`
//! computes them.

use super::{
    ConfigProblem,
    raw::{LlamaLike, RopeParameters},
};

/// What `rope_type` may say.
pub(super) const TYPES: &[&str] = &["default", "linear", "dynamic", "llama3", "yarn"];

/// The rotary embedding of a model (Su et al. 2021), over the whole width of a head.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base of the geometric series of wavelengths.
    pub theta: f64,
    /// How the frequencies are changed for longer contexts.
    pub scaling: RopeScaling,
}

/// A change of the frequencies for contexts longer than those of pretraining.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// None.
    Default,
    /// Positions divided by `factor` (position interpolation, Chen et al. 2023).
    Linear {
        /// How many times longer the context is.
        factor: f64,
    },
    /// The base grows with the sequence once it is longer than `max_position_embeddings` (NTK-aware scaling).
    Dynamic {
        /// Strength of the growth.
        factor: f64,
        /// The length up to which nothing changes.
        max_position_embeddings: usize,
    },
    /// Llama 3.1: long wavelengths divided by `factor`, short ones kept, a ramp between.
    Llama3 {
        /// Divisor of the long wavelengths.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are long.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are short.
        high_freq_factor: f64,
        /// Context of pretraining, in tokens.
        original_max_position_embeddings: usize,
    },
    /// Each frequency divided by a factor of its own (how GGUF stores Llama 3's scaling); `head_dim / 2` of them.
    Factors {
        /// Divisors, in the order of the frequencies.
        factors: Vec<f32>,
    },
    /// YaRN (Peng et al. 2023).
    Yarn {
        /// How many times longer the context is.
        factor: f64,
        /// Context of pretraining, in tokens.
        original_max_position_embeddings: usize,
        /// Factor on cos and sin.
        attention_factor: f64,
        /// Rotations over the original context above which a frequency is kept.
        beta_fast: f64,
        /// Rotations below which a frequency is divided by `factor`.
        beta_slow: f64,
        /// Whether the ramp's ends are rounded outwards to whole dimensions.
        truncate: bool,
    },
}

impl Rope {
    /// The `head_dim / 2` inverse frequencies, in radians per token, and the factor on cos and sin, for a sequence of
    /// `seq_len` tokens. Only [`RopeScaling::Dynamic`] depends on `seq_len`; a pass that mixes rows must use each row's
    /// own length.
    ///
    /// Computed in f32 in the order of operations of `transformers`, so that the angles agree to the last bits.
    pub fn inverse_frequencies(&self, head_dim: usize, seq_len: usize) -> (Vec<f32>, f32) {
        let dim = head_dim as f32;
        let plain = |theta: f64| -> Vec<f32> {
            (0..head_dim).step_by(2).map(|i| 1.0 / (theta as f32).powf(i as f32 / dim)).collect()
        };
        match self.scaling {
            RopeScaling::Default => (plain(self.theta), 1.0),
            RopeScaling::Linear { factor } => (plain(self.theta).into_iter().map(|f| f / factor as f32).collect(), 1.0),
            RopeScaling::Dynamic { factor, max_position_embeddings } => {
                let longest = max_position_embeddings as f64;
                let stretch = factor * (seq_len as f64).max(longest) / longest - (factor - 1.0);
                let exponent = head_dim as f64 / (head_dim as f64 - 2.0);
                (plain(self.theta * stretch.powf(exponent)), 1.0)
            }
            RopeScaling::Factors { ref factors } => {
                (plain(self.theta).into_iter().zip(factors).map(|(f, by)| f / by).collect(), 1.0)
            }
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: original,
            } => {
                let original = original as f64;
                let (longest_kept, shortest_scaled) = (original / high_freq_factor, original / low_freq_factor);
                let scale = |f: f32| {
                    let wavelength = 2.0 * std::f64::consts::PI / f64::from(f);
                    if wavelength < longest_kept {
                        f
                    } else if wavelength > shortest_scaled {
                        f / factor as f32
                    } else {
                        let smooth =
                            ((original / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor)) as f32;
                        (1.0 - smooth) * f / factor as f32 + smooth * f
                    }
                };
                (plain(self.theta).into_iter().map(scale).collect(), 1.0)
            }
            RopeScaling::Yarn {
                factor,
                original_max_position_embeddings,
                attention_factor,
                beta_fast,
                beta_slow,
                truncate,
            } => {
                // The dimension that turns `rotations` times over the original context.
                let dimension = |rotations: f64| {
                    let turns = original_max_position_embeddings as f64 / (rotations * 2.0 * std::f64::consts::PI);
                    head_dim as f64 * turns.ln() / (2.0 * self.theta.ln())
                };
                let (mut low, mut high) = (dimension(beta_fast), dimension(beta_slow));
                if truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                (low, high) = (low.max(0.0), high.min(head_dim as f64 - 1.0));
                if low == high {
                    high += 0.001;
                }
                let scale = |(i, f): (usize, f32)| {
                    let ramp = ((i as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
                    let kept = 1.0 - ramp;
                    let interpolated = 1.0 / (factor as f32 * (1.0 / f));
                    interpolated * (1.0 - kept) + f * kept
                };
                (plain(self.theta).into_iter().enumerate().map(scale).collect(), attention_factor as f32)
            }
        }
    }

    /// Reads either form of the keys. `rope_scaling` wins over `rope_parameters`, as in `transformers`.
    pub(super) fn from_raw(raw: &LlamaLike, default_theta: f64, max_positions: usize) -> Result<Self, ConfigProblem> {
        let parameters = raw.rope_scaling.as_ref().or(raw.rope_parameters.as_ref());
        let theta = parameters.and_then(|p| p.rope_theta).or(raw.rope_theta).unwrap_or(default_theta);
        positive("rope_theta", theta)?;
        let partial = parameters.and_then(|p| p.partial_rotary_factor).or(raw.partial_rotary_factor).unwrap_or(1.0);
        if (partial - 1.0).abs() > f64::EPSILON {
            return Err(ConfigProblem::Value {
                key: "partial_rotary_factor",
                value: partial.to_string(),
                reason: "only 1 is supported".into(),
            });
        }
        let scaling = match parameters {
            None => RopeScaling::Default,
            Some(p) => scaling(p, raw.original_max_position_embeddings, max_positions)?,
        };
        Ok(Self { theta, scaling })
    }
}

fn scaling(
    p: &RopeParameters,
    outer_original: Option<usize>,
    max_positions: usize,
) -> Result<RopeScaling, ConfigProblem> {
    let need = |key: &'static str, value: Option<f64>| {
        let value = value.ok_or(ConfigProblem::Missing(key))?;
        positive(key, value).map(|()| value)
    };
    // A key outside the block wins, and the model's length is the last resort; both as in `transformers`.
    let original = outer_original.or(p.original_max_position_embeddings).unwrap_or(max_positions);
    if original == 0 {
        return Err(ConfigProblem::Value {
            key: "original_max_position_embeddings",
            value: "0".into(),
            reason: "it must be positive".into(),
        });
    }
    match p.rope_type.as_deref().or(p.old_type.as_deref()).unwrap_or("default") {
        "default" => Ok(RopeScaling::Default),
        "linear" => Ok(RopeScaling::Linear { factor: need("rope_scaling.factor", p.factor)? }),
        "dynamic" => Ok(RopeScaling::Dynamic {
            factor: need("rope_scaling.factor", p.factor)?,
            max_position_embeddings: max_positions,
        }),
        "llama3" => {
            let low = need("rope_scaling.low_freq_factor", p.low_freq_factor)?;
            let high = need("rope_scaling.high_freq_factor", p.high_freq_factor)?;
            if high <= low {
                return Err(ConfigProblem::Value {
                    key: "rope_scaling.high_freq_factor",
                    value: high.to_string(),
                    reason: format!("it must be greater than low_freq_factor ({low})"),
                });
            }
            Ok(RopeScaling::Llama3 {
                factor: need("rope_scaling.factor", p.factor)?,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: original,
            })
        }
        "yarn" => {
            let factor = match p.factor {
                Some(_) => need("rope_scaling.factor", p.factor)?,
                None => max_positions as f64 / original as f64,
            };
            let mscale = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
            let inferred = match (p.mscale, p.mscale_all_dim) {
                (Some(m), Some(all)) if m != 0.0 && all != 0.0 => mscale(m) / mscale(all),
                _ => mscale(1.0),
            };
            let or = |value: Option<f64>, default: f64| value.filter(|v| *v != 0.0).unwrap_or(default);
            Ok(RopeScaling::Yarn {
                factor,
                original_max_position_embeddings: original,
                attention_factor: p.attention_factor.unwrap_or(inferred),
                beta_fast: or(p.beta_fast, 32.0),
                beta_slow: or(p.beta_slow, 1.0),
                truncate: p.truncate.unwrap_or(true),
            })
        }
        other => Err(ConfigProblem::RopeType { name: other.to_owned() }),
    }
}

fn positive(key: &'static str, value: f64) -> Result<(), ConfigProblem> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(ConfigProblem::Value { key, value: value.to_string(), reason: "it must be positive and finite".into() })
}

//! From the vectors of a text's tokens to one, as sentence-transformers' `Pooling` does it.

use serde::{Deserialize, Serialize};

/// How the vectors of a text's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// That of the first token, `[CLS]`.
    Cls,
    /// The largest value of each component.
    Max,
    /// Their mean.
    Mean,
    /// Their sum, divided by the root of their number.
    MeanSqrtLen,
    /// Their mean, weighted by their place: 1, 2, 3, ... (Muennighoff 2022, arXiv:2202.08904).
    WeightedMean,
    /// That of the last token.
    LastToken,
}

impl Pooling {
    /// All of them, in the order in which sentence-transformers puts them together, under the names of its new and its
    /// old configuration files.
    const NAMES: [(Self, &'static str, &'static str); 6] = [
        (Self::Cls, "cls", "pooling_mode_cls_token"),
        (Self::Max, "max", "pooling_mode_max_tokens"),
        (Self::Mean, "mean", "pooling_mode_mean_tokens"),
        (Self::MeanSqrtLen, "mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens"),
        (Self::WeightedMean, "weightedmean", "pooling_mode_weightedmean_tokens"),
        (Self::LastToken, "lasttoken", "pooling_mode_lasttoken"),
    ];

    /// What a `1_Pooling/config.json` asks for, in the order in which the vectors are put together.
    ///
    /// # Errors
    /// What of it is not known, or that it asks for nothing.
    pub(super) fn of_config(config: &serde_json::Map<String, serde_json::Value>) -> Result<Vec<Self>, String> {
        let mut modes = Vec::new();
        if let Some(named) = config.get("pooling_mode").filter(|mode| !mode.is_null()) {
            // One name, or several: a list, or joined by a plus.
            let names: Vec<&str> = match named {
                serde_json::Value::String(names) => names.split('+').map(str::trim).collect(),
                serde_json::Value::Array(names) => names.iter().map(|name| name.as_str().unwrap_or("?")).collect(),
                _ => Vec::new(),
            };
            for name in names {
                let known =
                    Self::NAMES.iter().find(|(_, new, _)| *new == name || new.trim_end_matches("_tokens") == name);
                modes.push(known.ok_or_else(|| format!("`pooling_mode` is `{name}`, which is not supported"))?.0);
            }
        }
        for (key, value) in config.iter().filter(|(key, _)| key.starts_with("pooling_mode_")) {
            let known = Self::NAMES.iter().find(|(_, _, old)| old == key);
            match (known, value.as_bool()) {
                (_, Some(false)) => {}
                (Some((mode, ..)), Some(true)) => modes.push(*mode),
                _ => return Err(format!("`{key}` is {value}, which is not supported")),
            }
        }
        if config.get("include_prompt").is_some_and(|include| include == false) {
            return Err("`include_prompt` is false: leaving prompts out of the mean is not supported".to_owned());
        }
        modes.sort_unstable();
        modes.dedup();
        if modes.is_empty() { Err("it names no pooling mode".to_owned()) } else { Ok(modes) }
    }

    /// The vector of a text from those of its tokens, one at least.
    pub(super) fn pool(self, tokens: &[&[f32]]) -> Vec<f32> {
        let count = tokens.len() as f32;
        let (first, last) = (&tokens[0], &tokens[tokens.len() - 1]);
        let weighted = |weight: &dyn Fn(usize) -> f32| -> Vec<f32> {
            let mut sum = vec![0.0; first.len()];
            for (place, token) in tokens.iter().enumerate() {
                sum.iter_mut().zip(*token).for_each(|(sum, value)| *sum += weight(place) * value);
            }
            sum
        };
        match self {
            Self::Cls => first.to_vec(),
            Self::LastToken => last.to_vec(),
            Self::Max => {
                let largest = |component: usize| tokens.iter().map(|token| token[component]).fold(f32::MIN, f32::max);
                (0..first.len()).map(largest).collect()
            }
            Self::Mean => weighted(&|_| 1.0 / count),
            Self::MeanSqrtLen => weighted(&|_| 1.0 / count.sqrt()),
            Self::WeightedMean => {
                let all = count * (count + 1.0) / 2.0;
                weighted(&|place| (place + 1) as f32 / all)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modes(json: &str) -> Result<Vec<Pooling>, String> {
        Pooling::of_config(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn both_forms_of_the_file_are_read_and_what_is_unknown_is_named() {
        use Pooling::{Cls, LastToken, Max, Mean, MeanSqrtLen, WeightedMean};
        for (json, expect) in [
            (r#"{"word_embedding_dimension": 8, "pooling_mode_cls_token": true}"#, vec![Cls]),
            (r#"{"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}"#, vec![Mean]),
            (r#"{"pooling_mode_max_tokens": true, "pooling_mode_mean_tokens": true}"#, vec![Max, Mean]),
            (r#"{"pooling_mode_lasttoken": true, "include_prompt": true}"#, vec![LastToken]),
            (r#"{"pooling_mode": "cls"}"#, vec![Cls]),
            (r#"{"pooling_mode": "lasttoken"}"#, vec![LastToken]),
            (r#"{"pooling_mode": ["weightedmean", "max"]}"#, vec![Max, WeightedMean]),
            (r#"{"pooling_mode": "mean+cls"}"#, vec![Cls, Mean]),
            (r#"{"pooling_mode": "mean_sqrt_len_tokens"}"#, vec![MeanSqrtLen]),
        ] {
            assert_eq!(modes(json).unwrap(), expect, "{json}");
        }
        for (json, named) in [
            (r#"{"pooling_mode": "attention"}"#, "attention"),
            (r#"{"pooling_mode_splade": true}"#, "pooling_mode_splade"),
            (r#"{"pooling_mode_mean_tokens": false}"#, "no pooling mode"),
            (r#"{"pooling_mode": "mean", "include_prompt": false}"#, "include_prompt"),
        ] {
            assert!(modes(json).unwrap_err().contains(named), "{json}");
        }
    }

    /// The numbers are those of numpy, with the formulas of sentence-transformers 5 (`models/Pooling.py`).
    #[test]
    fn pooled_vectors() {
        let tokens: [&[f32]; 3] = [&[1.0, -2.0], &[3.0, 0.0], &[-1.0, 5.0]];
        for (mode, expect) in [
            (Pooling::Cls, [1.0, -2.0]),
            (Pooling::Max, [3.0, 5.0]),
            (Pooling::Mean, [1.0, 1.0]),
            (Pooling::MeanSqrtLen, [1.732_050_8, 1.732_050_8]),
            (Pooling::WeightedMean, [0.666_666_7, 2.166_666_7]),
            (Pooling::LastToken, [-1.0, 5.0]),
        ] {
            let pooled = mode.pool(&tokens);
            assert!(pooled.iter().zip(expect).all(|(a, b)| (a - b).abs() < 1e-6), "{mode:?}: {pooled:?}");
        }
    }
}

//! Cross-encoders: models that read a query and a passage together and say how well they fit (Nogueira and Cho 2019,
//! arXiv:1901.04085). A pair's score does not depend on the pairs beside it.

use std::path::{Path, PathBuf};

use candle_core::Result;
use rayon::prelude::*;
use serde_json::Value;

use super::{
    EmbedError, GROUP, PORTION,
    encoder::{Encoder, Family, Head, Tokens, weights},
    groups, read, there,
};
use crate::{
    ops::{Crew, Team},
    tokenizer::Tokenizer,
};

/// A cross-encoder with one score.
pub struct Ranker {
    model: Encoder,
    head: Head,
    tokenizer: Tokenizer,
    /// Longest pair in tokens, special ones included.
    max_length: usize,
    dim: usize,
    segments: bool,
}

impl Ranker {
    /// Opens a Hugging Face directory of a model for sequence classification with one label.
    ///
    /// # Errors
    /// A file is missing or damaged, the family is not supported, or the model has several labels.
    pub fn open(dir: &Path) -> std::result::Result<Self, EmbedError> {
        Self::check(dir)?;
        let (family, config) = Family::of(dir)?;
        let tokenizer = Tokenizer::from_dir(dir)?;
        let wrong = |source| EmbedError::Weights { path: dir.to_owned(), source };
        Ok(Self {
            model: family.open(dir, &config).map_err(wrong)?,
            head: Head::load(&weights(dir).map_err(wrong)?, family, &config, dir).map_err(wrong)?,
            tokenizer,
            max_length: config.longest.max(3),
            dim: config.dim,
            segments: config.segments > 1,
        })
    }

    /// Looks at the files without reading the weights.
    ///
    /// # Errors
    /// As [`Ranker::open`], as far as that shows without them.
    pub(crate) fn check(dir: &Path) -> std::result::Result<(), EmbedError> {
        Family::of(dir)?;
        there(dir)?;
        let problem = match labels(dir.join("config.json"))? {
            Some(1) => return Ok(()),
            Some(labels) => format!("it tells {labels} labels apart, and a reranker says one score"),
            None => "its config.json names no labels, and a reranker is a model for sequence classification with one"
                .to_owned(),
        };
        Err(EmbedError::Module { path: dir.to_owned(), problem })
    }

    /// The score of each pair of a query and a passage: the model's logit. `None` where `between`, asked in between,
    /// says not to go on.
    ///
    /// # Errors
    /// A text cannot be tokenized; the model fails.
    pub fn score_all<S: AsRef<str> + Sync>(
        &self,
        pairs: &[(S, S)],
        between: impl Fn() -> bool + Sync,
    ) -> std::result::Result<Option<Vec<f32>>, EmbedError> {
        let mut scores = Vec::with_capacity(pairs.len());
        for portion in pairs.chunks(PORTION) {
            let tokens: Vec<Tokens> = (portion.par_iter())
                .map(|(query, passage)| self.tokens(query.as_ref(), passage.as_ref()))
                .collect::<std::result::Result<_, _>>()?;
            let first = scores.len();
            let one = |crew: Crew, group: &std::ops::Range<usize>| {
                let (from, to) = (first + group.start, first + group.end - 1);
                let failed = |source| EmbedError::Forward { first: from, last: to, source };
                if between() { self.group(crew, &tokens[group.clone()]).map(Some).map_err(failed) } else { Ok(None) }
            };
            let (groups, threads) = (groups(&tokens, GROUP), rayon::current_num_threads());
            let found: Option<Vec<_>> = if groups.len() < 2 * threads {
                let all = groups.iter().map(|group| Team::gather(threads, |crew| one(crew, group)));
                all.collect::<std::result::Result<_, _>>()?
            } else {
                groups.par_iter().map(|group| one(Crew::Alone, group)).collect::<std::result::Result<_, _>>()?
            };
            let Some(found) = found else { return Ok(None) };
            scores.extend(found.into_iter().flatten());
        }
        Ok(Some(scores))
    }

    /// The tokens of a pair; the longer of both is cut first, as in transformers' `longest_first`.
    fn tokens(&self, query: &str, passage: &str) -> std::result::Result<Tokens, EmbedError> {
        let (ids, segments) = self.tokenizer.encode_pair(query, passage, self.max_length)?;
        Ok(Tokens { ids, segments: if self.segments { segments } else { Vec::new() } })
    }

    fn group(&self, crew: Crew, pairs: &[Tokens]) -> Result<Vec<f32>> {
        let hidden = self.model.forward(crew, pairs)?;
        let mut left = &hidden[..];
        let mut scores = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let (rows, rest) = left.split_at(pair.ids.len() * self.dim);
            left = rest;
            scores.push(if rows.is_empty() { 0.0 } else { self.head.score(rows) });
        }
        Ok(scores)
    }
}

/// The number of labels, as transformers counts them; `None` where the file says nothing of labels.
fn labels(place: PathBuf) -> std::result::Result<Option<usize>, EmbedError> {
    let config: Value = read(place)?;
    let named = config["id2label"].as_object().map(serde_json::Map::len);
    Ok(config["num_labels"].as_u64().map(|n| n as usize).or(named))
}

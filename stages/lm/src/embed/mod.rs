//! Text embeddings by encoders: BERT (Devlin et al. 2018, arXiv:1810.04805) and its relatives.
//!
//! Texts go through the layers in groups, packed without padding; nothing of a vector depends on the texts beside it.

mod encoder;
mod modules;
mod pooling;
mod prompts;
mod ranker;

use std::{
    borrow::Cow,
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use rayon::prelude::*;
use serde::Deserialize;

use encoder::{Encoder, Family, Tokens};
use modules::Modules;
pub use pooling::Pooling;
pub use prompts::{Prompts, Role};
pub use ranker::Ranker;

use crate::{
    ops::{Crew, Team},
    tokenizer::{Tokenizer, TokenizerError},
};

/// An embedding model.
pub struct Embedder {
    model: Encoder,
    dim: usize,
    tokenizer: Tokenizer,
    /// Put together in this order.
    pooling: Vec<Pooling>,
    dense: Vec<modules::Dense>,
    lower_case: bool,
    /// Longest text in tokens, special ones included; what is longer is cut.
    max_length: usize,
    dimensions: usize,
    /// Texts that were cut.
    cut: AtomicUsize,
}

/// Why texts could not be embedded. Messages complete "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// A file could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A configuration that is none of an encoder's.
    #[error("use {} as the configuration of an embedding model", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_path_to_error::Error<serde_json::Error>,
    },
    /// Another architecture.
    #[error("use {} as an embedding model: its model_type is `{found}`, those supported are {known}", path.display())]
    Architecture {
        /// The configuration.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What is supported, as it is shown.
        known: String,
    },
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A module of sentence-transformers that would change the vectors and is not supported.
    #[error("use the module in {}: {problem}", path.display())]
    Module {
        /// Its folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The weights cannot be used.
    #[error("load the embedding model in {}", path.display())]
    Weights {
        /// The directory.
        path: PathBuf,
        /// What candle said.
        source: candle_core::Error,
    },
    /// The model failed on a group of texts.
    #[error("embed texts {first} to {last}")]
    Forward {
        /// The place of its first among the texts.
        first: usize,
        /// That of its last.
        last: usize,
        /// What candle said.
        source: candle_core::Error,
    },
}

/// `sentence_bert_config.json` of sentence-transformers.
#[derive(Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

fn read<T: for<'de> Deserialize<'de>>(path: PathBuf) -> Result<T, EmbedError> {
    let text = std::fs::read_to_string(&path).map_err(|source| EmbedError::Read { path: path.clone(), source })?;
    crate::json::parse(&text).map_err(|source| EmbedError::Config { path, source })
}

fn read_if_there<T: for<'de> Deserialize<'de>>(path: PathBuf) -> Result<Option<T>, EmbedError> {
    if path.exists() { read(path).map(Some) } else { Ok(None) }
}

impl Embedder {
    /// Opens a Hugging Face directory with `config.json`, `tokenizer.json` and `model.safetensors`. The files of
    /// sentence-transformers count where there are any: pooling (unless `pooling` replaces it), dense layers behind it,
    /// the longest text. Without them texts are pooled by the mean.
    ///
    /// # Errors
    /// A file is missing or damaged, the model is not of BERT's family, or it has modules that are not supported.
    pub fn open(dir: &Path, pooling: Option<Pooling>) -> Result<Self, EmbedError> {
        let (family, config) = Family::of(dir)?;
        let tokenizer = Tokenizer::from_dir(dir)?;
        let Modules { pooling: said, dense } = Modules::read(dir)?;
        let pooling = pooling.map(|mode| vec![mode]).or(said).unwrap_or_else(|| vec![Pooling::Mean]);
        let mut dimensions = config.dim * pooling.len();
        for layer in &dense {
            let (inner, out) = layer.shape();
            if inner != dimensions {
                let problem = format!("a Dense module takes vectors of {inner} components, and is given {dimensions}");
                return Err(EmbedError::Module { path: dir.to_owned(), problem });
            }
            dimensions = out;
        }
        let said: Option<SentenceConfig> = read_if_there(dir.join("sentence_bert_config.json"))?;
        let lower_case = said.as_ref().is_some_and(|c| c.do_lower_case);
        let limit = said.and_then(|c| c.max_seq_length).unwrap_or(config.longest);
        there(dir)?;
        let wrong = |source| EmbedError::Weights { path: dir.to_owned(), source };
        Ok(Self {
            model: family.open(dir, &config).map_err(wrong)?,
            dim: config.dim,
            tokenizer,
            pooling,
            dense,
            lower_case,
            max_length: limit.min(config.longest).max(2),
            dimensions,
            cut: AtomicUsize::new(0),
        })
    }

    /// Looks at the files without reading the weights.
    ///
    /// # Errors
    /// As [`Embedder::open`], as far as that shows without them.
    pub(crate) fn check(dir: &Path) -> Result<(), EmbedError> {
        Family::of(dir)?;
        Modules::read(dir)?;
        there(dir)
    }

    /// The number of components of the vectors that [`Embedder::open`] would make, found without reading the weights.
    ///
    /// # Errors
    /// As [`Embedder::check`].
    pub fn width(dir: &Path, pooling: Option<Pooling>) -> Result<usize, EmbedError> {
        let (_, config) = Family::of(dir)?;
        let Modules { pooling: said, dense } = Modules::read(dir)?;
        let modes = pooling.map(|_| 1).or(said.map(|modes| modes.len())).unwrap_or(1);
        Ok(dense.last().map_or(config.dim * modes, |layer| layer.shape().1))
    }

    /// The number of components of a vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The longest text that the model takes, in tokens; and how many texts were cut there so far.
    pub fn cut(&self) -> (usize, usize) {
        (self.max_length, self.cut.load(Ordering::Relaxed))
    }

    /// The vectors of some texts, of length 1, in their order; computed in parallel. `between` is asked in between
    /// whether to go on, and `None` comes back when it says no.
    ///
    /// # Errors
    /// A text cannot be tokenized; the model fails.
    pub fn embed_all<S: AsRef<str> + Sync>(
        &self,
        texts: &[S],
        between: impl Fn() -> bool + Sync,
    ) -> Result<Option<Vec<Vec<f32>>>, EmbedError> {
        let mut vectors = Vec::with_capacity(texts.len());
        for portion in texts.chunks(PORTION) {
            let tokens: Vec<Tokens> =
                portion.par_iter().map(|text| self.tokens(text.as_ref())).collect::<Result<_, _>>()?;
            let groups = groups(&tokens, GROUP);
            let first = vectors.len();
            let one = |crew: Crew, group: &Range<usize>| {
                let failed =
                    |source| EmbedError::Forward { first: first + group.start, last: first + group.end - 1, source };
                if between() { self.group(crew, &tokens[group.clone()]).map(Some).map_err(failed) } else { Ok(None) }
            };
            // Few groups are worked on by all threads together, many by a thread each; the bits are the same.
            let threads = rayon::current_num_threads();
            let found: Option<Vec<_>> = if groups.len() < 2 * threads {
                groups.iter().map(|group| Team::gather(threads, |crew| one(crew, group))).collect::<Result<_, _>>()?
            } else {
                groups.par_iter().map(|group| one(Crew::Alone, group)).collect::<Result<_, _>>()?
            };
            let Some(found) = found else { return Ok(None) };
            vectors.extend(found.into_iter().flatten());
        }
        Ok(Some(vectors))
    }

    /// The tokens of a text, as many as the model takes.
    fn tokens(&self, text: &str) -> Result<Tokens, EmbedError> {
        let text = if self.lower_case { Cow::Owned(text.to_lowercase()) } else { Cow::Borrowed(text) };
        let mut ids = self.tokenizer.encode(&text, true)?;
        if ids.len() > self.max_length {
            // The last token separates texts and is kept, as in transformers' truncation.
            self.cut.fetch_add(1, Ordering::Relaxed);
            let last = ids[ids.len() - 1];
            ids.truncate(self.max_length - 1);
            ids.push(last);
        }
        Ok(Tokens { ids, segments: Vec::new() })
    }

    /// The vectors of a group of texts.
    fn group(&self, crew: Crew, texts: &[Tokens]) -> candle_core::Result<Vec<Vec<f32>>> {
        let hidden = self.model.forward(crew, texts)?;
        let mut left = &hidden[..];
        let mut vectors = Vec::with_capacity(texts.len());
        for text in texts {
            let (rows, rest) = left.split_at(text.ids.len() * self.dim);
            left = rest;
            let tokens: Vec<&[f32]> = rows.chunks_exact(self.dim).collect();
            let mut vector: Vec<f32> = if tokens.is_empty() {
                vec![0.0; self.dim * self.pooling.len()]
            } else {
                self.pooling.iter().flat_map(|mode| mode.pool(&tokens)).collect()
            };
            for layer in &self.dense {
                vector = layer.forward(vector)?;
            }
            let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
            for v in &mut vector {
                *v /= length;
            }
            vectors.push(vector);
        }
        Ok(vectors)
    }
}

/// Texts that are tokenised before any of them is embedded.
const PORTION: usize = 4096;
/// Tokens of a group from which on it is closed: its activations stay within a core's cache.
const GROUP: usize = 256;

/// Successive texts whose tokens go through the layers together.
fn groups(texts: &[Tokens], least: usize) -> Vec<Range<usize>> {
    let (mut groups, mut start, mut tokens) = (Vec::new(), 0, 0);
    for (at, text) in texts.iter().enumerate() {
        tokens += text.ids.len();
        if tokens >= least || at + 1 == texts.len() {
            groups.push(start..at + 1);
            (start, tokens) = (at + 1, 0);
        }
    }
    groups
}

fn there(dir: &Path) -> Result<(), EmbedError> {
    let weights = dir.join("model.safetensors");
    std::fs::File::open(&weights).map(drop).map_err(|source| EmbedError::Read { path: weights, source })
}

//! Text embeddings by models of BERT's family (Devlin et al. 2018, arXiv:1810.04805).
//!
//! Every text is embedded by itself: no padding, and nothing of a vector depends on the texts beside it.

mod bert;
mod modules;
mod pooling;

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, IndexOp, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;
use serde::Deserialize;

use bert::{Bert, Config};
use modules::Modules;
pub use pooling::Pooling;

use crate::tokenizer::{Tokenizer, TokenizerError};

/// An embedding model.
pub struct Embedder {
    model: Bert,
    tokenizer: Tokenizer,
    /// Put together in this order.
    pooling: Vec<Pooling>,
    dense: Vec<modules::Dense>,
    lower_case: bool,
    /// Longest text in tokens, special ones included; what is longer is cut.
    max_length: usize,
    dimensions: usize,
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
    /// A configuration that is none of BERT's.
    #[error("use {} as the configuration of an embedding model", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_path_to_error::Error<serde_json::Error>,
    },
    /// Another architecture.
    #[error("use {} as an embedding model: its model_type is `{found}`, and only `bert` is supported", path.display())]
    Architecture {
        /// The configuration.
        path: PathBuf,
        /// What it says.
        found: String,
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
    /// The model failed on a text.
    #[error("embed text {row}")]
    Forward {
        /// Its place among the texts.
        row: usize,
        /// What candle said.
        source: candle_core::Error,
    },
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    model_type: String,
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
        let config = Self::config(dir)?;
        let tokenizer = Tokenizer::from_dir(dir)?;
        let Modules { pooling: said, dense } = Modules::read(dir)?;
        let pooling = pooling.map(|mode| vec![mode]).or(said).unwrap_or_else(|| vec![Pooling::Mean]);
        let mut dimensions = config.hidden_size * pooling.len();
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
        let limit = said.and_then(|c| c.max_seq_length).unwrap_or(config.max_position_embeddings);
        let weights = dir.join("model.safetensors");
        let bytes = std::fs::read(&weights).map_err(|source| EmbedError::Read { path: weights, source })?;
        let wrong = |source| EmbedError::Weights { path: dir.to_owned(), source };
        let variables = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu).map_err(wrong)?;
        Ok(Self {
            model: Bert::load(variables, &config).map_err(wrong)?,
            tokenizer,
            pooling,
            dense,
            lower_case,
            max_length: limit.min(config.max_position_embeddings).max(2),
            dimensions,
        })
    }

    fn config(dir: &Path) -> Result<Config, EmbedError> {
        let place = dir.join("config.json");
        let Kind { model_type } = read(place.clone())?;
        if model_type != "bert" {
            return Err(EmbedError::Architecture { path: place, found: model_type });
        }
        read(place)
    }

    /// Looks at the files without reading the weights.
    ///
    /// # Errors
    /// As [`Embedder::open`], as far as that shows without them.
    pub(crate) fn check(dir: &Path) -> Result<(), EmbedError> {
        Self::config(dir)?;
        Modules::read(dir)?;
        let weights = dir.join("model.safetensors");
        std::fs::File::open(&weights).map(drop).map_err(|source| EmbedError::Read { path: weights, source })
    }

    /// The number of components of a vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
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
        let one = |(row, text): (usize, &S)| {
            if between() { self.embed(row, text.as_ref()).map(Some) } else { Ok(None) }
        };
        texts.par_iter().enumerate().map(one).collect()
    }

    fn embed(&self, row: usize, text: &str) -> Result<Vec<f32>, EmbedError> {
        let text = if self.lower_case { Cow::Owned(text.to_lowercase()) } else { Cow::Borrowed(text) };
        let mut ids = self.tokenizer.encode(&text, true)?;
        if ids.len() > self.max_length {
            // The last token separates texts and is kept, as in transformers' truncation.
            let last = ids[ids.len() - 1];
            ids.truncate(self.max_length - 1);
            ids.push(last);
        }
        self.forward(&ids).map_err(|source| EmbedError::Forward { row, source })
    }

    fn forward(&self, ids: &[u32]) -> candle_core::Result<Vec<f32>> {
        let ids = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        let hidden = self.model.forward(&ids)?.i(0)?;
        let mut vector: Vec<f32> = if let [Pooling::Mean] = self.pooling[..] {
            hidden.mean(0)?.to_vec1()?
        } else {
            let tokens: Vec<Vec<f32>> = hidden.to_vec2()?;
            self.pooling.iter().flat_map(|mode| mode.pool(&tokens)).collect()
        };
        for layer in &self.dense {
            vector = layer.forward(vector)?;
        }
        let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
        Ok(vector.into_iter().map(|v| v / length).collect())
    }
}

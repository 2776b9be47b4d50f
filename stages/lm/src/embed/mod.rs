//! Text embeddings by models of BERT's family (Devlin et al. 2018, arXiv:1810.04805), through candle-transformers.
//!
//! Every text is embedded by itself: no padding, and nothing of a vector depends on the texts beside it.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, IndexOp, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use rayon::prelude::*;
use serde::Deserialize;

use crate::tokenizer::{Tokenizer, TokenizerError};

/// How the vectors of a text's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first token, `[CLS]`.
    Cls,
}

/// An embedding model.
pub struct Embedder {
    model: BertModel,
    tokenizer: Tokenizer,
    pooling: Pooling,
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

/// `1_Pooling/config.json` of sentence-transformers.
#[derive(Deserialize)]
struct PoolingConfig {
    #[serde(default)]
    pooling_mode_cls_token: bool,
}

/// `sentence_bert_config.json` of sentence-transformers.
#[derive(Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
}

fn read<T: for<'de> Deserialize<'de>>(path: PathBuf) -> Result<T, EmbedError> {
    let text = std::fs::read_to_string(&path).map_err(|source| EmbedError::Read { path: path.clone(), source })?;
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(&text))
        .map_err(|source| EmbedError::Config { path, source })
}

fn read_if_there<T: for<'de> Deserialize<'de>>(path: PathBuf) -> Result<Option<T>, EmbedError> {
    if path.exists() { read(path).map(Some) } else { Ok(None) }
}

impl Embedder {
    /// Opens a Hugging Face directory with `config.json`, `tokenizer.json` and `model.safetensors`. `pooling` and the longest text are taken from the files
    /// of sentence-transformers where there are any and nothing else is said; without them texts are pooled by the mean.
    ///
    /// # Errors
    /// A file is missing or damaged, or the model is not of BERT's family.
    pub fn open(dir: &Path, pooling: Option<Pooling>) -> Result<Self, EmbedError> {
        let place = dir.join("config.json");
        let Kind { model_type } = read(place.clone())?;
        if model_type != "bert" {
            return Err(EmbedError::Architecture { path: place, found: model_type });
        }
        let config: Config = read(place)?;
        let tokenizer = Tokenizer::from_dir(dir)?;
        let said: Option<PoolingConfig> = read_if_there(dir.join("1_Pooling/config.json"))?;
        let said = said.map(|p| if p.pooling_mode_cls_token { Pooling::Cls } else { Pooling::Mean });
        let limit: Option<SentenceConfig> = read_if_there(dir.join("sentence_bert_config.json"))?;
        let limit = limit.and_then(|c| c.max_seq_length).unwrap_or(config.max_position_embeddings);
        let weights = dir.join("model.safetensors");
        let bytes = std::fs::read(&weights).map_err(|source| EmbedError::Read { path: weights, source })?;
        let wrong = |source| EmbedError::Weights { path: dir.to_owned(), source };
        let variables = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu).map_err(wrong)?;
        Ok(Self {
            model: BertModel::load(variables, &config).map_err(wrong)?,
            tokenizer,
            pooling: pooling.or(said).unwrap_or(Pooling::Mean),
            max_length: limit.min(config.max_position_embeddings).max(2),
            dimensions: config.hidden_size,
        })
    }

    /// The number of components of a vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The vectors of some texts, of length 1, in their order; computed in parallel. `between` is asked in between whether to go on, and
    /// `None` comes back when it says no.
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
        let mut ids = self.tokenizer.encode(text, true)?;
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
        let hidden = self.model.forward(&ids, &ids.zeros_like()?, None)?.i(0)?;
        let pooled = match self.pooling {
            Pooling::Mean => hidden.mean(0)?,
            Pooling::Cls => hidden.i(0)?,
        };
        let vector: Vec<f32> = pooled.to_vec1()?;
        let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
        Ok(vector.into_iter().map(|v| v / length).collect())
    }
}

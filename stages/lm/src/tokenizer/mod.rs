//! Text to token ids and back, as `tokenizer.json` says.
//!
//! Which special tokens surround a text is decided by the post-processor of `tokenizer.json` alone, as in
//! `transformers` 5: where that file exists, `add_bos_token` and `add_eos_token` of `tokenizer_config.json` have no
//! effect there either.

mod joint;
mod special;
mod train;

use std::path::PathBuf;

use rayon::prelude::*;
use tokenizers::{ModelWrapper, PostProcessor, PostProcessorWrapper};

pub use joint::Joint;
pub use special::{SpecialTokens, TokenizerConfig};
pub use train::{EOS, train_bpe};

use crate::{config::DecoderConfig, folder::Folder, quiet::caught};

/// A tokenizer with its named special tokens.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    special: SpecialTokens,
    place: PathBuf,
    dropout: Option<f32>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("place", &self.place).field("special", &self.special).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads `tokenizer.json` of a checkpoint directory and, where there is one, `tokenizer_config.json`.
    ///
    /// # Errors
    /// A file is missing or malformed, or a named special token is not in the vocabulary.
    pub fn from_dir<'a>(dir: impl Into<Folder<'a>>) -> Result<Self, TokenizerError> {
        const NAME: &str = "tokenizer.json";
        let dir = dir.into();
        let place = dir.place(NAME);
        let bytes = dir.bytes(NAME).map_err(|source| TokenizerError::Read { path: place.clone(), source })?;
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let inner = without_panic(|| tokenizers::Tokenizer::from_bytes(text))
            .map_err(|source| TokenizerError::Format { path: place.clone(), source })?;
        let config = TokenizerConfig::from_dir(dir)?;
        Self::new(inner, config.special, place)
    }

    /// Takes a tokenizer made elsewhere; `place` appears in messages only.
    ///
    /// # Errors
    /// A named special token is not in the vocabulary.
    pub fn new(
        mut inner: tokenizers::Tokenizer,
        special: SpecialTokens,
        place: PathBuf,
    ) -> Result<Self, TokenizerError> {
        // Both would change a text silently; whoever needs them does them on purpose.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|source| TokenizerError::Format { path: place.clone(), source })?;
        let dropout = fix(&mut inner);
        for (role, token) in special.named() {
            if inner.token_to_id(token).is_none() {
                let token = token.to_owned();
                return Err(TokenizerError::UnknownSpecial { path: place, role, token });
            }
        }
        Ok(Self { inner, special, place, dropout })
    }

    /// The ids of a text. `add_special_tokens` surrounds it with what the model expects at the start (and end) of a
    /// document.
    ///
    /// # Errors
    /// The text cannot be represented (a word-level vocabulary without an unknown token).
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, TokenizerError> {
        Ok(self.guarded(|| self.inner.encode_fast(text, add_special_tokens))?.get_ids().to_vec())
    }

    /// The ids of two texts as one, with the segment of each, `max` at most: the longer text is cut first.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_pair(&self, first: &str, second: &str, max: usize) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
        let encoded = self.guarded(|| {
            let mut both = [self.inner.encode(first, false)?, self.inner.encode(second, false)?];
            let added = self.inner.get_post_processor().map_or(0, |post| post.added_tokens(true));
            let mut lengths = both.each_ref().map(tokenizers::Encoding::len);
            let most = max.saturating_sub(added);
            // One token at a time off the longer one, worked out at once.
            if lengths[0] + lengths[1] > most {
                let (short, long) = if lengths[0] < lengths[1] { (0, 1) } else { (1, 0) };
                lengths[short] = lengths[short].min(most / 2);
                lengths[long] = most - lengths[short];
            }
            for (encoding, length) in both.iter_mut().zip(lengths) {
                encoding.truncate(length, 0, tokenizers::TruncationDirection::Right);
            }
            let [first, second] = both;
            self.inner.post_process(first, Some(second), true)
        })?;
        Ok((encoded.get_ids().to_vec(), encoded.get_type_ids().to_vec()))
    }

    fn guarded<T>(&self, encode: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, TokenizerError> {
        without_panic(encode).map_err(|source| TokenizerError::Encode { path: self.place.clone(), source })
    }

    /// The probability with which the file has merges dropped, if it does: that is off here, or a text would have other
    /// tokens every time.
    pub fn dropout(&self) -> Option<f32> {
        self.dropout
    }

    /// Whether an id is a special token: it stands for itself in a text, and is left out when ids become text.
    pub fn is_special(&self, id: u32) -> bool {
        self.inner.get_added_vocabulary().get_added_tokens_decoder().get(&id).is_some_and(|token| token.special)
    }

    /// [`Tokenizer::encode`] of many texts on all cores, in their order.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`], for the first text that fails.
    pub fn encode_all<S: AsRef<str> + Sync>(
        &self,
        texts: &[S],
        add_special_tokens: bool,
    ) -> Result<Vec<Vec<u32>>, TokenizerError> {
        texts.par_iter().map(|text| self.encode(text.as_ref(), add_special_tokens)).collect()
    }

    /// The text of some ids. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// The decoder of `tokenizer.json` fails.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String, TokenizerError> {
        without_panic(|| self.inner.decode(ids, skip_special_tokens))
            .map_err(|source| TokenizerError::Decode { path: self.place.clone(), source })
    }

    /// The id of a token, spelled as in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id, spelled as in the vocabulary.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of the token that begins a text, if one is named.
    pub fn bos(&self) -> Option<u32> {
        self.special.bos_token.as_deref().and_then(|t| self.id(t))
    }

    /// The id of the token that ends a text, if one is named.
    pub fn eos(&self) -> Option<u32> {
        self.special.eos_token.as_deref().and_then(|t| self.id(t))
    }

    /// The id that stands in front of a text by itself: of its beginning, else of an end; `ends` are the model's own.
    pub fn first_token(&self, ends: &[u32]) -> Option<u32> {
        self.bos().or(self.eos()).or(ends.first().copied())
    }

    /// The id of the token used to fill up, if one is named.
    pub fn pad(&self) -> Option<u32> {
        self.special.pad_token.as_deref().and_then(|t| self.id(t))
    }

    /// The named special tokens, as chat templates see them.
    pub fn special(&self) -> &SpecialTokens {
        &self.special
    }

    /// One more than the largest id.
    pub fn len(&self) -> usize {
        let vocab = self.inner.get_vocab(true);
        vocab.values().max().map_or(0, |id| *id as usize + 1)
    }

    /// Whether there are no tokens at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks that every id has a row in the embedding table and that a generation can end.
    ///
    /// # Errors
    /// The vocabulary is larger than the embedding table, the model's end-of-text id is no token, or neither names one.
    pub fn check_fits(&self, config: &DecoderConfig) -> Result<(), TokenizerError> {
        let path = || self.place.clone();
        let len = self.len();
        if len > config.vocab_size {
            return Err(TokenizerError::TooLarge { path: path(), tokens: len, rows: config.vocab_size });
        }
        for &id in &config.eos_token_ids {
            if self.token(id).is_none() {
                return Err(TokenizerError::EosIsNoToken { path: path(), id, tokens: len });
            }
        }
        if config.eos_token_ids.is_empty() && self.eos().is_none() {
            return Err(TokenizerError::NoEos { path: path() });
        }
        Ok(())
    }

    /// The text of its `tokenizer.json`.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn to_json(&self) -> Result<String, TokenizerError> {
        let text = self.inner.to_string(true);
        text.map_err(|source| TokenizerError::Format { path: self.place.clone(), source })
    }

    /// The underlying tokenizer, for export.
    pub(crate) fn inner(&self) -> &tokenizers::Tokenizer {
        &self.inner
    }
}

/// Damaged files (such as a `precompiled_charsmap` cut short) make the library panic, when they are read or with the
/// first text that meets the damage.
fn without_panic<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> tokenizers::Result<T> {
    caught(work).unwrap_or_else(|message| Err(format!("the file is damaged ({message})").into()))
}

/// Switches off what would make results depend on chance or lose places: dropout, which is returned, and offsets
/// without their spaces.
fn fix(inner: &mut tokenizers::Tokenizer) -> Option<f32> {
    let mut dropout = None;
    if let ModelWrapper::BPE(bpe) = inner.get_model()
        && let Some(share) = bpe.dropout.filter(|share| *share > 0.0)
    {
        let mut bpe = bpe.clone();
        bpe.dropout = None;
        dropout = Some(share);
        inner.with_model(bpe);
    }
    if let Some(mut processor) = inner.get_post_processor().cloned() {
        whole_offsets(&mut processor);
        inner.with_post_processor(Some(processor));
    }
    dropout
}

fn whole_offsets(processor: &mut PostProcessorWrapper) {
    match processor {
        PostProcessorWrapper::ByteLevel(part) => part.trim_offsets = false,
        PostProcessorWrapper::Roberta(part) => part.trim_offsets = false,
        PostProcessorWrapper::Sequence(parts) => parts.as_mut().iter_mut().for_each(whole_offsets),
        PostProcessorWrapper::Bert(_) | PostProcessorWrapper::Template(_) => {}
    }
}

/// Why a tokenizer could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `tokenizer.json` is malformed.
    #[error("use {} as a tokenizer", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: tokenizers::Error,
    },
    /// `tokenizer_config.json` or `special_tokens_map.json` is malformed.
    #[error("use {}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_path_to_error::Error<serde_json::Error>,
    },
    /// A named special token is not in the vocabulary.
    #[error("use {}: the {role} `{token}` is not in its vocabulary", path.display())]
    UnknownSpecial {
        /// The tokenizer.
        path: PathBuf,
        /// `bos_token` and so on.
        role: &'static str,
        /// Its spelling.
        token: String,
    },
    /// Some ids have no embedding.
    #[error(
        "use {} with this model: it has {tokens} tokens, but the embedding table has {rows} rows; the tokenizer \
         belongs to another model",
        path.display()
    )]
    TooLarge {
        /// The tokenizer.
        path: PathBuf,
        /// One more than the largest id.
        tokens: usize,
        /// `vocab_size`.
        rows: usize,
    },
    /// The model would end its texts with something that cannot be written.
    #[error(
        "use {} with this model: the model's eos_token_id {id} is none of its {tokens} tokens; the tokenizer belongs \
         to another model",
        path.display()
    )]
    EosIsNoToken {
        /// The tokenizer.
        path: PathBuf,
        /// The id.
        id: u32,
        /// One more than the largest id.
        tokens: usize,
    },
    /// Nothing would ever end a text.
    #[error(
        "use {} with this model: neither config.json nor tokenizer_config.json names an end-of-text token; add \
         `eos_token`",
        path.display()
    )]
    NoEos {
        /// The tokenizer.
        path: PathBuf,
    },
    /// A text could not be encoded.
    #[error("encode a text with {}", path.display())]
    Encode {
        /// The tokenizer.
        path: PathBuf,
        /// What went wrong.
        source: tokenizers::Error,
    },
    /// Ids could not be decoded.
    #[error("decode tokens with {}", path.display())]
    Decode {
        /// The tokenizer.
        path: PathBuf,
        /// What went wrong.
        source: tokenizers::Error,
    },
}

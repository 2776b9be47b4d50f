//! The parameter `embedder:`: what makes vectors of texts, and what of it enters a key.

use std::path::Path;

use pipe_cache::{Digest, Hasher};
use pipe_engine::{
    context::StageContext,
    kind::{Source, SourceHost, StageError},
};
use pipe_lm::{
    embed::{Embedder, Pooling, Prompts, Role},
    origin::{ModelOrigin, files_of, name_in},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ModelRef, NO_PATHS, carried, encoder, hub, model_error, no_embedder, numeric_class, place};

/// What makes vectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("x-path" = [&[LSA], &NO_PATHS[..]].concat()))]
pub struct EmbedderRef(String);

/// Looks at the files of a model that embeds or ranks.
pub(crate) type Check = fn(&Path) -> Result<(), pipe_lm::Error>;

/// The embedder that needs no model.
pub(crate) const LSA: &str = "lsa";

impl EmbedderRef {
    /// The model that it names; `None` where it is [`LSA`].
    ///
    /// # Errors
    /// It names none that can embed, as a sentence.
    pub(crate) fn model(&self) -> Result<Option<ModelRef>, String> {
        if self.0 == LSA {
            return Ok(None);
        }
        match ModelRef::parse(&self.0)? {
            ModelRef::Files(source @ (ModelOrigin::Directory(_) | ModelOrigin::Hub { gguf: None, .. })) => {
                Ok(Some(ModelRef::Files(source)))
            }
            other => Err(format!("{other} is no embedding model: it must be a Hugging Face directory")),
        }
    }

    /// Whether one that lies on this machine can be used, as far as `check` tells before a run.
    ///
    /// # Errors
    /// It is not there, or what `check` says.
    pub(crate) fn look(&self, host: &dyn SourceHost, check: Check) -> Result<(), StageError> {
        let model = self.model().map_err(StageError::user)?;
        let Some(ModelRef::Files(source @ ModelOrigin::Directory(_))) = model else { return Ok(()) };
        if let Some(carried) = carried(&source, host.base_dir())? {
            return Err(no_embedder(carried));
        }
        let here = source.relative_to(host.base_dir());
        let local = here.fetch(&hub(|name| host.env(name)), &|| host.cancelled()).map_err(model_error)?;
        check(&place(&local)).map_err(model_error)
    }

    /// What of an embedder enters a key; of one that comes from another stage its content is there already.
    pub(crate) fn sources(this: Option<&Self>) -> Result<Vec<Source>, StageError> {
        Ok(match this.map(Self::model).transpose().map_err(StageError::user)? {
            Some(None) => vec![Source::Value { label: "embedder".into(), value: LSA.into() }],
            Some(Some(model)) => [model.embedder(), encoder()].into_iter().chain(numeric_class()).collect(),
            None => [encoder()].into_iter().chain(numeric_class()).collect(),
        })
    }
}

/// Whether a text's own prefix is left to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelPrompts {
    /// Where no prefix is given, what the model's `config_sentence_transformers.json` says.
    #[default]
    Model,
    /// Nothing but the prefix that is given.
    None,
}

impl ModelPrompts {
    /// Whether it is what it usually is.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
    pub(crate) fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// What stands in front of texts: the prefix that is given, or else the model's own, of which a note tells.
    ///
    /// # Errors
    /// The model's file cannot be read.
    pub(crate) fn prefix(self, cx: &StageContext, dir: &Path, given: &str, role: Role) -> Result<String, StageError> {
        if !given.is_empty() || self == Self::None {
            return Ok(given.to_owned());
        }
        let prompts = Prompts::read(dir).map_err(model_error)?;
        let prompt = prompts.of(role);
        if !prompt.is_empty() {
            let what = if role == Role::Query { "queries" } else { "documents" };
            cx.note(format!("{what} begin with {prompt:?}, as the embedding model's own files say"));
        }
        Ok(prompt.to_owned())
    }
}

/// Warns of texts that were longer than the model takes: what is behind has no part in their vectors.
pub(crate) fn warn_of_cut(cx: &StageContext, embedder: &Embedder) {
    let (longest, cut) = embedder.cut();
    if cut > 0 {
        cx.counter("texts_cut", cut as u64);
        cx.warn(format!(
            "{cut} texts are longer than the {longest} tokens that the embedding model takes, and were cut there: cut \
             documents into pieces where they are read (`rows: chunk` of `table`)"
        ));
    }
}

/// Vectors of some texts, each behind a prefix.
///
/// # Errors
/// The model fails, or the run is being cancelled.
pub(crate) fn vectors(
    cx: &StageContext,
    embedder: &Embedder,
    texts: &[String],
    prefix: &str,
) -> Result<Vec<Vec<f32>>, StageError> {
    let prefixed: Vec<String> = texts.iter().map(|text| format!("{prefix}{text}")).collect();
    let token = cx.cancel_token();
    let vectors = embedder.embed_all(&prefixed, || token.reason().is_none()).map_err(model_error)?;
    vectors.ok_or(StageError::Cancelled)
}

/// What tells an embedding model from others, wherever its files lie: their names and contents, and how it pools.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn identity(dir: &Path, pooling: Option<Pooling>) -> Result<Digest, StageError> {
    let mut hasher = Hasher::new("embedder");
    for file in files_of(dir).map_err(model_error)? {
        let content = std::fs::read(&file);
        let content = content.map_err(|e| StageError::other(format!("read {}", file.display()), e))?;
        hasher.str(&name_in(dir, &file)).bytes(&content);
    }
    Ok(hasher.str(&format!("{pooling:?}")).finish())
}

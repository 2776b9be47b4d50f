//! Models as the stages see them: how a pipeline names one, what of it enters a key, and how it is opened and run.
//!
//! [`ModelRef`] is the parameter `model:`. [`resolve`] opens what it, or the input `model`, names: a [`BaseModel`] on
//! this machine, which all stages of the process share while any of them uses it, or a server. [`Resolved::backend`] is
//! what text is generated with; an adapter is laid over the shared base and never changes it.

mod ahead;
mod base;
pub(crate) mod completions;
pub(crate) mod embedder;
mod error;
mod footprint;
mod form;
mod reference;
pub(crate) mod sampling;
mod served;
pub(crate) mod training;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use pipe_engine::{
    context::StageContext,
    kind::{InputPort, PortType, StageError},
    spec::{is_builtin, join},
};
use pipe_lm::{
    generate::{
        Model,
        endpoint::{ApiKey, Endpoint, EndpointConfig},
    },
    origin::{Carried, HubSettings, LocalModel, ModelOrigin},
};

use crate::{
    builtin,
    prompts::{ChatDate, TemplateRef},
};

pub use ahead::Seen;
pub(crate) use ahead::{Asked, adapter_rank, follow, preview, seen};
pub use base::BaseModel;
pub use error::{model_error, row_error};
pub use footprint::InFlight;
pub(crate) use footprint::{Work, estimate};
pub use form::WeightForm;
pub use reference::{EndpointRef, ModelRef, encoder, numeric_class};
pub(crate) use reference::{NO_PATHS, NUMERIC_CLASS};
pub(crate) use served::asks;
pub use served::{Program, ServeRef, ServedModel};

/// The name of the file that the kind `export` writes.
pub(crate) const EXPORTED_GGUF: &str = "model.gguf";

/// The input `model`: a model's files from another stage, wanted where the parameter `model` names none.
pub fn model_port(param: Option<&ModelRef>) -> InputPort {
    // A server that is started may be given what another stage makes.
    let wanted = param.is_none_or(ModelRef::takes_files);
    InputPort::new("model", PortType::Files, wanted)
        .about(
            "A model from another stage, where the parameter \
    `model` names none.",
        )
        .with_help(
            "name a model with the parameter `model` (a directory, hf:org/name@revision, a .gguf file or the URL of a \
         server), or connect \
         the output of a `pretrain` stage to the input `model`",
        )
}

/// The optional input `adapter`: a LoRA adapter in PEFT's layout.
pub fn adapter_port() -> InputPort {
    InputPort::new("adapter", PortType::Files, false).about("A LoRA adapter in PEFT's layout, such as `train` makes.")
}

/// The template of a stage: that of its parameter, or the one that suits its model.
///
/// # Errors
/// It is to be chosen, and the model cannot be found or opened.
pub(crate) fn template(
    cx: &StageContext,
    param: Option<&ModelRef>,
    template: &TemplateRef,
) -> Result<TemplateRef, StageError> {
    if !template.is_auto() {
        return Ok(template.clone());
    }
    let (talks, why) = match param {
        Some(ModelRef::Endpoint(_) | ModelRef::Served(_)) => (true, "a server renders conversations"),
        Some(ModelRef::Files(source)) => talks(&fetch(cx, source)?)?,
        None => talks(&connected(cx.files("model")?))?,
    };
    let chosen = template.chosen(talks);
    // `plan` says it, too; in a run it is one more line for every stage.
    tracing::info!(stage = cx.label(), template = chosen.0, why, "template chosen");
    Ok(chosen)
}

fn talks(local: &LocalModel) -> Result<(bool, &'static str), StageError> {
    let seen = BaseModel::look(local)?;
    Ok((seen.talks, if seen.talks { "the model brings a chat template" } else { "the model has no chat template" }))
}

fn given_twice() -> StageError {
    StageError::user_help(
        "the model is given twice: as the parameter `model` and as the input `model`",
        "leave one of them out",
    )
}

/// What a server cannot do for us; `what` says which it is.
fn refuse(what: &str, weights: WeightForm, chat_date: Option<ChatDate>) -> Result<(), StageError> {
    let refused = |of_it: &str, help: &str| Err(StageError::user_help(format!("{what}: {of_it}"), help));
    if !weights.is_default() {
        return refused("`weights` are its own affair", "leave it out");
    }
    if chat_date.is_some() {
        return refused("the date is its own affair", "leave `chat_date` out");
    }
    Ok(())
}

/// The key of a server that wants one, from the environment.
fn api_key<'e>(server: &EndpointRef, env: impl Fn(&str) -> Option<&'e str>) -> Result<Option<ApiKey>, StageError> {
    key_of(server.api_key_env.as_deref(), &server.endpoint, env)
}

/// [`api_key`] of the variable `name`; `whose` says whose key it is.
fn key_of<'e>(
    name: Option<&str>,
    whose: &str,
    env: impl Fn(&str) -> Option<&'e str>,
) -> Result<Option<ApiKey>, StageError> {
    let Some(name) = name else { return Ok(None) };
    let key = env(name).filter(|key| !key.trim().is_empty()).ok_or_else(|| {
        StageError::user_help(
            format!("the environment variable `{name}`, which `api_key_env` names, is not set"),
            format!("set it to the key of {whose}"),
        )
    })?;
    Ok(Some(ApiKey::new(key)))
}

/// An opened model.
#[derive(Debug, Clone)]
pub enum Resolved {
    /// Its files are on this machine.
    Local(Arc<BaseModel>),
    /// A server has it.
    Served(ServedModel),
}

/// Opens the model of the parameter, or else that of the input `model`.
///
/// # Errors
/// Both are given; the model cannot be found or opened.
pub fn resolve(cx: &StageContext, param: Option<&ModelRef>) -> Result<Resolved, StageError> {
    match param {
        Some(model) if !model.takes_files() && cx.optional_files("model")?.is_some() => Err(given_twice()),
        None => open_base(cx, &connected(cx.files("model")?)),
        Some(ModelRef::Endpoint(server)) => {
            let endpoint = open_endpoint(cx, server)?;
            Ok(Resolved::Served(ServedModel::There(endpoint, server.version.clone())))
        }
        Some(ModelRef::Served(served)) => Ok(Resolved::Served(ServedModel::Started(served.clone(), served.files(cx)?))),
        Some(ModelRef::Files(source)) => open_base(cx, &fetch(cx, source)?),
    }
}

/// Opens a base, and says what is to be known of its files: once, whichever stages use it.
fn open_base(cx: &StageContext, local: &LocalModel) -> Result<Resolved, StageError> {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let base = BaseModel::open(local)?;
    let mut told = TOLD.lock();
    for note in base.notes() {
        if told.insert(note.clone()) {
            cx.warn(note);
        }
    }
    Ok(Resolved::Local(base))
}

/// The model in the output of another stage: a Hugging Face directory, or a directory with nothing but a GGUF file.
fn connected(dir: PathBuf) -> LocalModel {
    let gguf = dir.join(EXPORTED_GGUF);
    if gguf.is_file() { LocalModel::Gguf(gguf) } else { LocalModel::Directory { path: dir, commit: None } }
}

/// The base model whose files are needed (training, hidden states).
///
/// # Errors
/// As [`resolve`]; a server has no files.
pub fn resolve_local(cx: &StageContext, param: Option<&ModelRef>) -> Result<Arc<BaseModel>, StageError> {
    match (resolve(cx, param)?, param) {
        (Resolved::Local(model), _) => Ok(model),
        (Resolved::Served(_), param) => Err(StageError::user_help(
            format!(
                "{} is a server, and this stage needs the model's files",
                param.map(ToString::to_string).unwrap_or_default()
            ),
            "give a Hugging Face directory or hf:org/name@revision",
        )),
    }
}

/// Brings a model's files onto this machine, if they are not.
fn fetch(cx: &StageContext, source: &ModelOrigin) -> Result<LocalModel, StageError> {
    if let Some(carried) = carried(source, cx.base_dir())? {
        return Ok(LocalModel::Carried(carried));
    }
    source
        .clone()
        .relative_to(cx.base_dir())
        .fetch(&hub(|name| cx.env(name)), &|| cx.check_cancelled().is_err())
        // Cancelled while it was fetched: that is what is to be told.
        .map_err(|error| cx.check_cancelled().err().unwrap_or_else(|| model_error(error)))
}

/// The directory of a model that is not a decoder, such as an embedder.
///
/// # Errors
/// It cannot be found; a server has no files.
pub fn model_files(cx: &StageContext, model: &ModelRef) -> Result<PathBuf, StageError> {
    match model {
        ModelRef::Files(source) => match fetch(cx, source)? {
            LocalModel::Carried(carried) => Err(no_embedder(carried)),
            local => Ok(place(&local)),
        },
        ModelRef::Endpoint(_) | ModelRef::Served(_) => {
            Err(StageError::user(format!("{model} is a server, and the model's files are needed")))
        }
    }
}

fn no_embedder(carried: Carried) -> StageError {
    StageError::user_help(
        format!("{} writes texts, and is no embedding model", carried.place().display()),
        "name a model that embeds or ranks: a Hugging Face directory, or hf:org/name",
    )
}

/// The built-in model that a path in a file of `folder` names, if it names one.
fn carried(source: &ModelOrigin, folder: &Path) -> Result<Option<Carried>, StageError> {
    let ModelOrigin::Directory(path) = source else { return Ok(None) };
    let path = join(folder, path);
    if !is_builtin(&path) {
        return Ok(None);
    }
    builtin::model(&path.to_string_lossy()).map(Some).map_err(builtin::told)
}

fn hub<'a>(env: impl Fn(&str) -> Option<&'a str>) -> HubSettings {
    HubSettings::from_variables(|name| env(name).map(str::to_owned))
}

fn open_endpoint(cx: &StageContext, endpoint: &EndpointRef) -> Result<Endpoint, StageError> {
    let api_key = api_key(endpoint, |name| cx.env(name))?;
    let config = EndpointConfig { api_key, ..served::config_of(endpoint) };
    Endpoint::new(config).map_err(|e| model_error(pipe_lm::generate::GenerateError::from(e)))
}

impl Resolved {
    /// What writes and scores texts with this model, with the adapter in `adapter` (PEFT's layout) if one is given; its
    /// chat template prints `chat_date`.
    ///
    /// # Errors
    /// The adapter does not fit; the weights cannot be loaded; a server has no place for the adapter, cannot be
    /// started, or keeps its weights as it likes.
    pub fn backend(
        &self,
        cx: &StageContext,
        weights: WeightForm,
        adapter: Option<&Path>,
        options: InFlight,
        chat_date: Option<ChatDate>,
    ) -> Result<Box<dyn Model>, StageError> {
        match self {
            Self::Local(model) => {
                let generator = model.generator(weights, adapter, options)?;
                Ok(Box::new(generator.with_chat_date(chat_date.unwrap_or_default().0)))
            }
            Self::Served(server) => {
                refuse("the model is a server's", weights, chat_date)?;
                server.backend(cx, adapter)
            }
        }
    }
}

/// Where the files of an opened model lie.
pub(crate) fn place(model: &LocalModel) -> PathBuf {
    match model {
        LocalModel::Directory { path, .. } | LocalModel::Gguf(path) => path.clone(),
        LocalModel::Carried(carried) => carried.place(),
    }
}

#[cfg(test)]
mod tests;

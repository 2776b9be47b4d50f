//! What of a model can be told before a run.

use std::sync::Arc;

use pipe_engine::kind::{Arriving, Preview, SourceHost, StageError};
use pipe_lm::{
    config::DecoderConfig,
    origin::{LocalModel, ModelOrigin},
};

use super::{
    BaseModel, ModelRef, WeightForm, Work, api_key, carried, estimate, given_twice, hub, model_error, refuse, served,
};
use crate::prompts::{ChatDate, PromptTemplate, Purpose, TemplateRef};

/// What a look at a model tells.
#[derive(Debug)]
pub struct Seen {
    /// Whether it has a chat template.
    pub talks: bool,
    /// Why that one can write no conversation, if so.
    pub mute: Option<String>,
    /// What it is.
    pub config: DecoderConfig,
    /// The size of the file, where it is a GGUF file.
    pub gguf_bytes: Option<u64>,
    /// Whether its weights can be had in blocks of 8 bits: those of a GGUF file are as they are.
    pub in_8_bits: bool,
    /// The token that stands in front of a text by itself.
    pub first_token: Option<u32>,
}

/// What is told of an adapter before it is trained: [`follow`] reads it.
pub(crate) fn adapter_rank(r: usize) -> String {
    format!("r={r}")
}

/// What follows for a stage's model from the adapter that will arrive.
///
/// # Errors
/// The server cannot take it.
pub(crate) fn follow(param: Option<&ModelRef>, arriving: &Arriving) -> Result<Preview, StageError> {
    let told = arriving.get("adapter").into_iter().flatten().find_map(|word| word.strip_prefix("r="));
    if let (Some(ModelRef::Served(served)), Some(Ok(r))) = (param, told.map(str::parse)) {
        served.check_rank(r)?;
    }
    Ok(Preview::default())
}

/// What a stage asks of its model, as far as that is known before a run.
#[derive(Default)]
pub(crate) struct Asked<'a> {
    /// How its weights are kept.
    pub weights: WeightForm,
    /// The date that its chat template prints.
    pub chat_date: Option<ChatDate>,
    /// The prompt.
    pub template: Option<(&'a TemplateRef, Purpose)>,
    /// What is done with it.
    pub work: Option<Work>,
}

/// What of a model can be told before a run: whether the files of one that lies on this machine are whole and
/// supported, whether it can do what is asked, and where it runs. No server is asked, and nothing is fetched.
///
/// # Errors
/// They are not; it cannot.
pub(crate) fn preview(
    param: Option<&ModelRef>,
    asked: &Asked<'_>,
    host: &dyn SourceHost,
) -> Result<Preview, StageError> {
    if param.is_some_and(|model| !model.takes_files()) && host.connected("model") {
        return Err(given_twice());
    }
    let load = |(template, purpose): (&TemplateRef, Purpose)| template.load(purpose, host.base_dir());
    // What is chosen by the model is chosen so that the model can be asked with it.
    let template = asked.template.filter(|(template, _)| !template.is_auto()).map(load).transpose()?;
    let source = match param {
        Some(ModelRef::Endpoint(server)) => {
            refuse(&format!("{} is a server", server.endpoint), asked.weights, asked.chat_date)?;
            if host.connected("adapter") {
                served::refuse_adapter(server.server, &server.endpoint)?;
            }
            api_key(server, |name| host.env(name))?;
            let place = format!("server {}, model {}", place_of(&server.endpoint), server.model);
            return Ok(Preview { place: Some(place), ..Preview::default() });
        }
        Some(ModelRef::Served(served)) => return served.preview(asked, host),
        Some(ModelRef::Files(source)) => Some(source),
        None => None,
    };
    if let Some(ModelOrigin::Gguf(path)) = source {
        asked.weights.of_gguf(&host.base_dir().join(path))?;
    }
    let seen = source.map(|source| look(source, host)).transpose()?.flatten();
    if let (Some(seen), Some(ModelOrigin::Gguf(path))) = (&seen, source) {
        asked.weights.of_blocks(seen.in_8_bits, path)?;
    }
    if let Some(seen) = &seen
        && let Some(template) = template.as_ref().filter(|template| template.converses() && !seen.talks)
    {
        return Err(template.without_chat());
    }
    if let Some(Seen { mute: Some(why), .. }) = seen.as_deref()
        && template.as_ref().map_or(asked.template.is_some(), PromptTemplate::converses)
    {
        return Err(StageError::user_help(
            format!("nothing can be asked with {why}"),
            "mend the model's chat template, or use a `template` that makes no conversation, such as `plain`",
        ));
    }
    let chosen = asked.template.filter(|(template, _)| template.is_auto());
    let chosen = seen.as_ref().zip(chosen).map(|(seen, (template, _))| template.chosen(seen.talks).0);
    let place = chosen.map_or_else(|| "cpu".to_owned(), |name| format!("cpu, template {name}"));
    let memory = seen.zip(asked.work).map(|(seen, work)| estimate(&seen, asked.weights, work));
    Ok(Preview { place: Some(place), memory, ..Preview::default() })
}

/// A look at a model whose files lie on this machine; `None` at another.
fn look(source: &ModelOrigin, host: &dyn SourceHost) -> Result<Option<Arc<Seen>>, StageError> {
    if !matches!(source, ModelOrigin::Directory(_) | ModelOrigin::Gguf(_)) {
        return Ok(None);
    }
    if let Some(carried) = carried(source, host.base_dir())? {
        return BaseModel::look(&LocalModel::Carried(carried)).map(Some);
    }
    let here = source.clone().relative_to(host.base_dir());
    let local = here.fetch(&hub(|name| host.env(name)), &|| host.cancelled()).map_err(model_error)?;
    BaseModel::look(&local).map(Some)
}

/// What the model of a parameter is, where its files lie on this machine.
///
/// # Errors
/// It cannot be opened.
pub(crate) fn seen(param: Option<&ModelRef>, host: &dyn SourceHost) -> Result<Option<Arc<Seen>>, StageError> {
    match param {
        Some(ModelRef::Files(source)) => look(source, host),
        _ => Ok(None),
    }
}

/// Host and port of an address.
fn place_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

//! Models behind servers: those that are started for the run, adapters on them, and what they say they are.

mod adapter;
mod instance;
mod reference;

use std::{path::Path, sync::Arc};

use pipe_engine::{
    context::StageContext,
    kind::{Preview, Question, SourceHost, StageError},
};
use pipe_lm::{
    generate::{
        Backend, GenerateError, Model, Request, SamplingParams, ScoreRequest, ScoreSink, Scorer, Sink, Usage,
        endpoint::{Endpoint, EndpointConfig, EndpointError, Server},
    },
    origin::LocalModel,
};

pub use self::reference::{Program, ServeRef};
use self::{
    adapter::Loaded,
    instance::{Instance, Starting},
};
use super::{
    Asked, BaseModel, ModelRef, api_key, carried, connected, fetch, given_twice, key_of, model_error,
    reference::EndpointRef, refuse,
};
use crate::programs::find;

/// A server with the model of a stage.
#[derive(Debug, Clone)]
pub enum ServedModel {
    /// Somebody else's.
    There(Endpoint, Option<String>),
    /// One that is started when it is first asked.
    Started(Box<ServeRef>, LocalModel),
}

/// The server as the stages' backend, with what must live as long as it is asked.
struct ServedBackend {
    endpoint: Endpoint,
    /// Unloaded before its server ends.
    _adapter: Option<Arc<Loaded>>,
    instance: Option<Arc<Instance>>,
}

impl Backend for ServedBackend {
    fn complete(
        &self,
        requests: &mut (dyn Iterator<Item = Request> + Send),
        params: &SamplingParams,
        sink: &mut dyn Sink,
    ) -> Result<Usage, GenerateError> {
        self.endpoint.complete(requests, params, sink).map_err(|error| self.told(error))
    }
}

impl Scorer for ServedBackend {
    fn score(
        &self,
        requests: &mut (dyn Iterator<Item = ScoreRequest> + Send),
        sink: &mut dyn ScoreSink,
    ) -> Result<(), GenerateError> {
        self.endpoint.score(requests, sink).map_err(|error| self.told(error))
    }
}

impl ServedBackend {
    /// The error, or the death of the server that is behind it.
    fn told(&self, error: GenerateError) -> GenerateError {
        match self.instance.as_ref().and_then(|instance| instance.death_behind(&error)) {
            Some(death) => EndpointError::Died(death).into(),
            None => error,
        }
    }
}

/// What a server is asked with, of a description that gives no key.
pub(super) fn config_of(server: &EndpointRef) -> EndpointConfig {
    EndpointConfig {
        text_as_chat: server.chat,
        concurrency: server.concurrency,
        timeout: std::time::Duration::from_secs(server.timeout_seconds),
        max_retries: server.max_retries,
        extra: server.extra.clone(),
        proxy: server.proxy.clone(),
        ..EndpointConfig::new(&*server.endpoint, &*server.model, server.server)
    }
}

/// What a server cannot do for a stage with an adapter, as far as its description tells.
///
/// # Errors
/// There is something.
pub(super) fn refuse_adapter(server: Server, url: &str) -> Result<(), StageError> {
    match server {
        Server::Vllm => Ok(()),
        Server::LlamaCpp => Err(StageError::user_help(
            format!("{url} is llama.cpp's server, which reads adapters only when it starts"),
            "have it started for the run (`model: { serve: llama_cpp, model: ... }`): adapters are given to it then",
        )),
        Server::Ollama | Server::OpenAi => Err(StageError::user_help(
            format!("{url} is a server: it cannot use the input `adapter`"),
            "if it is vLLM, say so (`server: vllm`); else serve the adapted model under a name of its own and give \
             that, or use the model's files",
        )),
    }
}

/// What to ask of a running vLLM before adapters are made for it.
pub(crate) fn asks(param: Option<&ModelRef>, host: &dyn SourceHost) -> Option<Question> {
    let Some(ModelRef::Endpoint(server)) = param else { return None };
    if server.server != Server::Vllm || !host.connected("adapter") {
        return None;
    }
    let api_key = api_key(server, |name| host.env(name)).ok()?;
    let endpoint = Endpoint::new(EndpointConfig { api_key, ..config_of(server) }).ok()?;
    Some(Question {
        name: format!("adapters of {}", server.endpoint),
        ask: Box::new(move || match endpoint.takes_adapters() {
            Some(false) => Err(StageError::user_help(
                format!("the server at {} does not load adapters", endpoint.config().base_url),
                adapter::TAKES_ADAPTERS,
            )),
            _ => Ok(()),
        }),
    })
}

impl ServeRef {
    /// [`refuse_adapter`] of a server that is started.
    pub(super) fn refuse_adapter(&self) -> Result<(), StageError> {
        if self.serve == Program::Vllm && self.max_lora_rank.is_none() {
            return Err(StageError::user_help(
                "the input `adapter` is connected, and vLLM is started without place for adapters",
                "add `max_lora_rank: 64` (the highest rank that is to fit) beside `serve`",
            ));
        }
        Ok(())
    }

    /// Whether an adapter of this rank fits.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn check_rank(&self, r: usize) -> Result<(), StageError> {
        match self.max_lora_rank {
            Some(max) if r > max => Err(StageError::user_help(
                format!(
                    "{} cannot use the adapter: its rank is {r}, and the server is started for ranks up to {max}",
                    self.serve
                ),
                "raise `max_lora_rank`",
            )),
            _ => Ok(()),
        }
    }

    /// What is known of a stage before it runs.
    ///
    /// # Errors
    /// The server cannot be started here, or cannot do what is asked.
    pub(super) fn preview(&self, asked: &Asked<'_>, host: &dyn SourceHost) -> Result<Preview, StageError> {
        if self.model.is_some() && host.connected("model") {
            return Err(given_twice());
        }
        refuse(&format!("{} is a server", self.serve), asked.weights, asked.chat_date)?;
        if host.connected("adapter") {
            self.refuse_adapter()?;
        }
        key_of(self.api_key_env.as_deref(), &self.serve.to_string(), |name| host.env(name))?;
        self.find(host.base_dir(), host.env("PATH"))?;
        if let Some(Ok(origin)) = self.origin()
            && let Some(carried) = carried(&origin, host.base_dir())?
        {
            self.check_files(&LocalModel::Carried(carried))?;
        }
        Ok(Preview { place: Some(format!("starts {self}")), ..Preview::default() })
    }

    /// The file of the program.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn find(&self, base_dir: &Path, path: Option<&str>) -> Result<std::path::PathBuf, StageError> {
        let name = self.program.as_deref().unwrap_or(self.serve.command());
        find(name, base_dir, path).map_err(|error| match error {
            StageError::User { message, .. } => {
                StageError::user_help(format!("{} cannot be started: {message}", self.serve), self.serve.help())
            }
            other => other,
        })
    }

    /// The model's files, which the program can read.
    ///
    /// # Errors
    /// They cannot be had, or are not of its kind.
    pub(super) fn files(&self, cx: &StageContext) -> Result<LocalModel, StageError> {
        let local = match self.origin() {
            Some(origin) => fetch(cx, &origin.map_err(StageError::user)?)?,
            None => connected(cx.files("model")?),
        };
        self.check_files(&local)?;
        Ok(local)
    }

    /// Whether the program can read a model.
    ///
    /// # Errors
    /// It cannot.
    pub(super) fn check_files(&self, local: &LocalModel) -> Result<(), StageError> {
        match (self.serve, local) {
            (Program::Vllm, LocalModel::Directory { .. }) | (Program::LlamaCpp, LocalModel::Gguf(_)) => Ok(()),
            (Program::Vllm, _) => Err(StageError::user_help(
                format!("vLLM is started with a Hugging Face directory, and {} is none", super::place(local).display()),
                "give one, or connect a stage `export` as the input `model`",
            )),
            (Program::LlamaCpp, _) => Err(StageError::user_help(
                format!("llama.cpp reads GGUF files, and {} is none", super::place(local).display()),
                "connect a stage `export` with `format: gguf` as the input `model`",
            )),
        }
    }
}

impl ServedModel {
    /// What generates and scores texts with the server's model, with the adapter in a folder (PEFT's layout) if one is
    /// given. A server that is to be started is, unless another stage of the run has it running.
    ///
    /// # Errors
    /// The server cannot be started, is of another version than the pipeline wants, or does not take the adapter.
    pub(super) fn backend(&self, cx: &StageContext, adapter: Option<&Path>) -> Result<Box<dyn Model>, StageError> {
        let (endpoint, instance) = match self {
            Self::There(endpoint, version) => {
                let config = endpoint.config();
                if adapter.is_some() {
                    refuse_adapter(config.server, &config.base_url)?;
                }
                let place = format!("{} {}", config.base_url, config.model);
                check_version(cx, endpoint, version.as_deref(), &place)?;
                (endpoint.clone(), None)
            }
            Self::Started(served, local) => {
                if adapter.is_some() {
                    served.refuse_adapter()?;
                }
                let lora = match adapter {
                    Some(folder) if served.serve == Program::LlamaCpp => {
                        Some(adapter::for_llama_cpp(cx, folder, local)?)
                    }
                    Some(folder) => {
                        served.check_rank(adapter::check_for_vllm(folder)?)?;
                        None
                    }
                    None => None,
                };
                let instance = Starting { cx, served, local }.instance(lora.as_ref())?;
                // Of files that this program cannot read, the server has to tell it.
                let first_token = BaseModel::look(local).ok().and_then(|seen| seen.first_token);
                let endpoint = instance.endpoint(served, lora.is_some(), first_token).map_err(told)?;
                check_version(cx, &endpoint, served.version.as_deref(), &served.to_string())?;
                (endpoint, Some(instance))
            }
        };
        match adapter {
            Some(folder) if endpoint.config().server == Server::Vllm => {
                adapter::check_for_vllm(folder)?;
                let loaded = Loaded::get(cx, &endpoint, folder)?;
                let endpoint = loaded.endpoint(endpoint.config())?;
                Ok(Box::new(ServedBackend { endpoint, _adapter: Some(loaded), instance }))
            }
            _ => Ok(Box::new(ServedBackend { endpoint, _adapter: None, instance })),
        }
    }
}

fn told(error: EndpointError) -> StageError {
    model_error(GenerateError::from(error))
}

/// Takes note of what a server says it is, warns of a change since it was last asked (`place`: by whatever run), and
/// holds it against the version that the pipeline wants.
fn check_version(cx: &StageContext, endpoint: &Endpoint, wanted: Option<&str>, place: &str) -> Result<(), StageError> {
    let name = endpoint.config().server.name();
    let version = match endpoint.version() {
        Ok(version) => version,
        Err(error) if wanted.is_some() => return Err(told(error)),
        Err(error) => {
            tracing::debug!(%error, "a server does not say what it is");
            None
        }
    };
    if let Some(wanted) = wanted.filter(|wanted| version.as_deref() != Some(wanted)) {
        let found = version.map_or_else(|| "does not say what it is".to_owned(), |version| format!("is {version}"));
        return Err(StageError::user_help(
            format!("the pipeline wants {name} {wanted}, and the server at {} {found}", endpoint.config().base_url),
            "run that version, or change `version`: everything that is asked of it is then asked again",
        ));
    }
    let Some(version) = version else { return Ok(()) };
    cx.took_part(name, &version);
    if let Some(before) = cx.remember(&format!("version of {name} {place}"), &version)? {
        cx.warn(format!(
            "{name} is {version} now, and was {before} when it was last asked: answers that are kept are of the older \
             one (`version: {version}` in `model` has all of them asked for again)"
        ));
    }
    Ok(())
}

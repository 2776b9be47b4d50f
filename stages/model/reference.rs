//! The parameter `model:`.

use std::{borrow::Cow, fmt, path::Path};

use pipe_engine::kind::{Finder, Source, SourceHost, StageError};
use pipe_lm::{
    generate::endpoint::Server,
    source::{Identity, ModelSource},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Value, json};

use super::{hub, model_error};

/// Which model. A text names files or a server: a Hugging Face directory or a `.gguf` file (relative to the pipeline file),
/// `hf:org/name@revision`, or `http://host:port/v1#name` for an OpenAI-compatible server. An object describes a server in detail.
///
/// The model's files enter the key by content, a server by the model's name; paths and addresses do not.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelRef {
    /// Files, here or on the hub.
    Files(ModelSource),
    /// A server.
    Endpoint(EndpointRef),
}

/// A model on an OpenAI-compatible server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointRef {
    /// The URL in front of `/completions`, such as `http://localhost:8000/v1`.
    pub endpoint: String,
    /// The model's name on the server.
    pub model: String,
    /// The program behind the address; decides which parameters beyond OpenAI's are sent.
    #[serde(default = "open_ai")]
    #[schemars(with = "ServerName")]
    pub server: Server,
    /// Send text prompts as one user message, for servers without plain completions.
    #[serde(default)]
    pub chat: bool,
    /// The environment variable that holds the key.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// Requests in flight at once.
    #[serde(default = "eight")]
    #[schemars(range(min = 1))]
    pub concurrency: usize,
    /// Time for one attempt, from connecting to the last byte.
    #[serde(default = "ten_minutes")]
    #[schemars(range(min = 1))]
    pub timeout_seconds: u64,
    /// Further attempts after a passing failure (429, 5xx, a cut connection), with growing pauses.
    #[serde(default = "five")]
    pub max_retries: u32,
    /// An HTTP proxy.
    #[serde(default)]
    pub proxy: Option<String>,
    /// Further keys of every request, such as `chat_template_kwargs`.
    #[serde(default)]
    pub extra: serde_json::Map<String, Value>,
}

/// The names of [`Server`] in the schema.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
enum ServerName {
    /// vLLM.
    Vllm,
    /// llama.cpp's server, or llama-cpp-python.
    LlamaCpp,
    /// Ollama.
    Ollama,
    /// Anything else: only OpenAI's own parameters are sent.
    OpenAi,
}

fn open_ai() -> Server {
    Server::OpenAi
}

fn eight() -> usize {
    8
}

fn five() -> u32 {
    5
}

fn ten_minutes() -> u64 {
    600
}

impl EndpointRef {
    fn new(endpoint: &str, model: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            model: model.to_owned(),
            server: open_ai(),
            chat: false,
            api_key_env: None,
            concurrency: eight(),
            timeout_seconds: ten_minutes(),
            max_retries: five(),
            proxy: None,
            extra: serde_json::Map::new(),
        }
    }
}

impl ModelRef {
    /// Reads the short form.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        match ModelSource::parse(text).map_err(|e| format!("failed to {e}"))? {
            ModelSource::Endpoint { url } => match url.split_once('#') {
                Some((url, model)) if !model.is_empty() => {
                    Ok(Self::Endpoint(EndpointRef::new(url.trim_end_matches('/'), model)))
                }
                _ => Err(format!("the server's model is not named: write {url}#model-name")),
            },
            files => Ok(Self::Files(files)),
        }
    }

    /// What of the model enters the key: the content of its files, the hub's commit, or the name on a server.
    pub fn source(&self) -> Source {
        self.labelled("model")
    }

    /// [`ModelRef::source`] under another label.
    pub fn labelled(&self, label: &str) -> Source {
        let label = label.to_owned();
        match self {
            Self::Files(source) => {
                let source = source.clone();
                Source::Found { label, find: Finder::new(move |host| identity(&source, host)) }
            }
            Self::Endpoint(e) => {
                let mut value = json!({ "served": e.model, "server": e.server, "chat": e.chat });
                if !e.extra.is_empty() {
                    value["extra"] = Value::Object(e.extra.clone());
                }
                Source::Value { label, value }
            }
        }
    }

    /// [`ModelRef::source`] of an optional parameter.
    pub fn sources(param: Option<&Self>) -> Vec<Source> {
        param.map(Self::source).into_iter().collect()
    }
}

/// What the files are, file by file, so that a changed one can be named.
fn identity(source: &ModelSource, host: &dyn SourceHost) -> Result<Value, StageError> {
    if let ModelSource::Hub { repo, revision } = source {
        let commit = hub(|name| host.env(name)).resolve(repo, revision);
        return Ok(json!({ "commit": commit.map_err(|e| model_error(pipe_lm::source::SourceError::from(e)))? }));
    }
    let there = |path: &Path| -> Result<(), StageError> {
        let missing = || pipe_lm::source::SourceError::NotThere { path: path.to_owned() };
        if path.exists() { Ok(()) } else { Err(model_error(missing())) }
    };
    match source.clone().relative_to(host.base_dir()) {
        ModelSource::Directory(dir) => {
            there(&dir)?;
            let mut files = serde_json::Map::new();
            for path in Identity::files_of(&dir).map_err(model_error)? {
                files.insert(Identity::name_in(&dir, &path), json!(host.digest(&path)?.to_string()));
            }
            Ok(Value::Object(files))
        }
        ModelSource::Gguf(path) => {
            there(&path)?;
            Ok(json!({ "gguf": host.digest(&path)?.to_string() }))
        }
        other => Err(StageError::contract(format!("{other:?} has no files"))),
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(ModelSource::Directory(path) | ModelSource::Gguf(path)) => write!(f, "{}", path.display()),
            Self::Files(ModelSource::Hub { repo, revision }) => write!(f, "hf:{repo}@{revision}"),
            Self::Files(ModelSource::Endpoint { url }) => f.write_str(url),
            Self::Endpoint(e) => write!(f, "{}#{}", e.endpoint, e.model),
        }
    }
}

impl Serialize for ModelRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Files(_) => serializer.collect_str(self),
            Self::Endpoint(endpoint) => endpoint.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ModelRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Model;
        impl<'de> Visitor<'de> for Model {
            type Value = ModelRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a model: a directory, hf:org/name@revision, a .gguf file, http://host/v1#name, or an object with `endpoint` and `model`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ModelRef, E> {
                ModelRef::parse(text).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ModelRef, A::Error> {
                EndpointRef::deserialize(MapAccessDeserializer::new(map)).map(ModelRef::Endpoint)
            }
        }
        deserializer.deserialize_any(Model)
    }
}

impl JsonSchema for ModelRef {
    fn schema_name() -> Cow<'static, str> {
        "ModelRef".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let endpoint = generator.subschema_for::<EndpointRef>();
        json_schema!({
            "description": "Which model: a Hugging Face directory or a .gguf file (relative to the pipeline file), hf:org/name@revision, \
                            http://host:port/v1#name for an OpenAI-compatible server, or an object that describes a server.",
            "anyOf": [{ "type": "string", "minLength": 1 }, endpoint],
        })
    }
}

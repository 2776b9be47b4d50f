//! The parameter `model:`.

use std::{borrow::Cow, fmt, path::Path};

use pipe_cache::Digest;
use pipe_engine::{
    kind::{Finder, Source, SourceHost, StageError},
    spec::{BUILTIN, NotBuiltin},
};
use pipe_lm::{
    generate::endpoint::Server,
    origin::{
        ModelOrigin, OriginError, READING, embedder_reading, files_of, has_password, name_in, reading, without_password,
    },
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Value, json};

use super::{ServeRef, carried, hub, model_error};
use crate::builtin;

/// Which model. A text names files or a server: a Hugging Face directory or a `.gguf` file (relative to the file that
/// names it), `hf:org/name@revision`, `hf:org/name-GGUF:Q4_K_M` for a GGUF file of the hub, `builtin:nano` for the one
/// that this program carries, or `http://host:port/v1#name` for an OpenAI-compatible server. An object describes a
/// server in detail, or one that is started for the run.
///
/// The model's files enter the key by content, a server by the model's name; paths and addresses do not.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelRef {
    /// Files, here or on the hub.
    Files(ModelOrigin),
    /// A server.
    Endpoint(EndpointRef),
    /// A server that is started for the run.
    Served(Box<ServeRef>),
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
    /// The version that the server must say it is; it is part of the key then. Otherwise a version is kept with the
    /// result, and a change is warned of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// An HTTP proxy.
    #[serde(default)]
    pub proxy: Option<String>,
    /// Further keys of every request, such as `chat_template_kwargs`; null takes a key away, such as `max_tokens`.
    #[serde(default)]
    pub extra: serde_json::Map<String, Value>,
}

fn open_ai() -> Server {
    Server::OpenAi
}

pub(super) fn eight() -> usize {
    8
}

pub(super) fn five() -> u32 {
    5
}

pub(super) fn ten_minutes() -> u64 {
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
            version: None,
            proxy: None,
            extra: serde_json::Map::new(),
        }
    }
}

/// Beginnings of texts that name a model without being paths.
pub(crate) const NO_PATHS: [&str; 4] = ["hf:", "http:", "https:", BUILTIN];

impl ModelRef {
    /// Reads the short form.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().starts_with(BUILTIN) {
            let told = |e: NotBuiltin| e.help.iter().fold(e.message.clone(), |all, help| format!("{all}; {help}"));
            builtin::model(text.trim()).map_err(told)?;
        }
        match ModelOrigin::parse(text).map_err(|e| format!("failed to {e}"))? {
            ModelOrigin::Endpoint { url } => match url.split_once('#') {
                Some((url, model)) if !model.is_empty() => {
                    Ok(Self::Endpoint(EndpointRef::new(url.trim_end_matches('/'), model)))
                }
                _ => Err(format!("the server's model is not named: write {url}#model-name")),
            },
            files => Ok(Self::Files(files)),
        }
    }

    /// Whether it is a server that is started with what another stage makes.
    pub(crate) fn takes_files(&self) -> bool {
        matches!(self, Self::Served(served) if served.model.is_none())
    }

    /// Whether prompts that are texts are sent as conversations.
    pub(crate) fn sends_chat(&self) -> bool {
        match self {
            Self::Files(_) => false,
            Self::Endpoint(endpoint) => endpoint.chat,
            Self::Served(served) => served.chat,
        }
    }

    /// The program that serves it.
    pub(crate) fn server(&self) -> Option<Server> {
        match self {
            Self::Files(_) => None,
            Self::Endpoint(endpoint) => Some(endpoint.server),
            Self::Served(served) => Some(served.serve.dialect()),
        }
    }

    /// The name under which stages share what is started for it.
    pub(crate) fn shared(param: Option<&Self>) -> Option<String> {
        match param {
            Some(Self::Served(served)) => serde_json::to_string(served).ok(),
            _ => None,
        }
    }

    /// What of the model enters the key: the content of its files, the hub's commit, or the name on a server.
    pub fn source(&self) -> Source {
        self.labelled("model", true)
    }

    /// [`ModelRef::source`] of an embedding model.
    pub fn reranker(&self) -> Source {
        self.labelled("reranker", false)
    }

    /// [`Self::source`] of an embedding model.
    pub fn embedder(&self) -> Source {
        self.labelled("embedder", false)
    }

    fn labelled(&self, label: &str, generates: bool) -> Source {
        let label = label.to_owned();
        match self {
            Self::Files(source) => {
                let (near, source) = (near(source), source.clone());
                Source::Found { label, near, find: Finder::new(move |host| identity(&source, host, generates)) }
            }
            Self::Endpoint(e) => {
                let mut value = json!({ "served": e.model, "server": e.server, "chat": e.chat });
                if !e.extra.is_empty() {
                    value["extra"] = Value::Object(e.extra.clone());
                }
                if let Some(version) = &e.version {
                    value["version"] = json!(version);
                }
                Source::Value { label, value }
            }
            Self::Served(served) => served.source(label),
        }
    }

    /// [`ModelRef::source`] of an optional parameter, and the numeric class of this machine where it is not the usual
    /// one and the model runs here.
    pub fn sources(param: Option<&Self>) -> Vec<Source> {
        let here = !matches!(param, Some(Self::Endpoint(_) | Self::Served(_)));
        param.map(Self::source).into_iter().chain(numeric_class().filter(|_| here)).collect()
    }
}

/// What the class of a result's numbers stands under in a key: how they were computed, where it is not the usual way.
/// It is another for kernels without fused multiplication, and for programs of others.
pub(crate) const NUMERIC_CLASS: &str = "numeric class";

/// The numeric class of this machine, where it is not the usual one: results differ from those of other machines in the
/// last bits.
pub fn numeric_class() -> Option<Source> {
    let class = pipe_lm::ops::numeric_class()?;
    Some(Source::Value { label: NUMERIC_CLASS.to_owned(), value: json!(class) })
}

/// How embedding models are computed. Vectors made by other kernels differ in their last bits: what else a stage makes
/// does not depend on it, so it stands here and not in a kind's version.
pub fn encoder() -> Source {
    Source::Value { label: "encoder".to_owned(), value: json!("packed") }
}

/// The files and folders on this disk that an origin names.
pub(super) fn near(origin: &ModelOrigin) -> Vec<String> {
    match origin {
        ModelOrigin::Directory(path) | ModelOrigin::Gguf(path) => vec![path.to_string_lossy().into_owned()],
        _ => Vec::new(),
    }
}

/// What the files are, file by file, so that a changed one can be named.
pub(super) fn identity(source: &ModelOrigin, host: &dyn SourceHost, generates: bool) -> Result<Value, StageError> {
    if let ModelOrigin::Hub { repo, revision, gguf } = source {
        let commit = hub(|name| host.env(name)).resolve(repo, revision, &|| host.cancelled());
        let commit = commit.map_err(|e| model_error(OriginError::from(e)))?;
        // Its files may not be here yet, so that it is not known whether they were read otherwise before.
        let mut value = json!({ "commit": commit, "reading": READING });
        if let Some(form) = gguf {
            value["gguf"] = json!(form.to_ascii_lowercase());
        }
        return Ok(value);
    }
    let there = |path: &Path| -> Result<(), StageError> {
        let missing = || OriginError::NotThere { path: path.to_owned() };
        if path.exists() { Ok(()) } else { Err(model_error(missing())) }
    };
    if let Some(carried) = carried(source, host.base_dir())? {
        // As of a folder with these files: it is the same model.
        let digest = |(name, bytes): &(&str, &[u8])| ((*name).to_owned(), json!(Digest::of_bytes(bytes).to_string()));
        let mut files: serde_json::Map<String, Value> = carried.files.iter().map(digest).collect();
        files.extend(reading(carried).map(|version| ("reading".to_owned(), json!(version))));
        return Ok(Value::Object(files));
    }
    match source.clone().relative_to(host.base_dir()) {
        ModelOrigin::Directory(dir) => {
            there(&dir)?;
            let mut files = serde_json::Map::new();
            for path in files_of(&dir).map_err(model_error)? {
                files.insert(name_in(&dir, &path), json!(host.digest(&path)?.to_string()));
            }
            let version = if generates { reading(&dir) } else { embedder_reading(&dir) };
            if let Some(version) = version {
                files.insert("reading".to_owned(), json!(version));
            }
            Ok(Value::Object(files))
        }
        ModelOrigin::Gguf(path) => {
            there(&path)?;
            // Nor is it known of these without reading all of their tokenizer.
            Ok(json!({ "gguf": host.digest(&path)?.to_string(), "reading": READING }))
        }
        other => Err(StageError::contract(format!("{other:?} has no files"))),
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(ModelOrigin::Directory(path) | ModelOrigin::Gguf(path)) => write!(f, "{}", path.display()),
            Self::Files(ModelOrigin::Hub { repo, revision, gguf: None }) => write!(f, "hf:{repo}@{revision}"),
            Self::Files(ModelOrigin::Hub { repo, revision, gguf: Some(form) }) => {
                write!(f, "hf:{repo}@{revision}:{form}")
            }
            Self::Files(ModelOrigin::Endpoint { url }) => f.write_str(url),
            Self::Endpoint(e) => write!(f, "{}#{}", e.endpoint, e.model),
            Self::Served(served) => served.fmt(f),
        }
    }
}

impl Serialize for ModelRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Files(_) => serializer.collect_str(self),
            Self::Endpoint(endpoint) => endpoint.serialize(serializer),
            Self::Served(served) => served.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ModelRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Model;
        impl<'de> Visitor<'de> for Model {
            type Value = ModelRef;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a model: a directory, hf:org/name@revision, a .gguf file, http://host/v1#name, or an \
                             object with `endpoint` and `model`, or with `serve`",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ModelRef, E> {
                ModelRef::parse(text).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ModelRef, A::Error> {
                let object = Value::deserialize(MapAccessDeserializer::new(map))?;
                if object.get("serve").is_some() {
                    let served: ServeRef = serde_json::from_value(object).map_err(A::Error::custom)?;
                    return match served.problem() {
                        Some(problem) => Err(A::Error::custom(problem)),
                        None => Ok(ModelRef::Served(Box::new(served))),
                    };
                }
                let endpoint: EndpointRef = serde_json::from_value(object).map_err(A::Error::custom)?;
                for url in [Some(&endpoint.endpoint), endpoint.proxy.as_ref()].into_iter().flatten() {
                    if has_password(url) {
                        let url = without_password(url);
                        return Err(A::Error::custom(format!("failed to {}", OriginError::Password { url })));
                    }
                }
                Ok(ModelRef::Endpoint(endpoint))
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
        let (endpoint, served) = (generator.subschema_for::<EndpointRef>(), generator.subschema_for::<ServeRef>());
        json_schema!({
            "description": "Which model: a Hugging Face directory or a .gguf file (relative to the file that names \
                            it), hf:org/name@revision, hf:org/name-GGUF:Q4_K_M, builtin:nano, \
                            http://host:port/v1#name for an OpenAI-compatible server, or an object that describes a \
                            server, or one that is started for the run (`serve`).",
            "anyOf": [{ "type": "string", "minLength": 1, "x-path": NO_PATHS }, endpoint, served],
        })
    }
}
